use super::*;
use crate::planted::{all_rows, fitting, planted, table};
use rand::RngCore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use twinmart_tables::{Checkpoints, Error, Progress, Reporter};

fn parts() -> Parts {
    Parts { train: planted(3000, "train"), validation: planted(1000, "held") }
}

fn learned(steps: u64) -> Network {
    Network::fit(&parts(), &fitting(steps), Size::Base).unwrap()
}

#[test]
fn probabilities_of_all_rows_sum_to_one() {
    let sum: f64 = learned(2).log_likelihood(&all_rows()).iter().map(|l| l.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
}

/// Log probability of a planted row.
fn truth(codes: &Codes, row: usize) -> f64 {
    let [coarse, other, last] = [0, 2, 4].map(|p| codes.values[p][row]);
    let expected = u32::from(coarse == other.min(1));
    let p = if last == expected { 0.9 } else { 0.1 };
    (p / (2.0 * f64::from(2 + coarse) * 3.0)).ln()
}

#[test]
fn learns_a_dependence_of_three_columns() {
    let test = planted(1000, "test");
    let mean = learned(40).log_likelihood(&test).iter().sum::<f64>() / 1000.0;
    let best = (0..1000).map(|row| truth(&test, row)).sum::<f64>() / 1000.0;
    assert!(mean > best - 0.03, "{mean} nats a row, {best} at best");
}

#[test]
fn draws_are_those_of_the_likelihood() {
    let network = learned(5);
    let rows = 40_000;
    let family = Draws::new(9).family("test", "");
    let mut streams: Vec<Stream> = (0..rows).map(|r| family.row(r)).collect();
    let mut values = vec![vec![UNKNOWN; rows as usize]; 5];
    network.fill(&mut values, &mut streams);
    let all = all_rows();
    for (position, likelihood) in network.log_likelihood(&all).iter().enumerate() {
        let same = |r: &usize| (0..5).all(|p| values[p][*r] == all.values[p][position]);
        let share = (0..rows as usize).filter(same).count() as f64 / rows as f64;
        let p = likelihood.exp();
        assert!((share - p).abs() < 5.0 * (p / rows as f64).sqrt() + 1e-4, "{share} of the rows, probability {p}");
    }
}

#[test]
fn draws_follow_what_is_known_later() {
    let network = learned(80);
    let rows = 20_000;
    let family = Draws::new(9).family("test", "");
    let mut streams: Vec<Stream> = (0..rows).map(|r| family.row(r)).collect();
    let mut values = vec![vec![UNKNOWN; rows as usize]; 5];
    values[2].fill(0);
    values[4].fill(1);
    network.fill(&mut values, &mut streams);
    assert!(values[2].iter().all(|c| *c == 0) && values[4].iter().all(|c| *c == 1));
    let row = [UNKNOWN, UNKNOWN, 0, UNKNOWN, 1].map(|code| vec![code]);
    let p = f64::from(network.walk(&row, &[0]).conditionals(0, &[0], &[0])[0]);
    let share = values[0].iter().filter(|c| **c == 0).count() as f64 / rows as f64;
    assert!((share - p).abs() < 5.0 * (0.25 / rows as f64).sqrt(), "{share} of the rows, probability {p}");
    assert!((p - 0.9).abs() < 0.06, "Bayes' rule gives 0.9, the network {p}");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = learned(2);
            let mut streams: Vec<Stream> = (0..300).map(|r| Draws::new(9).family("test", "").row(r)).collect();
            let mut values = vec![vec![UNKNOWN; 300]; 5];
            network.fill(&mut values, &mut streams);
            (
                network.parts().1.iter().map(|w| w.to_bits()).collect::<Vec<_>>(),
                values,
                streams.iter_mut().map(|s| s.next_u64()).collect::<Vec<_>>(),
            )
        })
    };
    assert_eq!(bytes(1), bytes(2));
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let network = learned(1);
    let all = all_rows();
    let together = network.log_likelihood(&all);
    for (row, likelihood) in together.iter().enumerate() {
        let values = all.values.iter().map(|v| vec![v[row]]).collect();
        let alone = network.log_likelihood(&Codes { sub_columns: table(), values });
        assert_eq!(alone[0].to_bits(), likelihood.to_bits());
    }
}

