//! What every recommender must do, on one small shop with structure: three tastes, twelve items each.

use proptest::prelude::*;
use std::collections::HashSet;
use std::io::Cursor;
use twinmart_rank::*;
use twinmart_tables::{Draws, Error, Histories, HoldoutPlan, Progress, Split, SplitKind, SplitPlan, TimeScale};

const DAY: i64 = 86_400_000_000;

/// `users` people, each mostly of one taste; repeats, equal times and unused items occur.
fn shop(users: usize, seed: u64) -> Histories {
    use rand::Rng;
    let family = Draws::new(seed).family("test.shop", "");
    let mut h = Histories {
        users: (0..users).map(|u| format!("u{u}")).collect(),
        items: (0..40).map(|i| format!("i{i}")).collect(),
        offsets: vec![0],
        item: Vec::new(),
        time: Vec::new(),
        session: Vec::new(),
        row: Vec::new(),
        scale: TimeScale::Microseconds,
    };
    for user in 0..users {
        let mut stream = family.row(user as u64);
        let mut day = stream.random_range(0..200);
        for _ in 0..stream.random_range(4..20) {
            let taste = if stream.random_range(0..10) < 8 { user % 3 } else { stream.random_range(0..3) };
            let within: u32 = stream.random_range(0..12u32).min(stream.random_range(0..12));
            day += stream.random_range(0..10);
            h.row.push(h.item.len());
            h.item.push(taste as u32 * 12 + within);
            h.time.push(day * DAY);
            h.session.push(0);
        }
        h.offsets.push(h.item.len());
    }
    h
}

fn split(h: &Histories, kind: SplitKind) -> Split {
    Split::make(h, &SplitPlan { kind, seed: 3, holdout: HoldoutPlan::Share(0.3), test_from: None }).unwrap()
}

fn small(settings: Settings) -> Settings {
    match settings {
        Settings::Ials(s) => Settings::Ials(IalsSettings { dimensions: 8, ..s }),
        Settings::Ease(_) => Settings::Ease(EaseSettings { lambda: 5.0 }),
        Settings::EventModel(s) => Settings::EventModel(EventModelSettings { width: 32, steps: 60, ..s }),
        other => other,
    }
}

fn all_models(h: &Histories) -> Vec<(&'static str, Box<dyn Recommender>)> {
    let fit = |e: &Entry| small(e.defaults()).fit(h, 1, &Progress::silent()).unwrap();
    REGISTRY.iter().map(|e| (e.name, fit(e))).collect()
}

/// A history of one session whose times are only an order.
fn typed<'a>(items: &'a [u32], times: &'a [i64]) -> UserHistory<'a> {
    static ONE: [u32; 40] = [0; 40];
    let now = times.last().copied().unwrap_or(0);
    UserHistory { items, times, sessions: &ONE[..items.len()], now, scale: TimeScale::Order }
}

fn scores(model: &dyn Recommender, history: &UserHistory<'_>) -> Vec<f32> {
    let mut scores = vec![f32::NAN; 40];
    model.score(history, &mut scores);
    scores
}

#[test]
fn explanations_add_up_to_scores() {
    let h = shop(80, 1);
    for (name, model) in all_models(&h) {
        for user in 0..20 {
            let history = UserHistory::of(&h, user);
            for (item, score) in scores(&*model, &history).iter().enumerate() {
                let summands = model.explain(&history, item as u32);
                let sum: f64 = summands.iter().map(|c| c.amount).sum();
                let size: f64 = summands.iter().map(|c| c.amount.abs()).sum();
                assert!((sum - f64::from(*score)).abs() <= 1e-5 * size.max(1e-3), "{name}: {sum} is not {score}");
            }
        }
    }
}

