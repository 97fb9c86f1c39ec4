//! `twinmart predict`: what comes next in a history, by the model that makes the twin.

use crate::screen::Screen;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::Schema;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_synth::{Known, Making, Model, Prediction, TimeSpan};
use twinmart_tables::{Error, Progress, Result};

/// Say what comes next in a history: whether and when, what is done, with which items
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart predict learned.twin --history 85123A,71053 -k 5\n  twinmart predict learned.twin --history 85123A --profile country=France\n  twinmart predict learned.twin examples/online-retail/twinmart.toml --user 12433\n\nWhere learned.twin comes from: fit examples/online-retail/twinmart.toml --out learned.twin --method autoregressive (minutes)\n\nA file of events (CSV, JSON lines, Parquet) has the columns of the events table: the item, and where known its time, session and action.\nAll figures are odds, nothing is drawn; they hold from the last event on."
)]
pub(crate) struct Arguments {
    /// A model of users with events that `twinmart fit --method autoregressive` wrote
    model: PathBuf,
    /// With --user: the project that has the user
    #[arg(requires = "user")]
    project: Option<PathBuf>,
    /// A user of the project, with all events and attributes
    #[arg(long, value_name = "ID", requires = "project", conflicts_with_all = ["history", "profile"])]
    user: Option<String>,
    /// Items that somebody had in one session, oldest first; or a file of events
    #[arg(long, value_name = "ID,…|FILE", value_delimiter = ',')]
    history: Vec<String>,
    /// What is known of the person; without --history, of a newcomer
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = attribute)]
    profile: Vec<(String, String)>,
    /// How many items to list
    #[arg(short, value_name = "K", default_value_t = 10)]
    k: usize,
}

fn attribute(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.to_string(), value.to_string())),
        _ => Err("write column=value, for example country=France".into()),
    }
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    if arguments.user.is_none() && arguments.history.is_empty() && arguments.profile.is_empty() {
        return Err(Error::usage("say whose history is to go on")
            .remedy("give --history ITEM,ITEM,…, a project with --user ID, or for a newcomer --profile column=value")
            .into());
    }
    let model = Model::load(&arguments.model)?;
    let prediction = match (&arguments.project, &arguments.user) {
        (Some(project), Some(user)) => of_user(&model, project, user, arguments.k, screen)?,
        _ => {
            let history = history(&model, &arguments.history, &screen.progress)?;
            let known = match &arguments.profile[..] {
                [] => Known::Nothing,
                values => Known::Values(values),
            };
            model.predict(&history, known, arguments.k, &screen.progress)?
        }
    };
    screen.result(&text(&prediction), &prediction)
}

/// What comes next for a user of a project.
fn of_user(model: &Model, project: &Path, user: &str, k: usize, screen: &Screen) -> Result<Prediction> {
    let loaded = twinmart_sources::load(project, &screen.progress)?;
    let one = loaded.shop.part(|key| key == user, |_| true)?;
    let (users, _, events) = one.behaviour()?;
    if users.rows() == 0 {
        return Err(Error::usage("the project has no such user")
            .table(&users.name)
            .value(user)
            .remedy("check the user's key, or give the history itself: --history ITEM,ITEM,…")
            .into());
    }
    model.predict(&events.to_batch()?, Known::Row(&users.to_batch()?), k, &screen.progress)
}

/// The history that was typed, or the file that it names.
fn history(model: &Model, history: &[String], progress: &Progress) -> Result<RecordBatch> {
    if let [only] = history {
        let path = Path::new(only);
        if path.extension().is_some() && path.is_file() {
            let loaded = twinmart_sources::load(path, progress)?;
            let table = loaded.shop.tables.first().ok_or_else(|| Error::data("no table").file(path))?;
            return table.to_batch();
        }
    }
    let items = item_column(model).unwrap_or("item");
    let array: ArrayRef = Arc::new(history.iter().map(Some).collect::<StringArray>());
    let schema = Schema::new(vec![arrow::datatypes::Field::new(items, array.data_type().clone(), true)]);
    let rows = RecordBatchOptions::new().with_row_count(Some(history.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), vec![array], &rows)?)
}

