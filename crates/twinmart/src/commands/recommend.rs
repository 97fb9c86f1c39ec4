//! `twinmart recommend`: top-k items with scores and reasons.

use crate::screen::Screen;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_rank::{Recommendation, Recommenders, Request};
use twinmart_tables::{Error, FileFormat, Result, TableWriter};

/// Recommend items to a user, to a history, or to all users
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart recommend shop.recs --history 85123A,71053 -k 5 --explain\n  twinmart recommend shop.recs --all-users --out recommendations.parquet"
)]
pub(crate) struct Arguments {
    /// A file that `twinmart train` wrote
    recommenders: PathBuf,
    /// A user of the training part
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Items that somebody had, oldest first
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    history: Vec<String>,
    /// Everyone in the training part; needs --out
    #[arg(long, requires = "out")]
    all_users: bool,
    /// With --all-users: the table to write (user, rank, item, score, model)
    #[arg(long, value_name = "FILE", requires = "all_users")]
    out: Option<PathBuf>,
    /// Length of the list
    #[arg(short, value_name = "K", default_value_t = 10)]
    k: usize,
    /// Which recommender of the file [default: the best on validation data]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Whether items that the user had may come again [default: as the recommender is meant]
    #[arg(long, value_name = "BOOL")]
    repeats: Option<bool>,
    /// Give the reasons: which past items add how much to the score
    #[arg(long)]
    explain: bool,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let asked = [arguments.user.is_some(), !arguments.history.is_empty(), arguments.all_users];
    if asked.into_iter().filter(|a| *a).count() != 1 {
        return Err(Error::usage("say for whom to recommend")
            .remedy("give one of --user, --history, --all-users")
            .into());
    }
    let recommenders = Recommenders::load(&arguments.recommenders)?;
    let Arguments { k, repeats, explain, .. } = arguments;
    let request = Request { k, model: arguments.model.as_deref(), repeats, explain };
    if let Some(out) = &arguments.out {
        let rows = write_all(&recommenders, &request, out, arguments.overwrite, screen)?;
        let value =
            serde_json::json!({ "out": out.display().to_string(), "users": recommenders.users().len(), "rows": rows });
        return screen.result(&format!("wrote {}: {rows} rows", out.display()), &value);
    }
    let list = match &arguments.user {
        Some(user) => recommenders.recommend_to_user(user, &request)?,
        None => recommenders.recommend_to_history(&arguments.history, &request)?,
    };
    screen.result(&table(&list), &serde_json::json!({ "recommendations": list }))
}

/// The list for people, with up to three reasons a line.
fn table(list: &[Recommendation]) -> String {
    let mut text = String::new();
    for (place, r) in list.iter().enumerate() {
        text.push_str(&format!("{:>3}  {:<20} {:>10.4}  {}", place + 1, r.item, r.score, r.model));
        let reasons = r.reasons.iter().take(3).map(|reason| match &reason.item {
            Some(item) => format!("{item} {:+.4}", reason.amount),
            None if reason.source == "history" => format!("the history as a whole {:+.4}", reason.amount),
            None => format!("popularity {:+.4}", reason.amount),
        });
        let reasons: Vec<String> = reasons.collect();
        if !reasons.is_empty() {
            text.push_str(&format!("  because of {}", reasons.join(", ")));
        }
        text.push('\n');
    }
    text
}

/// Users per written batch: bounded memory however many users there are.
const USERS_A_BATCH: usize = 4096;

fn write_all(
    recommenders: &Recommenders,
    request: &Request<'_>,
    out: &Path,
    overwrite: bool,
    screen: &Screen,
) -> Result<usize> {
    use rayon::prelude::*;
    let schema = Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8, false),
        Field::new("rank", DataType::UInt32, false),
        Field::new("item", DataType::Utf8, false),
        Field::new("score", DataType::Float64, false),
        Field::new("model", DataType::Utf8, false),
    ]));
    let mut writer = TableWriter::create(out, schema.clone(), FileFormat::of_path(out)?, overwrite)?;
    let users = recommenders.users();
    let task = screen.progress.start("recommend", Some(users.len() as u64), "users");
    let mut rows = 0;
    for start in (0..users.len()).step_by(USERS_A_BATCH) {
        let range = start..users.len().min(start + USERS_A_BATCH);
        let lists: Vec<Vec<Recommendation>> = range
            .clone()
            .into_par_iter()
            .map(|u| recommenders.recommend_to_position(u, request))
            .collect::<Result<_>>()?;
        let flat =
            || lists.iter().zip(range.clone()).flat_map(|(l, u)| l.iter().enumerate().map(move |(i, r)| (u, i, r)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(flat().map(|(u, _, _)| Some(users[u].as_str())).collect::<StringArray>()),
            Arc::new(flat().map(|(_, i, _)| Some(i as u32 + 1)).collect::<UInt32Array>()),
            Arc::new(flat().map(|(_, _, r)| Some(r.item.as_str())).collect::<StringArray>()),
            Arc::new(flat().map(|(_, _, r)| Some(r.score)).collect::<Float64Array>()),
            Arc::new(flat().map(|(_, _, r)| Some(r.model.as_str())).collect::<StringArray>()),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        rows += batch.num_rows();
        writer.write(&batch)?;
        task.advance(range.len() as u64)?;
    }
    writer.finish()?;
    Ok(rows)
}