/// Taking the largest reason out of the history must lower the first item's score at least as often as taking any other.
#[test]
fn the_named_reason_matters_most() {
    let h = shop(400, 2);
    for (name, model) in all_models(&h) {
        if name.starts_with("popularity") || name == "buy-again" {
            continue;
        }
        let (mut by_reason, mut by_other) = (0.0, 0.0);
        for user in 0..200 {
            let history = UserHistory::of(&h, user);
            let seen: HashSet<u32> = history.items.iter().copied().collect();
            let all = scores(&*model, &history);
            let Some(first) = top_k(&all, |i| seen.contains(&(i as u32)), 1).and_then(|t| t.first().copied()) else {
                continue;
            };
            let mut reasons = model.explain(&history, first);
            reasons.retain(|r| matches!(r.source, Source::PastItem(_)));
            reasons.sort_by(|a, b| b.amount.total_cmp(&a.amount));
            let (
                Some(Contribution { source: Source::PastItem(top), .. }),
                Some(Contribution { source: Source::PastItem(last), .. }),
            ) = (reasons.first(), reasons.last())
            else {
                continue;
            };
            let without = |gone: u32| {
                let kept: Vec<usize> = (0..history.items.len()).filter(|e| history.items[*e] != gone).collect();
                let items: Vec<u32> = kept.iter().map(|e| history.items[*e]).collect();
                let times: Vec<i64> = kept.iter().map(|e| history.times[*e]).collect();
                let sessions: Vec<u32> = kept.iter().map(|e| history.sessions[*e]).collect();
                let left = UserHistory { items: &items, times: &times, sessions: &sessions, ..history };
                scores(&*model, &left)[first as usize]
            };
            by_reason += f64::from(all[first as usize] - without(*top));
            by_other += f64::from(all[first as usize] - without(*last));
        }
        assert!(by_reason > by_other, "{name}: {by_reason} against {by_other}");
    }
}

#[test]
fn structure_is_found() {
    let h = shop(300, 3);
    let s = split(&h, SplitKind::HoldoutUsers);
    let plan = TrainPlan { names: vec!["all".into()], choice: Choice::Validation, trained_on: "real".into(), seed: 5 };
    let trained = train(&s, &s.train, &plan, &Progress::silent()).unwrap();
    let evaluation = trained.evaluate(&s, 10, &Progress::silent()).unwrap();
    let new = &evaluation.views.iter().find(|(v, _)| *v == View::New).unwrap().1;
    let ndcg = |name: &str| new.iter().find(|(n, _)| n == name).unwrap().1.ndcg();
    for name in ["item-knn", "ease", "ials", "rules", "markov", "ease-window"] {
        assert!(ndcg(name) > 1.2 * ndcg("popularity"), "{name} {} popularity {}", ndcg(name), ndcg("popularity"));
    }
    let json = evaluation.json();
    assert_eq!(json["candidates"], "all");
    assert!(json["views"]["new"]["models"]["ease"]["ndcg@10"].as_f64().unwrap() > 0.0);
    assert!(json["views"]["all"]["users"].as_u64().unwrap() > 0);
}

/// EASE against a Gauss-Jordan inverse written out here.
#[test]
fn ease_is_the_regression_with_a_zero_diagonal() {
    let h = shop(60, 4);
    let x = Interactions::binary(&h);
    let n = 40;
    let mut a = vec![vec![0.0f64; 2 * n]; n];
    for user in 0..x.rows() {
        for i in x.row(user).0 {
            for j in x.row(user).0 {
                a[*i as usize][*j as usize] += 1.0;
            }
        }
    }
    for (i, row) in a.iter_mut().enumerate() {
        row[i] += 7.0;
        row[n + i] = 1.0;
    }
    for pivot in 0..n {
        let scale = a[pivot][pivot];
        a[pivot].iter_mut().for_each(|v| *v /= scale);
        let row = a[pivot].clone();
        for (i, other) in a.iter_mut().enumerate() {
            let factor = other[pivot];
            if i != pivot {
                other.iter_mut().zip(&row).for_each(|(v, p)| *v -= factor * p);
            }
        }
    }
    let model = fit_ease(&x, 7.0, Recency::FLAT, &Progress::silent()).unwrap();
    let Weights::Dense { kept, weights } = &model.weights else { panic!("EASE is dense") };
    for (r, j) in kept.iter().enumerate() {
        for (c, i) in kept.iter().enumerate() {
            let (i, j) = (*i as usize, *j as usize);
            let expected = if i == j { 0.0 } else { -a[j][n + i] / a[i][n + i] };
            assert!((f64::from(weights[r * kept.len() + c]) - expected).abs() < 1e-6, "B[{j},{i}]");
        }
    }
}

