//! A generated shop: as large as asked for, with what makes histories hard and easy to learn.
//!
//! Items are popular by Zipf's law and belong to clusters; a user likes a few of those. An event repeats an item of the user's
//! own past, follows the item before to its fixed companion, or chooses from a liked cluster or from all items. Sessions are
//! short, days lie between them; some users are many times as active as others.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use rand::Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_tables::{Draws, Error, FileFormat, Progress, Result, Stream, TableWriter};

/// How large a shop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) users: u64,
    pub(crate) items: u64,
    pub(crate) events: u64,
}

/// Exponent of Zipf's law, and items that are added before the first, so that no item is everybody's.
const ZIPF: f64 = 0.9;
const FIRST_RANK: f64 = 8.0;
/// Items of a cluster, about, and clusters that a user likes.
const CLUSTER: u64 = 50;
const LIKED: usize = 3;
/// Shares of events that repeat the past, follow the last item, and choose from a liked cluster.
const REPEATS: f64 = 0.25;
const FOLLOWS: f64 = 0.2;
const LIKES: f64 = 0.4;
/// Share of events that end their session; mean seconds inside and days between sessions, at most.
const ENDS: f64 = 0.15;
const SECONDS: f64 = 90.0;
const DAYS: f64 = 20.0;
/// Spread of the logarithm of how active users are.
const SPREAD: f64 = 0.8;
/// Length of the window, and its first moment: 2024-01-01.
const WINDOW: f64 = 365.0 * DAY;
const BEGIN: i64 = 1_704_067_200_000_000;
/// In microseconds.
const SECOND: f64 = 1e6;
const DAY: f64 = 86_400.0 * SECOND;
/// Rows that are written together.
const ROWS: usize = 1 << 18;

const PROJECT: &str = r#"[project]
name = "generated shop"

[tables.users]
role = "users"
key = "user_id"
source = "users.parquet"

[tables.items]
role = "items"
key = "item_id"
source = "items.parquet"

[tables.events]
role = "events"
time = "at"
source = "events.parquet"

[tables.events.references]
user_id = "users.user_id"
item_id = "items.item_id"
"#;

/// Writes a shop into `folder`; the answer is its project file. The same size and seed make the same shop.
pub(crate) fn write(size: Size, seed: u64, folder: &Path, progress: &Progress) -> Result<PathBuf> {
    let draws = Draws::new(seed);
    write_users(size, draws, folder)?;
    write_items(size, draws, folder)?;
    write_events(size, draws, folder, progress)?;
    let project = folder.join("twinmart.toml");
    fs::write(&project, PROJECT).map_err(|e| Error::io(&project, e))?;
    Ok(project)
}

fn write_users(size: Size, draws: Draws, folder: &Path) -> Result<()> {
    const CITIES: [&str; 6] = ["Bonn", "Graz", "Lyon", "Oslo", "Rome", "Vigo"];
    let family = draws.family("generated.city", "");
    let city = |user| CITIES[family.row(user).random_range(0..CITIES.len())];
    let columns: [(&str, ArrayRef); 2] = [
        ("user_id", Arc::new(Int64Array::from_iter_values(0..size.users as i64))),
        ("city", Arc::new(StringArray::from_iter_values((0..size.users).map(city)))),
    ];
    write_table(&folder.join("users.parquet"), &RecordBatch::try_from_iter(columns)?)
}

fn write_items(size: Size, draws: Draws, folder: &Path) -> Result<()> {
    let (family, clusters) = (draws.family("generated.price", ""), clusters(size));
    let price = |item| (family.row(item).random_range(0.0f64..5.0).exp() * 100.0).round() / 100.0;
    let kind = |item| format!("kind {}", item % clusters % 40);
    let columns: [(&str, ArrayRef); 3] = [
        ("item_id", Arc::new(Int64Array::from_iter_values(0..size.items as i64))),
        ("kind", Arc::new(StringArray::from_iter_values((0..size.items).map(kind)))),
        ("price", Arc::new(Float64Array::from_iter_values((0..size.items).map(price)))),
    ];
    write_table(&folder.join("items.parquet"), &RecordBatch::try_from_iter(columns)?)
}

