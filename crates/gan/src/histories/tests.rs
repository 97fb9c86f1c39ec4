//! GANs of small shops of which all is known.

use super::*;
use std::collections::HashSet;
use twinmart_events::Care;
use twinmart_tables::{Body, Draws, Loss, Progress};

const ITEMS: usize = 40;
const DAY: i64 = 86_400_000_000;

/// Users of two tastes: each chooses among one half of the items, in sessions of some events at noon or in the evening.
fn shop(users: usize, clock: bool) -> Sequences {
    let mut stream = Draws::new(6).stream("shop");
    let mut shop = Sequences { offsets: vec![0], has_clock: clock, ..Sequences::default() };
    for user in 0..users {
        let half = (user % 2) * ITEMS / 2;
        let mut time = (18_000 + stream.random_range(0..60)) * DAY;
        for session in 0..stream.random_range(1..5u32) {
            let hour = if stream.random() { 12 } else { 20 };
            for event in 0..stream.random_range(1..6) {
                shop.item.push((half + stream.random_range(0..ITEMS / 2)) as u32);
                shop.time.push(if clock {
                    time + hour * 3_600_000_000 + event * 60_000_000
                } else {
                    shop.time.len() as i64
                });
                shop.session.push(session);
                shop.action.push(u32::from(stream.random::<f32>() < 0.3));
            }
            time += stream.random_range(1..9) * DAY;
        }
        shop.offsets.push(shop.item.len());
    }
    shop
}

fn settings(body: Body, loss: Loss, epochs: u64) -> Settings {
    Settings { body, loss, pack: 1, critic_steps: 1, average: false, batch: 64, epochs }
}

fn fitting() -> Fitting {
    Fitting { draws: Draws::new(2), deadline: None, progress: Progress::silent(), table: "events".into() }
}

fn summary(shop: &Sequences) -> (Summary, Profiles) {
    let summary = Summary::of(shop, ITEMS, Care::default(), Draws::new(2), &Progress::silent()).unwrap();
    let country = (0..shop.users()).map(|user| (user % 3) as u32).collect();
    (summary, Profiles { fields: vec![country], sizes: vec![3] })
}

fn fit(shop: &Sequences, settings: Settings) -> HistoryGan {
    let (summary, profiles) = summary(shop);
    HistoryGan::fit(shop, ITEMS, (&summary, &profiles), settings, &fitting()).unwrap()
}

/// As many new histories as there are plans of real ones.
fn drawn(gan: &HistoryGan, shop: &Sequences) -> (Vec<Plan>, Vec<Vec<NewEvent>>) {
    let (summary, profiles) = summary(shop);
    let plans = plans(&summary, &profiles);
    let family = Draws::new(9).family("users", "");
    let mut streams: Vec<Stream> = (0..plans.len() as u64).map(|user| family.row(user)).collect();
    let events = gan.draw(&plans, &mut streams);
    (plans, events)
}

#[test]
fn histories_are_those_of_their_plans() {
    for clock in [true, false] {
        let shop = shop(300, clock);
        for (body, loss) in [(Body::Mlp, Loss::WganGp), (Body::Cnn, Loss::R1), (Body::Rnn, Loss::Original)] {
            let gan = fit(&shop, settings(body, loss, 2));
            let (plans, histories) = drawn(&gan, &shop);
            for (plan, events) in plans.iter().zip(&histories) {
                let (sessions, count) = plan.size.unwrap();
                assert_eq!(events.len(), count);
                assert_eq!(events.iter().map(|e| e.session).collect::<HashSet<_>>().len(), sessions);
                assert!(events.iter().all(|e| (e.item as usize) < ITEMS && e.action < 2));
                assert!(events.is_sorted_by(|a, b| a.time <= b.time && a.session <= b.session));
                assert!(events.windows(2).all(|pair| pair[1].session - pair[0].session <= 1));
            }
        }
    }
}