#[test]
fn neighbours_equal_their_formula() {
    let h = shop(50, 5);
    let x = Interactions::binary(&h);
    let rows: Vec<HashSet<u32>> = (0..x.rows()).map(|u| x.row(u).0.iter().copied().collect()).collect();
    let mean = rows.iter().map(HashSet::len).sum::<usize>() as f64 / rows.len() as f64;
    for weight in [UserWeight::None, UserWeight::TfIdf, UserWeight::Bm25] {
        let of_user = |row: &HashSet<u32>| {
            let (idf, length) = ((40.0 / row.len() as f64).ln(), 0.25 + 0.75 * row.len() as f64 / mean);
            match weight {
                UserWeight::None => 1.0,
                UserWeight::TfIdf => idf,
                UserWeight::Bm25 => idf * 2.2 / (1.2 * length + 1.0),
            }
        };
        let product = |i: u32, j: u32| -> f64 {
            rows.iter().filter(|r| r.contains(&i) && r.contains(&j)).map(|r| of_user(r).powi(2)).sum()
        };
        let settings = NeighbourSettings { weight, neighbours: 5, shrink: 3.0 };
        let model = Settings::ItemKnn(settings).fit(&h, 0, &Progress::silent()).unwrap();
        for past in 0..40u32 {
            let mut expected: Vec<f64> = (0..40)
                .map(|i| {
                    let common = rows.iter().filter(|r| r.contains(&i) && r.contains(&past)).count() as f64;
                    let norm = (product(i, i) * product(past, past)).sqrt();
                    if i == past || common == 0.0 { 0.0 } else { common / (common + 3.0) * product(i, past) / norm }
                })
                .collect();
            let mut sorted = expected.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            // Values within rounding of the fifth may fall on either side.
            let found = scores(&*model, &typed(&[past], &[0]));
            for (e, f) in expected.iter_mut().zip(found) {
                let kept = if *e > sorted[4] + 1e-6 {
                    *e
                } else if *e < sorted[4] - 1e-6 {
                    0.0
                } else {
                    f64::from(f)
                };
                assert!((kept - f64::from(f)).abs() < 1e-5, "{weight:?} from {past}: {kept} {f}");
            }
        }
    }
}

/// Rules and Markov on a sequence small enough to do by hand.
#[test]
fn rules_count_what_follows() {
    let mut h = shop(1, 1);
    (h.item, h.time) = (vec![1, 2, 1, 3], vec![0, 1, 2, 3]);
    h.offsets = vec![0, 4];
    let one = |item| scores_of(&h, item, 2, 0.5);
    let root = 2f32.sqrt();
    // Distinct sequence 1, 2, 3; each item has one user.
    assert_eq!((one(1)[2], one(1)[3], one(2)[3], one(3)[1]), (1.0 / root, 0.5 / root, 1.0 / root, 0.0));
    let markov = Settings::Markov(MarkovSettings { recency: Recency::FLAT }).fit(&h, 0, &Progress::silent()).unwrap();
    let found = scores(&*markov, &typed(&[1, 2], &[0, 1]));
    assert_eq!((found[2], found[3]), (1.0 / 6.0, 1.0 / 6.0));
}

fn scores_of(h: &Histories, item: u32, steps: usize, popularity_power: f64) -> Vec<f32> {
    let settings = RuleSettings { steps, popularity_power, recency: Recency::FLAT };
    let model = Settings::Rules(settings).fit(h, 0, &Progress::silent()).unwrap();
    scores(&*model, &typed(&[item], &[0]))
}