#[test]
fn gradient_agrees_with_differences() {
    let codes = planted(6, "train");
    let layout = Layout::of(&codes.sub_columns, Shape { width: 16, hidden: 32, blocks: 2 });
    let mut weights = initial(&codes.sub_columns, &layout, &codes, Draws::new(2));
    let rows = Rows::of(&codes.sub_columns, &codes);
    let (mut inputs, mut questions) = (Vec::new(), vec![Vec::new(); 5]);
    for row in 0..6 {
        rows.inputs(&layout, row, |p| p == 0 || (p == 2 && row % 2 == 0), &mut inputs);
        for p in [1, 4] {
            questions[p].push(Question { weight: 1.0 + row as f32, ..rows.question(p, row, row) });
        }
    }
    let mut transposed = vec![0.0; layout.total];
    for (width, place) in layout.matrices() {
        matrix::transpose(&weights[place.clone()], width, &mut transposed[place]);
    }
    let loss = |weights: &[f32], gradient: &mut [f32]| {
        Pass::forward(&layout, weights, &inputs).back(&layout, weights, &transposed, &questions, &inputs, gradient)
    };
    let mut gradient = vec![0.0; layout.total];
    loss(&weights, &mut gradient);
    let mut unused = vec![0.0; layout.total];
    for place in (0..layout.total).step_by(7) {
        let kept = weights[place];
        let mut at = |shift: f32| {
            weights[place] = kept + shift;
            loss(&weights, &mut unused)
        };
        let slope = (at(0.01) - at(-0.01)) / 0.02;
        weights[place] = kept;
        let error = (slope - f64::from(gradient[place])).abs();
        assert!(error < 0.02 + 0.01 * slope.abs(), "weight {place}: {slope}, not {}", gradient[place]);
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let network = learned(1);
    let sub_columns = table();
    assert!(network.is_sound(&sub_columns));
    let (structure, weights) = network.parts();
    assert_eq!(Network::from_parts(structure, weights.to_vec()), network);
    let broken = |change: &dyn Fn(&mut Network)| {
        let mut network = network.clone();
        change(&mut network);
        !network.is_sound(&sub_columns)
    };
    assert!(broken(&|n| n.weights.truncate(10)));
    assert!(broken(&|n| n.weights[3] = f32::NAN));
    assert!(broken(&|n| n.shape.width = 8));
    assert!(broken(&|n| n.sub_columns[1].level = 2));
    assert!(broken(&|n| n.sub_columns.clear()));
}

#[test]
fn a_deadline_in_the_past_leaves_a_network_that_says_so() {
    let late = Fitting { deadline: Some(std::time::Instant::now()), ..fitting(0) };
    let network = Network::fit(&parts(), &late, Size::Base).unwrap();
    assert!(network.is_unfinished() && network.is_sound(&table()));
    assert!(!learned(1).is_unfinished());
}

/// Raises the flag at a certain step.
struct Stopping {
    at: usize,
    steps: AtomicUsize,
    stop: Arc<AtomicBool>,
}

impl Reporter for Stopping {
    fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
        0
    }
    fn advance(&self, _: usize, rows: u64) {
        if rows > 0 && self.steps.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            self.stop.store(true, Ordering::SeqCst);
        }
    }
    fn finish(&self, _: usize) {}
    fn warn(&self, message: &str) {
        panic!("{message}");
    }
}

#[test]
fn stopped_again_and_again_it_comes_to_the_same_network() {
    let dir = tempfile::tempdir().unwrap();
    let whole = learned(12);
    let mut stops = 0;
    let resumed = loop {
        // 3000 rows are 12 steps an epoch, and a look at the held-out rows comes after some eleven epochs.
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Stopping { at: 31, steps: AtomicUsize::new(0), stop: stop.clone() };
        let checkpoints = Checkpoints::open(dir.path(), std::time::Duration::from_nanos(1)).unwrap();
        let progress = Progress::new(Arc::new(stopping), stop).keeping(checkpoints);
        match Network::fit(&parts(), &Fitting { progress, ..fitting(12) }, Size::Base) {
            Ok(network) => break network,
            Err(error) => assert!(matches!(error, Error::Interrupted)),
        }
        stops += 1;
    };
    assert_eq!(stops, 4, "144 steps");
    assert!(resumed == whole);
}