#[test]
fn what_a_taste_chooses_is_learned_and_times_are_as_they_were() {
    let shop = shop(1_200, true);
    let gan = fit(&shop, settings(Body::Mlp, Loss::WganGp, 25));
    let (_, histories) = drawn(&gan, &shop);
    // Both of two items of one user in the same half: ½ where nothing is learned, 1 in the data.
    let half = |item: u32| item as usize / (ITEMS / 2);
    let (mut same, mut pairs) = (0.0, 0.0);
    for events in &histories {
        for pair in events.windows(2) {
            pairs += 1.0;
            same += f64::from(u8::from(half(pair[0].item) == half(pair[1].item)));
        }
    }
    assert!(same / pairs > 0.7, "{} of the neighbours are of one half", same / pairs);
    let hours = |times: &mut dyn Iterator<Item = i64>| {
        let (mut noon, mut all) = (0.0, 0.0);
        times.for_each(|time| {
            noon += f64::from(u8::from(time.rem_euclid(DAY) / 3_600_000_000 == 12));
            all += 1.0;
        });
        noon / all
    };
    let real = hours(&mut shop.time.iter().copied());
    let made = hours(&mut histories.iter().flatten().map(|e| e.time));
    assert!((made - real).abs() < 0.08, "{made} of the events at noon, not {real}");
    let gaps = |times: &[i64]| {
        times.windows(2).map(|pair| (pair[1] - pair[0]) / DAY).filter(|days| *days > 0).collect::<Vec<_>>()
    };
    let mean = |gaps: Vec<i64>| gaps.iter().sum::<i64>() as f64 / gaps.len() as f64;
    let real = mean((0..shop.users()).flat_map(|user| gaps(&shop.time[shop.of_user(user)])).collect());
    let made = mean(histories.iter().flat_map(|e| gaps(&e.iter().map(|e| e.time).collect::<Vec<_>>())).collect());
    assert!((made / real - 1.0).abs() < 0.15, "{made} days between sessions, not {real}");
}

#[test]
fn popular_items_stay_popular() {
    let mut shop = shop(800, true);
    // One item in five events is item 0.
    (0..shop.item.len()).step_by(5).for_each(|event| shop.item[event] = 0);
    let gan = fit(&shop, settings(Body::Mlp, Loss::WganGp, 8));
    let (_, histories) = drawn(&gan, &shop);
    let share = |items: &mut dyn Iterator<Item = u32>| {
        let items: Vec<u32> = items.collect();
        items.iter().filter(|item| **item == 0).count() as f64 / items.len() as f64
    };
    let real = share(&mut shop.item.iter().copied());
    let made = share(&mut histories.iter().flatten().map(|e| e.item));
    assert!((made - real).abs() < 0.03, "{made}, not {real}");
}

#[test]
fn threads_and_neighbours_change_no_bit() {
    let shop = shop(200, true);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let gan = fit(&shop, settings(Body::Mlp, Loss::WganGp, 1));
            (gan.weights.clone(), gan.items.clone(), drawn(&gan, &shop).1)
        })
    };
    assert_eq!(on(1), on(2));
    let gan = fit(&shop, settings(Body::Mlp, Loss::WganGp, 1));
    let (plans, all) = drawn(&gan, &shop);
    let family = Draws::new(9).family("users", "");
    let mut streams: Vec<Stream> = (0..30).map(|user| family.row(user)).collect();
    assert_eq!(gan.draw(&plans[..30], &mut streams), all[..30]);
}

#[test]
fn what_is_stored_draws_the_same_and_forgeries_are_refused() {
    let shop = shop(200, true);
    let gan = fit(&shop, settings(Body::Mlp, Loss::R1, 1));
    let (structure, numbers, places) = gan.parts();
    let again = |structure: &Structure, numbers: &[f32], places: &[u32]| {
        HistoryGan::from_parts(structure.clone(), ITEMS, numbers, places)
    };
    let back = again(structure, &numbers, &places).unwrap();
    assert_eq!(drawn(&back, &shop).1, drawn(&gan, &shop).1);
    assert!(again(structure, &numbers[1..], &places).is_none());
    assert!(again(structure, &numbers, &places[1..]).is_none());
    let strange: Vec<f32> = std::iter::once(f32::NAN).chain(numbers[1..].iter().copied()).collect();
    assert!(again(structure, &strange, &places).is_none());
    let mut elsewhere = places.clone();
    *elsewhere.last_mut().unwrap() = ITEMS as u32;
    assert!(again(structure, &numbers, &elsewhere).is_none());
    let mut popular = numbers.clone();
    let shares = gan.weights.len() + gan.items.vectors.len() + gan.items.odds.len();
    popular[shares] = 1e30;
    assert!(again(structure, &popular, &places).is_none());
    let forged = [
        Structure { blur: 0.0, ..structure.clone() },
        Structure { events: 1_000_000, ..structure.clone() },
        Structure { vector: 0, ..structure.clone() },
        Structure { groups: structure.groups + 1, ..structure.clone() },
    ];
    assert!(forged.into_iter().all(|forged| again(&forged, &numbers, &places).is_none()));
}
