//! The event model as a recommender: it finds what is planted, comes back from its file, and does not depend on threads.

use rand::Rng;
use std::io::Cursor;
use twinmart_rank::*;
use twinmart_tables::{Draws, Histories, HoldoutPlan, Progress, Split, SplitKind, SplitPlan, TimeScale};

const DAY: i64 = 86_400_000_000;
const MINUTE: i64 = 60_000_000;
const ITEMS: u32 = 40;

/// Sessions in which item follows item in a circle of 40.
fn circles(users: usize, scale: TimeScale, seed: u64) -> Histories {
    let family = Draws::new(seed).family("test.circles", "");
    let mut h = Histories {
        users: (0..users).map(|u| format!("u{u}")).collect(),
        items: (0..ITEMS).map(|i| format!("i{i}")).collect(),
        offsets: vec![0],
        item: Vec::new(),
        time: Vec::new(),
        session: Vec::new(),
        row: Vec::new(),
        scale,
    };
    for user in 0..users {
        let mut stream = family.row(user as u64);
        let mut day = stream.random_range(0..60);
        for session in 0..stream.random_range(1..4) {
            let first = stream.random_range(0..ITEMS);
            for place in 0..stream.random_range(3..7) {
                h.row.push(h.item.len());
                h.item.push((first + place) % ITEMS);
                h.time.push(match scale {
                    TimeScale::Microseconds => day * DAY + i64::from(place) * MINUTE,
                    TimeScale::Order => h.item.len() as i64,
                });
                h.session.push(session);
            }
            day += stream.random_range(1..9);
        }
        h.offsets.push(h.item.len());
    }
    h
}

fn split(h: &Histories) -> Split {
    let plan = SplitPlan { kind: SplitKind::LeaveLastOut, seed: 3, holdout: HoldoutPlan::Share(0.3), test_from: None };
    Split::make(h, &plan).unwrap()
}

fn trained(split: &Split) -> Recommenders {
    let names = ["event-model", "popularity"].map(String::from).to_vec();
    let plan = TrainPlan { names, choice: Choice::Defaults, trained_on: "real".into(), seed: 5 };
    train(split, &split.train, &plan, &Progress::silent()).unwrap()
}

fn request(explain: bool) -> Request<'static> {
    Request { k: 4, model: Some("event-model"), repeats: None, explain }
}

#[test]
fn the_next_item_is_found_where_it_is_planted() {
    for scale in [TimeScale::Microseconds, TimeScale::Order] {
        let s = split(&circles(500, scale, 1));
        let trained = trained(&s);
        let evaluation = trained.evaluate(&s, 10, &Progress::silent()).unwrap();
        for (view, models) in &evaluation.views {
            let ndcg = |name: &str| models.iter().find(|(n, _)| n == name).unwrap().1.ndcg();
            assert!(ndcg("event-model") > 0.8, "{view:?} {}", ndcg("event-model"));
            assert!(ndcg("popularity") < 0.3, "{view:?} {}", ndcg("popularity"));
        }
        let list = trained.recommend_to_history(&["i7".into(), "i8".into(), "i9".into()], &request(true)).unwrap();
        assert_eq!((list[0].item.as_str(), list[0].model.as_str()), ("i10", "event-model"));
        let sum: f64 = list[0].reasons.iter().map(|r| r.amount).sum();
        assert!((sum - list[0].score).abs() < 1e-5, "{list:?}");
        let first = list[0].reasons.iter().find(|r| r.source == "item").unwrap();
        assert_eq!(first.item.as_deref(), Some("i9"), "{list:?}");
        let newcomer = trained.recommend_to_history(&[], &request(true)).unwrap();
        assert!(newcomer.len() == 4 && newcomer.iter().all(|r| r.score > 0.0 && r.score < 0.2), "{newcomer:?}");
    }
}

