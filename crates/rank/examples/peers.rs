//! Fits, ranks and times on the files that `twinmart split` wrote, with settings that other packages have too:
//! our side of `bench/peers/ranking.py`. Prints one JSON object; seconds are medians.
//!
//! `cargo run --release -p twinmart-rank --example peers -- DIR [quality|speed]`

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use twinmart_rank::{
    EaseSettings, IalsSettings, IalsTraining, Interactions, NeighbourSettings, Recency, Settings, TestCases,
    UserWeight, View, fit_ease,
};
use twinmart_tables::{Error, Histories, Progress, Result, TimeScale, read_parquet};

/// Fits of a model with random starts.
const SEEDS: u64 = 3;
/// Repeats of a timed fit.
const REPEATS: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(folder) = arguments.get(1) else {
        return Err(Error::usage("give the folder that `twinmart split` wrote").into());
    };
    let parts = ["train", "history", "target"].map(|name| events(&Path::new(folder).join(format!("{name}.parquet"))));
    let [train, history, target] = parts;
    let (train, history, target) = (train?, history?, target?);
    let items: BTreeSet<&String> = [&train, &history, &target].into_iter().flatten().map(|(_, item)| item).collect();
    let items: Arc<[String]> = items.into_iter().cloned().collect();
    let train = histories(&train, &[], &items);
    let history = histories(&history, &[], &items);
    let target = histories(&target, &history.users, &items);
    let result = match arguments.get(2).map(String::as_str) {
        Some("speed") => speed(&train)?,
        _ => quality(&train, &history, &target)?,
    };
    println!("{result}");
    Ok(())
}

/// NDCG@10, view new, of each model; several seeds where the start is random.
fn quality(train: &Histories, history: &Histories, target: &Histories) -> Result<Value> {
    let popularity = vec![0.0; train.item_count()];
    let cases = TestCases { history, target, popularity: &popularity, training_users: train.user_count(), k: 10 };
    let knn = |weight| Settings::ItemKnn(NeighbourSettings { weight, neighbours: 100, shrink: 0.0 });
    let ials = |nu, alpha0, lambda| {
        let settings = IalsSettings { dimensions: 64, alpha0, lambda, nu, sweeps: 16, steps: 3, repeat_weight: 0.0 };
        (Settings::Ials(settings), SEEDS)
    };
    let models = [
        (Settings::Ease(EaseSettings { lambda: 500.0 }), 1),
        (knn(UserWeight::None), 1),
        (knn(UserWeight::TfIdf), 1),
        ials(0.0, 0.1, 1.0),
        ials(1.0, 0.1, 0.003),
    ];
    let mut rows = Vec::new();
    for (settings, seeds) in models {
        let mut ndcg = Vec::new();
        for seed in 0..seeds {
            let model = settings.fit(train, seed, &Progress::silent())?;
            ndcg.push(cases.evaluate("model", &*model, &[View::New])?[0].ndcg());
        }
        rows.push(json!({"settings": settings, "ndcg@10": ndcg}));
    }
    Ok(json!({"models": rows}))
}

/// Seconds of one iALS sweep (64 dimensions, 3 steps) and of one EASE fit.
fn speed(train: &Histories) -> Result<Value> {
    let x = Interactions::binary(train);
    let settings =
        IalsSettings { dimensions: 64, alpha0: 0.1, lambda: 1.0, nu: 0.0, sweeps: 0, steps: 3, repeat_weight: 0.0 };
    let mut training = IalsTraining::start(&x, &settings, 0);
    training.sweep();
    let sweep = median(5 * REPEATS, || {
        training.sweep();
        Ok(())
    })?;
    let ease = median(REPEATS, || fit_ease(&x, 500.0, Recency::FLAT, &Progress::silent()).map(|_| ()))?;
    Ok(json!({"ials_sweep_seconds": sweep, "ease_fit_seconds": ease}))
}

/// Median seconds of `repeats` runs.
fn median(repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[repeats / 2])
}

/// `(user, item)` of every row, in order.
fn events(path: &Path) -> Result<Vec<(String, String)>> {
    let (schema, batches) = read_parquet(path)?;
    let (user, item) = (schema.index_of("user")?, schema.index_of("item")?);
    let text = |array: &ArrayRef| -> Result<Vec<String>> {
        Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().iter().flatten().map(str::to_string).collect())
    };
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(text(batch.column(user))?.into_iter().zip(text(batch.column(item))?));
    }
    Ok(rows)
}

/// Histories of the rows: `first` users first, further ones by appearance; the rows' order is the time.
fn histories(rows: &[(String, String)], first: &[String], items: &Arc<[String]>) -> Histories {
    let position: HashMap<&String, u32> = items.iter().zip(0..).collect();
    let mut users = first.to_vec();
    let mut numbers: HashMap<String, usize> = users.iter().cloned().zip(0..).collect();
    let mut events: Vec<Vec<u32>> = vec![Vec::new(); users.len()];
    for (user, item) in rows {
        let number = *numbers.entry(user.clone()).or_insert_with(|| {
            users.push(user.clone());
            events.push(Vec::new());
            users.len() - 1
        });
        events[number].extend(position.get(item));
    }
    let item = events.concat();
    let mut offsets = vec![0];
    offsets.extend(events.iter().scan(0, |end, own| {
        *end += own.len();
        Some(*end)
    }));
    Histories {
        users: users.into(),
        items: items.clone(),
        offsets,
        time: (0..item.len() as i64).collect(),
        session: vec![0; item.len()],
        row: (0..item.len()).collect(),
        item,
        scale: TimeScale::Order,
    }
}
