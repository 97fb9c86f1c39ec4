//! `twinmart split`: what a split trains on and tests on, as files.

use crate::screen::Screen;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_tables::{
    AtomicFolder, FileFormat, Histories, Result, Split, SplitKind, SplitPlan, TableWriter, TimeScale,
};

/// Write what a split trains on and tests on: train, history and target (user, item, time), and the split's digest
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twinmart split examples/online-retail/twinmart.toml --split holdout-users --out split\n\nSplits: temporal, leave-last-out, holdout-users, random"
)]
pub(crate) struct Arguments {
    /// A project file
    project: PathBuf,
    /// temporal, leave-last-out, holdout-users or random
    #[arg(long, value_name = "SPLIT")]
    split: String,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// For `temporal`: the first moment of the target [default: the project's, else the last fifth of events]
    #[arg(long, value_name = "MOMENT")]
    test_from: Option<String>,
    /// Replace an existing folder
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let folder = AtomicFolder::create(&arguments.out, arguments.overwrite)?;
    let kind = SplitKind::parse(&arguments.split)?;
    let loaded = twinmart_sources::load(&arguments.project, &screen.progress)?;
    let seed = screen.seed(loaded.project.project.seed);
    let plan = SplitPlan::of_project(&loaded.project, kind, seed, arguments.test_from.as_deref())?;
    let split = Split::make(&loaded.shop.histories()?, &plan)?;
    let parts = [("train", &split.train), ("history", &split.history), ("target", &split.target)];
    let mut summary = serde_json::json!({ "split": kind.name(), "seed": seed, "digest": split.digest });
    for (name, part) in parts {
        write_part(&folder.path().join(format!("{name}.parquet")), part)?;
        summary[name] = serde_json::json!({ "users": part.user_count(), "events": part.event_count() });
    }
    crate::stages::write_json(&folder.path().join("split.json"), &summary)?;
    folder.commit()?;
    let human = format!(
        "wrote {}: {} training events of {} users, {} test users\ndigest {}",
        arguments.out.display(),
        split.train.event_count(),
        split.train.user_count(),
        split.target.user_count(),
        split.digest
    );
    screen.result(&human, &summary)
}

/// One row per event: user, item, time; users in table order, events in time order.
fn write_part(path: &Path, part: &Histories) -> Result<()> {
    let time_type = match part.scale {
        TimeScale::Microseconds => DataType::Timestamp(TimeUnit::Microsecond, None),
        TimeScale::Order => DataType::Int64,
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8, false),
        Field::new("item", DataType::Utf8, false),
        Field::new("time", time_type, false),
    ]));
    let users = (0..part.user_count()).flat_map(|u| part.range(u).map(move |_| Some(part.users[u].as_str())));
    let items = part.item.iter().map(|i| Some(part.items[*i as usize].as_str()));
    let time: ArrayRef = match part.scale {
        TimeScale::Microseconds => Arc::new(TimestampMicrosecondArray::from(part.time.clone())),
        TimeScale::Order => Arc::new(Int64Array::from(part.time.clone())),
    };
    let columns: Vec<ArrayRef> =
        vec![Arc::new(users.collect::<StringArray>()), Arc::new(items.collect::<StringArray>()), time];
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    let mut writer = TableWriter::create(path, schema, FileFormat::Parquet, false)?;
    writer.write(&batch)?;
    writer.finish()
}