/// The column of the model's events that names the item.
fn item_column(model: &Model) -> Option<&str> {
    let tables = &model.manifest().tables;
    let events = tables.iter().find(|t| t.making == Making::Events)?;
    let is_items = |table: &str| tables.iter().any(|t| t.name == table && t.role() == twinmart_tables::Role::Items);
    let found = events.definition.references.iter().find(|(_, reference)| is_items(&reference.table));
    found.map(|(column, _)| column.as_str())
}

fn text(p: &Prediction) -> String {
    let last = p.last.as_ref().map_or(String::new(), |last| format!(", the last at {last}"));
    let mut text = match p.events {
        0 => "a newcomer\n".to_string(),
        _ => format!("after {} in {}{last}\n", counted(p.events, "event"), counted(p.sessions, "session")),
    };
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<26} {value}\n"));
    line("the session goes on", percent(p.session_goes_on));
    line("a new session begins", percent(p.new_session));
    line("nothing follows", percent(p.ends));
    if let Some(time) = &p.time {
        line("time to the next event", span(time));
    }
    if let Some(time) = &p.time_to_new_session {
        line("time to a new session", span(time));
    }
    if let Some(hours) = &p.hours {
        line("hour of the day", likely_hours(hours));
    }
    if !p.actions.is_empty() {
        let actions = p.actions.iter().take(5);
        let action = |a: &twinmart_synth::ActionOdds| {
            format!("{} {}", a.action.as_deref().unwrap_or("(missing)"), percent(a.odds))
        };
        line("action", actions.map(action).collect::<Vec<_>>().join(", "));
    }
    text.push_str(&format!("\n     {:<20} {:>8} {:>12} {:>12}\n", "next item", "odds", "in session", "in a new one"));
    for (place, item) in p.items.iter().enumerate() {
        text.push_str(&format!(
            "{:>3}  {:<20} {:>8} {:>12} {:>12}\n",
            place + 1,
            item.item,
            percent(item.odds),
            percent(item.odds_in_session),
            percent(item.odds_in_new_session)
        ));
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn percent(odds: f64) -> String {
    format!("{:.*} %", if odds < 0.1 { 2 } else { 1 }, 100.0 * odds)
}

fn span(time: &TimeSpan) -> String {
    let (median, low, high) = (time.median_seconds, time.low_seconds, time.high_seconds);
    format!("{}, with odds of 80 % {} to {}", duration(median), duration(low), duration(high))
}

/// Seconds in the unit that people would use.
fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (0.0, "s")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= 1.5 * unit).unwrap_or((0.0, "s"));
    let count = if unit > 0.0 { seconds / unit } else { seconds };
    format!("{count:.*} {name}", usize::from(count < 10.0 && count.fract() >= 0.05))
}

/// The hours that cover half of the odds, as stretches.
fn likely_hours(hours: &[f64]) -> String {
    let mut order: Vec<usize> = (0..hours.len()).collect();
    order.sort_by(|a, b| hours[*b].total_cmp(&hours[*a]));
    let mut covered = 0.0;
    let mut chosen: Vec<usize> = order
        .into_iter()
        .take_while(|hour| {
            let goes_on = covered < 0.5;
            covered += hours[*hour];
            goes_on
        })
        .collect();
    chosen.sort_unstable();
    let runs = chosen.chunk_by(|a, b| b - a == 1);
    let stretch = |run: &[usize]| {
        let odds = run.iter().map(|hour| hours[*hour]).sum();
        format!("{}:00 to {}:00 {}", run[0], run[run.len() - 1] + 1, percent(odds))
    };
    runs.map(stretch).collect::<Vec<_>>().join(", ")
}