fn write_table(path: &Path, rows: &RecordBatch) -> Result<()> {
    let mut writer = TableWriter::create(path, rows.schema(), FileFormat::Parquet, false)?;
    writer.write(rows)?;
    writer.finish()
}

fn clusters(size: Size) -> u64 {
    (size.items / CLUSTER).max(1)
}

/// Events in their columns.
#[derive(Default)]
struct Events {
    user: Vec<i64>,
    item: Vec<i64>,
    at: Vec<i64>,
}

impl Events {
    fn take(&mut self) -> Result<RecordBatch> {
        let columns: [(&str, ArrayRef); 3] = [
            ("user_id", Arc::new(Int64Array::from(std::mem::take(&mut self.user)))),
            ("item_id", Arc::new(Int64Array::from(std::mem::take(&mut self.item)))),
            ("at", Arc::new(TimestampMicrosecondArray::from(std::mem::take(&mut self.at)))),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}

fn write_events(size: Size, draws: Draws, folder: &Path, progress: &Progress) -> Result<()> {
    let (choices, family) = (Choices::of(size), draws.family("generated.history", ""));
    let task = progress.start("generating events", Some(size.events), "events");
    let mut events = Events::default();
    let mut writer =
        TableWriter::create(folder.join("events.parquet"), events.take()?.schema(), FileFormat::Parquet, false)?;
    for (user, count) in activity(size, draws).into_iter().enumerate() {
        let mut stream = family.row(user as u64);
        history(&choices, count, &mut stream, |item, at| {
            events.user.push(user as i64);
            events.item.push(item as i64);
            events.at.push(at);
        });
        task.advance(count)?;
        if events.user.len() >= ROWS {
            writer.write(&events.take()?)?;
        }
    }
    writer.write(&events.take()?)?;
    writer.finish()
}

/// `[users]` how many events each has; together as many as asked for.
fn activity(size: Size, draws: Draws) -> Vec<u64> {
    let family = draws.family("generated.activity", "");
    let weight = |user| {
        let mut stream = family.row(user);
        // A sum of twelve even numbers is nearly normal.
        let normal = (0..12).map(|_| stream.random::<f64>()).sum::<f64>() - 6.0;
        (SPREAD * normal).exp()
    };
    let weights: Vec<f64> = (0..size.users).map(weight).collect();
    let total: f64 = weights.iter().sum();
    let (mut sum, mut before) = (0.0, 0);
    let count = |weight: &f64| {
        sum += weight;
        let until = ((sum / total * size.events as f64).round() as u64).min(size.events);
        let count = until - before;
        before = until;
        count
    };
    weights.iter().map(count).collect()
}

/// Items to choose from.
struct Choices {
    size: Size,
    clusters: u64,
    /// Running sums of popularity, of ranks from 0 on.
    popularity: Vec<f64>,
}

impl Choices {
    fn of(size: Size) -> Choices {
        let weight = |rank: u64| (rank as f64 + FIRST_RANK).powf(-ZIPF);
        let running = (0..size.items).scan(0.0, |sum, rank| {
            *sum += weight(rank);
            Some(*sum)
        });
        Choices { size, clusters: clusters(size), popularity: running.collect() }
    }

    /// One of the first `ranks` ranks, by popularity.
    fn rank(&self, ranks: u64, stream: &mut Stream) -> u64 {
        let place = stream.random::<f64>() * self.popularity[ranks as usize - 1];
        (self.popularity.partition_point(|sum| *sum <= place) as u64).min(ranks - 1)
    }

    /// An item of a cluster: items whose number has that remainder.
    fn of_cluster(&self, cluster: u64, stream: &mut Stream) -> u64 {
        let members = (self.size.items - cluster).div_ceil(self.clusters);
        self.rank(members, stream) * self.clusters + cluster
    }

    /// What often follows an item: another one of its cluster.
    fn companion(&self, item: u64) -> u64 {
        let next = item + 3 * self.clusters;
        if next < self.size.items { next } else { item % self.clusters }
    }
}

/// The events of one user.
fn history(choices: &Choices, count: u64, stream: &mut Stream, mut push: impl FnMut(u64, i64)) {
    let liked: [u64; LIKED] = std::array::from_fn(|_| choices.rank(choices.clusters, stream));
    let mut past: Vec<u64> = Vec::new();
    let mut at = stream.random::<f64>() * WINDOW / 2.0;
    // As many days between sessions as fit into the rest of the window.
    let sessions = (count as f64 * ENDS).max(1.0);
    let days = DAYS.min((WINDOW - at) / DAY / sessions * 0.8);
    for event in 0..count {
        let draw = stream.random::<f64>();
        let item = match past.last() {
            Some(_) if draw < REPEATS => past[stream.random_range(0..past.len())],
            Some(last) if draw < REPEATS + FOLLOWS => choices.companion(*last),
            _ if draw < REPEATS + FOLLOWS + LIKES => choices.of_cluster(liked[stream.random_range(0..LIKED)], stream),
            _ => choices.rank(choices.size.items, stream),
        };
        past.push(item);
        push(item, BEGIN + (at.min(WINDOW) / SECOND).floor() as i64 * SECOND as i64);
        if event + 1 < count {
            let waits = -(1.0 - stream.random::<f64>()).ln();
            at += waits * if stream.random::<f64>() < ENDS { days * DAY } else { SECONDS * SECOND };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use twinmart_tables::read_parquet;

    const SIZE: Size = Size { users: 300, items: 400, events: 12_000 };

    fn events(seed: u64) -> RecordBatch {
        let folder = tempfile::tempdir().unwrap();
        write(SIZE, seed, folder.path(), &Progress::silent()).unwrap();
        let (schema, batches) = read_parquet(folder.path().join("events.parquet")).unwrap();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    #[test]
    fn it_is_as_large_as_asked_for_and_the_same_for_a_seed() {
        let first = events(1);
        assert_eq!(first.num_rows(), 12_000);
        assert_eq!(first, events(1));
        assert_ne!(first, events(2));
        let user = first.column(0).as_primitive::<Int64Type>().values();
        assert!(user.is_sorted() && *user.last().unwrap() == 299);
    }

    #[test]
    fn few_items_are_popular_and_companions_follow_each_other() {
        let events = events(3);
        let item = events.column(1).as_primitive::<Int64Type>().values();
        assert!(item.iter().all(|i| (0..400).contains(i)));
        let mut counts = vec![0; 400];
        item.iter().for_each(|i| counts[*i as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // A tenth of the items have far more than a tenth of the events, and not all.
        let most: i32 = counts[..40].iter().sum();
        assert!((2_000..10_000).contains(&most), "{most}");
        let choices = Choices::of(SIZE);
        let follow = item.windows(2).filter(|w| choices.companion(w[0] as u64) == w[1] as u64).count();
        assert!(follow as f64 > 0.8 * FOLLOWS * 12_000.0, "{follow}");
    }

    #[test]
    fn sessions_are_short_and_times_go_on_inside_the_window() {
        let events = events(4);
        let (user, at) = (events.column(0).as_primitive::<Int64Type>(), events.column(2));
        let at = at.as_primitive::<TimestampMicrosecondType>().values();
        let pairs: Vec<usize> = (1..at.len()).filter(|e| user.value(*e) == user.value(e - 1)).collect();
        assert!(pairs.iter().all(|e| at[*e] >= at[e - 1]));
        assert!(at.iter().all(|t| (BEGIN..=BEGIN + WINDOW as i64).contains(t)));
        let new = pairs.iter().filter(|e| at[**e] - at[**e - 1] > 1_800_000_000).count() as f64;
        assert!((0.7..1.1).contains(&(new / pairs.len() as f64 / ENDS)), "{new}");
    }
}