#[test]
fn counting_models_follow_their_formulas() {
    let mut h = shop(2, 1);
    (h.item, h.offsets) = (vec![1, 1, 2, 1], vec![0, 3, 4]);
    h.time = vec![0, 90 * DAY, 100 * DAY, 86 * DAY];
    let fit = |s: Settings| s.fit(&h, 0, &Progress::silent()).unwrap();
    let history = UserHistory::of(&h, 0);
    assert_eq!(scores(&*fit(Settings::Popularity), &history)[1..3], [2.0, 1.0]);
    let recent = RecentSettings { days: 12.0, half_life_days: 10.0 };
    assert_eq!(scores(&*fit(Settings::PopularityRecent(recent)), &history)[1..3], [0.5, 1.0]);
    let again = BuyAgainSettings { half_life_days: 10.0, half_life_events: 1.0 };
    let found = scores(&*fit(Settings::BuyAgain(again)), &history);
    assert!((found[1] - (0.5 + 2f32.powi(-10))).abs() < 1e-6 && found[2] == 1.0);
    let order = UserHistory { scale: TimeScale::Order, ..history };
    assert_eq!(scores(&*fit(Settings::BuyAgain(again)), &order)[1..3], [0.75, 1.0]);
}

fn ials(dimensions: usize, steps: usize) -> IalsSettings {
    IalsSettings { dimensions, alpha0: 0.1, lambda: 0.01, nu: 1.0, sweeps: 0, steps, repeat_weight: 0.5 }
}

#[test]
fn ials_loss_never_rises() {
    let mut training = IalsTraining::start(&Interactions::counts(&shop(60, 6)), &ials(6, 3), 1);
    let mut last = f64::INFINITY;
    for _ in 0..10 {
        training.sweep();
        let loss = training.loss().total();
        assert!(loss <= last * (1.0 + 1e-6), "{loss} after {last}");
        last = loss;
    }
}

/// With the gradient of the written-out loss at zero, the dense normal equations hold: after a converged sweep no single
/// item row can be moved to lower the loss, and fold-in gives the minimiser for a user.
#[test]
fn ials_solves_the_normal_equations() {
    let h = shop(30, 7);
    let settings = IalsSettings { sweeps: 3, ..ials(4, 60) };
    let model = Settings::Ials(settings).fit(&h, 1, &Progress::silent()).unwrap();
    let mut parts = Parts::default();
    model.save(&mut parts);
    let rows = parts.f32("items").unwrap();
    let row = |i: usize| -> Vec<f64> { rows[i * 4..i * 4 + 4].iter().map(|x| f64::from(*x)).collect() };
    let counts = Interactions::counts(&h);
    let (items, times) = (counts.row(0).0, vec![0; counts.row(0).0.len()]);
    let n = items.len() as f64 + 0.1 * 40.0;
    // Gradient descent on the user's loss, from the formula: an independent road to the same minimum.
    let mut w = [0.0f64; 4];
    for _ in 0..200_000 {
        let mut gradient: Vec<f64> = w.iter().map(|x| 0.01 * n * x).collect();
        for i in 0..40 {
            let h = row(i);
            let y: f64 = w.iter().zip(&h).map(|(a, b)| a * b).sum();
            let pull = 0.1 * y + if items.contains(&(i as u32)) { y - 1.0 } else { 0.0 };
            gradient.iter_mut().zip(&h).for_each(|(g, h)| *g += pull * h);
        }
        w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= 0.05 * g);
    }
    let found = scores(&*model, &typed(items, &times));
    for (i, score) in found.iter().enumerate() {
        let expected: f64 = w.iter().zip(row(i)).map(|(a, b)| a * b).sum();
        assert!((f64::from(*score) - expected).abs() < 1e-4, "{score} {expected}");
    }
}

#[test]
fn threads_change_nothing() {
    let h = shop(200, 8);
    let s = split(&h, SplitKind::Temporal);
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let names = vec!["all".into()];
            let plan = TrainPlan { names, choice: Choice::Defaults, trained_on: "real".into(), seed: 5 };
            let trained = train(&s, &s.train, &plan, &Progress::silent()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            trained.save(dir.path().join("a.recs"), false).unwrap();
            let evaluation = trained.evaluate(&s, 5, &Progress::silent()).unwrap().json().to_string();
            let kept = serde_json::to_string(&retention(&s, &shop(150, 9), 1, &Progress::silent()).unwrap()).unwrap();
            (std::fs::read(dir.path().join("a.recs")).unwrap(), evaluation, kept)
        })
    };
    assert!(bytes(1) == bytes(3));
}