#[test]
fn explanations_add_up_to_scores() {
    let h = circles(150, TimeScale::Microseconds, 2);
    let settings = EventModelSettings { width: 32, steps: 40, moments: 3, ..EventModelSettings::default() };
    let model = Settings::EventModel(settings).fit(&h, 1, &Progress::silent()).unwrap();
    let mut scores = vec![0f32; ITEMS as usize];
    for user in 0..20 {
        let history = UserHistory::of(&h, user);
        model.score(&history, &mut scores);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-4, "scores are odds");
        for (item, score) in (0u32..).zip(&scores) {
            let sum: f64 = model.explain(&history, item).iter().map(|c| c.amount).sum();
            assert!((sum - f64::from(*score)).abs() < 1e-5, "{sum} is not {score}");
        }
    }
}

#[test]
fn a_file_comes_back_the_same_on_any_number_of_threads() {
    let s = split(&circles(120, TimeScale::Microseconds, 3));
    let dir = tempfile::tempdir().unwrap();
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let path = dir.path().join(format!("{threads}.recs"));
            let before = trained(&s);
            before.save(&path, false).unwrap();
            let after = Recommenders::load(&path).unwrap();
            let json = |r: &Recommenders| r.evaluate(&s, 5, &Progress::silent()).unwrap().json();
            assert_eq!(json(&before), json(&after));
            let list = |r: &Recommenders| r.recommend_to_user("u3", &request(true)).unwrap();
            assert_eq!(list(&before), list(&after));
            (std::fs::read(path).unwrap(), json(&after).to_string())
        })
    };
    assert!(bytes(1) == bytes(3));
}

#[test]
fn models_that_contradict_themselves_are_refused() {
    let h = circles(60, TimeScale::Microseconds, 4);
    let settings = Settings::EventModel(EventModelSettings { width: 32, steps: 2, ..EventModelSettings::default() });
    let model = settings.fit(&h, 1, &Progress::silent()).unwrap();
    let parts = || {
        let mut parts = Parts::default();
        model.save(&mut parts);
        parts
    };
    let text = parts().text("structure").unwrap();
    let (numbers, places) = (parts().f32("numbers").unwrap(), parts().u32("places").unwrap());
    let load = |text: &str, numbers: &[f32], places: &[u32], items: usize| {
        let mut parts = Parts::default();
        parts.push("structure", Values::Text(vec![text.to_string()].into()));
        parts.push("numbers", Values::F32(numbers.to_vec().into()));
        parts.push("places", Values::U32(places.to_vec().into()));
        parts.push("single_events", Values::U32(vec![0].into()));
        settings.load(&mut parts, items)
    };
    assert!(load(&text[0], &numbers, &places, 40).is_ok());
    assert!(load(&text[0], &numbers, &places, 41).is_err());
    assert!(load(&text[0], &numbers[1..], &places, 40).is_err());
    assert!(load(&text[0], &numbers, &places[1..], 40).is_err());
    assert!(load(&text[0].replace("\"items\":40", "\"items\":39"), &numbers, &places, 40).is_err());
    assert!(load("{}", &numbers, &places, 40).is_err());
    let mut infinite = numbers.clone();
    infinite[0] = f32::INFINITY;
    assert!(load(&text[0], &infinite, &places, 40).is_err());
}

/// A file without the sessions of its histories is not a whole one.
#[test]
fn sessions_belong_to_the_file() {
    let mut h = circles(60, TimeScale::Microseconds, 5);
    h.session.fill(0);
    let s = split(&h);
    let plan =
        TrainPlan { names: vec!["popularity".into()], choice: Choice::Defaults, trained_on: "real".into(), seed: 5 };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.recs");
    train(&s, &s.train, &plan, &Progress::silent()).unwrap().save(&path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let name = b"histories/session";
    let mut damaged = bytes.clone();
    for at in 0..bytes.len() - name.len() {
        if &bytes[at..at + name.len()] == name {
            damaged[at + 10] = b'x';
        }
    }
    assert!(Recommenders::read(Cursor::new(bytes)).is_ok());
    assert!(Recommenders::read(Cursor::new(damaged)).is_err());
}