/// The inverse of a matrix large enough to be cut into blocks gives the same bits on one and three threads.
#[test]
fn a_large_inverse_does_not_depend_on_threads() {
    use rand::Rng;
    let mut stream = Draws::new(1).stream("test.large");
    let rows: Vec<Vec<u32>> = (0..900).map(|_| (0..12).map(|_| stream.random_range(0..700)).collect()).collect();
    let x = Interactions::of_rows(rows.iter().map(Vec::as_slice), 700);
    let fit = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit_ease(&x, 20.0, Recency::FLAT, &Progress::silent()).unwrap())
    };
    assert!(fit(1) == fit(3));
}

#[test]
fn a_copy_keeps_everything_and_noise_nothing() {
    let h = shop(400, 10);
    let s = split(&h, SplitKind::HoldoutUsers);
    let copy = retention(&s, &s.train, 1, &Progress::silent()).unwrap();
    assert_eq!(copy.model_rank_kendall_tau, Some(1.0));
    assert!(copy.ranking["popularity"].kept.is_none());
    assert!((copy.ranking["ease"].kept.unwrap() - 1.0).abs() < 1e-9);
    let mut noise = s.train.clone();
    let n = noise.item.len();
    noise.item = (0..n).map(|e| s.train.item[(e * 7919 + 13) % n]).collect();
    let kept = retention(&s, &noise, 1, &Progress::silent()).unwrap().ranking["ease"].kept.unwrap();
    assert!(kept < 0.5, "{kept}");
}

fn trained() -> (Split, Recommenders) {
    let s = split(&shop(60, 11), SplitKind::LeaveLastOut);
    let plan = TrainPlan { names: vec!["all".into()], choice: Choice::Defaults, trained_on: "real".into(), seed: 5 };
    let recommenders = train(&s, &s.train, &plan, &Progress::silent()).unwrap();
    (s, recommenders)
}

#[test]
fn a_file_comes_back_the_same_and_serves() {
    let (s, before) = trained();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.recs");
    before.save(&path, false).unwrap();
    assert!(matches!(before.save(&path, false), Err(Error::Usage(_))));
    let after = Recommenders::load(&path).unwrap();
    let json = |r: &Recommenders| r.evaluate(&s, 5, &Progress::silent()).unwrap().json();
    assert_eq!(json(&before), json(&after));
    assert_eq!(after.describe()["contains_user_histories"], true);
    for entry in REGISTRY.iter().filter(|e| !e.takes_minutes) {
        let request = Request { k: 4, model: Some(entry.name), repeats: None, explain: true };
        let list = after.recommend_to_user("u3", &request).unwrap();
        assert_eq!(list, before.recommend_to_user("u3", &request).unwrap());
        assert_eq!(list.len(), 4, "{}", entry.name);
        let history = after.recommend_to_history(&["i1".into(), "i2".into()], &request).unwrap();
        let repeats = history.iter().any(|r| r.item == "i1" || r.item == "i2");
        assert_eq!(repeats, entry.name == "buy-again", "{}", entry.name);
    }
    let nobody = Request { k: 2, model: Some("ease"), repeats: None, explain: true };
    let cold = after.recommend_to_history(&[], &nobody).unwrap();
    assert!(cold.iter().all(|r| r.model == "popularity" && r.reasons[0].item.is_none()));
    let wrong = |e: twinmart_tables::Result<Vec<Recommendation>>| e.unwrap_err().to_string();
    assert!(wrong(after.recommend_to_user("nobody", &nobody)).contains("--history"));
    assert!(wrong(after.recommend_to_history(&["x".into()], &nobody)).contains("no such item"));
    let other = split(&shop(61, 11), SplitKind::LeaveLastOut);
    assert!(matches!(after.evaluate(&other, 5, &Progress::silent()), Err(Error::Usage(_))));
}

#[test]
fn damaged_files_are_refused() {
    let (_, whole) = trained();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.recs");
    whole.save(&path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    use rand::Rng;
    let mut stream = Draws::new(1).stream("test.damage");
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        match stream.random_range(0..3) {
            0 => damaged.truncate(stream.random_range(0..bytes.len())),
            1 => damaged[stream.random_range(0..bytes.len())] ^= 1 << stream.random_range(0..8),
            _ => damaged = (0..stream.random_range(0..500)).map(|_| stream.random()).collect(),
        }
        // A flipped bit may sit where nothing is read (a checksum of the container, say); it must not panic.
        if let Err(error) = Recommenders::read(Cursor::new(damaged)) {
            assert!(matches!(error, Error::Data(_)), "{error}");
        }
    }
    std::fs::write(&path, b"not a zip").unwrap();
    let message = Recommenders::load(&path).unwrap_err().to_string();
    assert!(message.contains("a.recs") && message.contains("train again"), "{message}");
}

/// Scores that are set from outside: what the kernel does with ties and lists.
#[derive(Debug)]
struct Fixed(Vec<f32>);

impl Recommender for Fixed {
    fn score(&self, _: &UserHistory<'_>, scores: &mut [f32]) {
        scores.copy_from_slice(&self.0);
    }
    fn explain(&self, _: &UserHistory<'_>, _: u32) -> Vec<Contribution> {
        Vec::new()
    }
    fn save<'a>(&'a self, _: &mut Parts<'a>) {}
}

/// NDCG, recall, F1, MAP and MRR written from their definitions on a full sort.
fn oracle(scores: &[f32], seen: &HashSet<u32>, relevant: &HashSet<u32>, k: usize) -> [f64; 5] {
    let mut order: Vec<u32> = (0..scores.len() as u32).filter(|i| !seen.contains(i)).collect();
    order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    let gains: Vec<f64> = order.iter().take(k).map(|i| f64::from(u8::from(relevant.contains(i)))).collect();
    let hits: f64 = gains.iter().sum();
    let discounted = |gains: &[f64]| gains.iter().zip(2..).map(|(g, r)| g / f64::from(r).log2()).sum::<f64>();
    let best = k.min(relevant.len());
    let average = (0..gains.len()).map(|r| gains[r] * gains[..=r].iter().sum::<f64>() / (r + 1) as f64).sum::<f64>();
    let (p, r) = (hits / k as f64, hits / relevant.len() as f64);
    let first = gains.iter().position(|g| *g > 0.0).map_or(0.0, |r| 1.0 / (r + 1) as f64);
    [
        discounted(&gains) / discounted(&vec![1.0; best]),
        r,
        if hits > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 },
        average / best as f64,
        first,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_kernel_equals_the_definitions(values in prop::collection::vec(0u8..6, 40), seed in 0u64..50, k in 1usize..15) {
        let h = shop(25, seed);
        let Ok(s) = std::panic::catch_unwind(|| split(&h, SplitKind::Random)) else { return Ok(()) };
        let values: Vec<f32> = values.into_iter().map(f32::from).collect();
        let popularity = vec![1.0; 40];
        let cases = TestCases { history: &s.history, target: &s.target, popularity: &popularity, training_users: 25, k };
        let results = cases.evaluate("fixed", &Fixed(values.clone()), &View::BOTH).unwrap();
        for (view, result) in View::BOTH.iter().zip(&results) {
            prop_assert_eq!(result.users.len() + result.skipped, s.history.user_count());
            for (user, m) in result.users.iter().zip(&result.per_user) {
                let seen: HashSet<u32> = match view {
                    View::New => s.history.items_of(*user).iter().copied().collect(),
                    View::All => HashSet::new(),
                };
                let relevant = s.target.items_of(*user).iter().copied().filter(|i| !seen.contains(i)).collect();
                for (a, b) in oracle(&values, &seen, &relevant, k).iter().zip([m.ndcg, m.recall, m.f1, m.map, m.mrr]) {
                    prop_assert!((a - b).abs() < 1e-12);
                }
            }
        }
    }
}

#[test]
fn a_nan_score_is_an_error() {
    let s = split(&shop(25, 1), SplitKind::Random);
    let popularity = vec![1.0; 40];
    let cases = TestCases { history: &s.history, target: &s.target, popularity: &popularity, training_users: 25, k: 3 };
    let error = cases.evaluate("fixed", &Fixed(vec![f32::NAN; 40]), &[View::All]).unwrap_err();
    assert!(error.to_string().contains("`fixed`"), "{error}");
}
