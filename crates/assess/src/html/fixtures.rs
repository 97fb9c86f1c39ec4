//! Reports to draw in tests: one with everything and hostile text, one with next to nothing.

use crate::report::*;
use crate::training::{CurvePoint, TrainingCurves};
use serde_json::json;
use std::collections::BTreeMap;

/// Text that would break out of a page that trusts its data.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)><!-- </style> {{x}} &amp;";

/// A bell-like histogram of `bins` bins around `centre`.
fn bell(bins: usize, centre: f64) -> Vec<f64> {
    let raw: Vec<f64> = (0..bins).map(|i| (-((i as f64 - centre) / 6.0).powi(2)).exp() + 0.01).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|x| x / sum).collect()
}

fn plot(axis: Axis, low: f64, high: f64) -> Histogram {
    let edges = (0..=30).map(|i| low + (high - low) * i as f64 / 30.0).collect();
    Histogram {
        axis,
        edges,
        shares: Sides { real: bell(30, 10.0), synthetic: bell(30, 11.5), holdout: Some(bell(30, 10.3)) },
    }
}

fn shares(values: &[&str]) -> ColumnPlot {
    let n = values.len();
    let falling = |power: f64| -> Vec<f64> {
        let raw: Vec<f64> = (1..=n).map(|i| (i as f64).powf(-power)).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|x| 0.9 * x / sum).collect()
    };
    ColumnPlot::Shares(Shares {
        values: values.iter().map(|x| x.to_string()).collect(),
        shares: Sides { real: falling(1.2), synthetic: falling(1.0), holdout: Some(falling(1.25)) },
        other: Sides { real: 0.1, synthetic: 0.1, holdout: Some(0.1) },
        distinct: Sides { real: 3665, synthetic: 3598, holdout: Some(2801) },
    })
}

fn column(name: &str, kind: &str, shape: f64, plot: ColumnPlot) -> ColumnFidelity {
    let missing = Sides { real: 0.012, synthetic: 0.0, holdout: None };
    ColumnFidelity { name: name.into(), kind: kind.into(), shape, shape_reference: Some(0.994), missing, plot }
}

fn table(columns: Vec<ColumnFidelity>) -> TableFidelity {
    let n = columns.len();
    let pair = |i: usize, j: usize| match (i, j) {
        _ if i == j => Some(columns[i].shape),
        (0, 1) | (1, 0) => None,
        _ => Some(1.0 - 0.07 * (i * j % 9) as f64),
    };
    let pairs = (0..n).map(|i| (0..n).map(|j| pair(i, j)).collect()).collect();
    TableFidelity {
        role: "events".into(),
        column_shapes: Some(0.981),
        column_shapes_reference: Some(0.995),
        column_pairs: Some(0.947),
        column_pairs_reference: Some(0.989),
        accuracy: Some(0.969),
        accuracy_ceiling: None,
        columns,
        pairs,
    }
}

/// A shop with everything measured.
pub(super) fn shop() -> Report {
    let countries = ["United Kingdom", "Germany", "France", HOSTILE, "Spain", "Belgium", "", "Portugal", "Norway"];
    let number = |low, high| ColumnPlot::Histogram(plot(Axis::Log10, low, high));
    let purchases = table(vec![
        column("purchased_at", "datetime", 0.991, ColumnPlot::Histogram(plot(Axis::Seconds, 1.2911e9, 1.3235e9))),
        column("quantity", "integer", 0.972, number(0.0, 3.2)),
        column("unit_price", "number", 0.934, number(-0.5, 2.3)),
        column(HOSTILE, "category", 0.812, shares(&countries)),
    ]);
    let wide = (0..45).map(|i| {
        let name = format!("a_rather_long_column_name_that_never_seems_to_end_{i}");
        column(
            &name,
            "integer",
            0.99 - 0.004 * (i * 7 % 45) as f64,
            ColumnPlot::Histogram(plot(Axis::Number, -3.0, 57.0)),
        )
    });
    let customers = TableFidelity { role: "users".into(), ..table(wide.collect()) };
    let keys_only = TableFidelity { role: "plain".into(), columns: vec![], pairs: vec![], ..purchases.clone() };
    let curve = |power: f64| (0..=100).map(|i| (i as f64 / 100.0).powf(power)).collect::<Vec<_>>();
    let three =
        |real, synthetic, holdout| Sides { real: Some(real), synthetic: Some(synthetic), holdout: Some(Some(holdout)) };
    let pairs_in = |i: usize, j: usize| (9000.0 * (-(i.abs_diff(j) as f64) / 1.4 - i as f64 / 3.0).exp()) as u64;
    let cells = (0..20).map(|i| (0..20).map(|j| pairs_in(i, j)).collect()).collect();
    let week = |lift: f64| {
        let raw: Vec<f64> = (0..168)
            .map(|h| {
                if h / 24 == 5 {
                    0.0
                } else {
                    (-((h % 24) as f64 - 12.5).powi(2) / 14.0).exp() * (1.0 + lift * (h / 24) as f64)
                }
            })
            .collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|x| x / sum).collect::<Vec<_>>()
    };
    let sequence = SequenceFidelity {
        item_popularity_spearman: Some(0.958),
        item_gini_difference: Some(-0.021),
        item_gini: three(0.682, 0.661, 0.677),
        cooccurrence_spearman: Some(0.613),
        repeat_rate_difference: Some(0.107),
        repeat_rate: three(0.323, 0.43, 0.319),
        gap_ks: Some(0.064),
        length_ks: Some(0.031),
        sessions_ks: Some(0.044),
        basket_size_ks: Some(0.052),
        hour_of_week_tv: None,
        catalogue_coverage: three(0.998, 0.981, 0.93),
        lorenz: Sides { real: curve(3.4), synthetic: curve(3.0), holdout: Some(curve(3.3)) },
        gaps: Some(plot(Axis::Log10Days, -2.0, 2.6)),
        lengths: Some(plot(Axis::Log10, 0.0, 3.4)),
        sessions: Some(plot(Axis::Log10, 0.0, 2.2)),
        basket_sizes: Some(plot(Axis::Log10, 0.0, 2.5)),
        hours_of_week: Some(Sides { real: week(0.05), synthetic: week(0.2), holdout: None }),
        cooccurrence: Some(PairScatter { edges: (0..=20).map(|i| i as f64 * 0.12).collect(), cells, items: 200 }),
    };
    let model = |real, synthetic, kept: Option<f64>| RecommenderUtility {
        metric: "ndcg@10".into(),
        real: Some(real),
        synthetic: Some(synthetic),
        both: Some(real + 0.002),
        kept,
        kept_ci95: kept.map(|k| [k - 0.06, k + 0.05]),
    };
    let ranking = BTreeMap::from([
        ("ease".into(), model(0.1233, 0.118, Some(0.93))),
        ("item-knn".into(), model(0.1034, 0.081, Some(0.66))),
        ("ials".into(), model(0.0988, 0.089, Some(0.84))),
        ("rules".into(), model(0.1164, 0.09, Some(0.66))),
        ("recent".into(), model(0.04, 0.036, Some(-0.4))),
        ("popularity".into(), model(0.0372, 0.0371, None)),
        (HOSTILE.into(), RecommenderUtility { real: None, synthetic: None, both: None, ..model(0.0, 0.0, None) }),
    ]);
    let classes = |f1| ClassScores { accuracy: 0.91, precision: 0.8, recall: 0.6, f1 };
    let classes = ClassUtility { real: classes(0.686), synthetic: classes(0.652), both: classes(0.69) };
    let learner = |real, synthetic: Option<f64>| LearnerUtility {
        metric: "auc".into(),
        real: Some(real),
        synthetic,
        both: None,
        classes: synthetic.map(|_| classes.clone()),
    };
    let answer = |level, sentence: &str, number, measure: &str, advice: &str| Answer {
        level,
        sentence: sentence.into(),
        number,
        measure: (!measure.is_empty()).then(|| measure.into()),
        advice: advice.into(),
    };
    Report {
        version: REPORT_VERSION,
        seed: 42,
        about: About {
            project: "online-retail".into(),
            method: Some("interpolate".into()),
            contains_training_rows: Some(true),
            subject: Subject::Shop,
            has_holdout: true,
        },
        verdict: Verdict {
            faithful: answer(
                Level::Green,
                "Columns look alike: shapes are 0.981 similar, where two real samples reach 0.995.",
                Some(0.981),
                "column_shapes",
                "Use it as you would the real data for counts, shares and distributions.",
            ),
            useful: answer(
                Level::Amber,
                "Recommenders trained on the twin keep 0.750 of what training on real people gains over popularity.",
                Some(0.75),
                "kept",
                "Good for choosing between models; train the final one on real data, or learn with the autoregressive method.",
            ),
            private: answer(
                Level::Red,
                "The twin lies closer to people it learned from than to others: 0.640, where 0.500 is harmless.",
                Some(0.64),
                "dcr_share",
                "Do not share it. Choose a learned method; replicate and interpolate are made of real rows.",
            ),
        },
        fidelity: Fidelity {
            column_shapes: Some(0.981),
            column_pairs: Some(0.947),
            detection_auc: Some(0.71),
            accuracy: Some(0.969),
            accuracy_ceiling: Some(0.989),
            detection_rows: Some(3471),
            tables: BTreeMap::from([
                ("customers".into(), customers),
                ("keys".into(), keys_only),
                ("purchases".into(), purchases),
            ]),
            sequence: Some(sequence),
        },
        utility: Utility {
            tstr: BTreeMap::from([
                ("boosted trees".into(), learner(0.92, Some(0.905))),
                ("logistic".into(), learner(0.88, None)),
            ]),
            target: Some("churned".into()),
            ranking,
            model_rank_kendall_tau: Some(0.867),
            ranking_setup: Some(RankingSetup { split: "holdout-users".into(), view: "new".into(), test_users: 868 }),
        },
        privacy: Privacy {
            dcr_share: Some(0.64),
            exact_matches: Some(0.0),
            membership_auc: Some(0.81),
            epsilon: None,
            delta: None,
            exact_matches_holdout: Some(0.0),
            dcr_share_margin: Some(0.016),
            membership_auc_margin: Some(0.02),
            distances: Some(plot(Axis::Number, 0.0, 1.0)),
            compared: Some(Compared { real: 868, synthetic: 3471 }),
        },
        training: Some(vec![learned("customers", 300), learned(HOSTILE, 1), learned("keys", 0)]),
        references: BTreeMap::from(
            [
                ("column_shapes", 0.995),
                ("column_pairs", 0.989),
                ("gap_ks", 0.02),
                ("item_popularity_spearman", 0.971),
                ("cooccurrence_spearman", 0.88),
            ]
            .map(|(key, x)| (key.to_string(), x)),
        ),
        reference_basis: ReferenceBasis::Holdout,
        definitions: crate::definitions::definitions(),
        inputs: vec![
            input("customers", "users", 3471, 3471, Some(868), true),
            input("products", "items", 3665, 3665, None, false),
            input("purchases", "events", 318_204, 321_877, Some(79_488), true),
        ],
        cleaning: cleaning(),
    }
}

/// Curves of so many epochs; the networks diverged for a while.
fn learned(table: &str, epochs: u64) -> TrainingCurves {
    let point = |epoch: u64| {
        let x = epoch as f64 / 300.0;
        let unless_diverged = |x: f64| Some(x).filter(|_| !(100..110).contains(&epoch));
        CurvePoint {
            epoch,
            discriminator_loss: unless_diverged(-2.4 * (-3.0 * x).exp() + 0.1 * (40.0 * x).sin()),
            generator_loss: unless_diverged(1.5 * (1.0 - (-4.0 * x).exp()) + 0.2 * (31.0 * x).cos()),
            accuracy: Some(0.5 + 0.4 * (-3.0 * x).exp()),
            precision: Some(0.5 + 0.3 * (-3.0 * x).exp()),
            recall: Some(0.5 + 0.45 * (-3.0 * x).exp()),
            f1: Some(0.5 + 0.36 * (-3.0 * x).exp()),
            two_sample: Some(0.004 + 0.2 * (-5.0 * x).exp()),
        }
    };
    let epochs: Vec<CurvePoint> = (1..=epochs).map(point).collect();
    TrainingCurves { table: table.into(), kept: epochs.len() as u64 * 4 / 5, epochs, two_sample_floor: Some(0.003) }
}

fn input(name: &str, role: &str, real: u64, synthetic: u64, holdout: Option<u64>, synthesized: bool) -> InputTable {
    InputTable {
        name: name.into(),
        role: role.into(),
        columns: 4,
        rows_real: real,
        rows_synthetic: synthetic,
        rows_holdout: holdout,
        synthesized,
    }
}

fn cleaning() -> serde_json::Value {
    let row = json!({"InvoiceNo": "C536379", "StockCode": "D", "Description": "Discount", "Quantity": -1, "CustomerID": null, "note": HOSTILE});
    let rule = |rule: &str, column: Option<&str>, detail: &str, matched: u64, removed: u64| json!({"rule": rule, "column": column, "detail": detail, "matched": matched, "removed": removed, "changed": 0, "examples": [row, row, row]});
    json!({"targets": [{"name": "lines", "rows_in": 541_909, "rows_out": 392_692, "rules": [
        rule("drop_duplicates", None, "", 5268, 5268),
        rule("drop_invalid", None, "Quantity <= 0", 10_624, 10_587),
        rule("drop_invalid", None, "UnitPrice <= 0", 2517, 1176),
        rule("missing", Some("CustomerID"), "drop", 135_080, 132_186),
        rule(HOSTILE, Some(HOSTILE), HOSTILE, 1, 0),
    ]}, {"name": "purchases", "rows_in": 392_692, "rows_out": 392_692, "rules": []}]})
}

/// A plain table of which nearly nothing could be measured.
pub(super) fn bare_table() -> Report {
    let full = shop();
    let unknown = Answer {
        level: Level::Amber,
        sentence: "Too little data.".into(),
        number: None,
        measure: None,
        advice: String::new(),
    };
    let verdict = Verdict { faithful: unknown.clone(), useful: unknown.clone(), private: unknown };
    let name_only = ColumnFidelity { shape_reference: None, ..column("x", "integer", 1.0, shares(&[])) };
    let table =
        TableFidelity { columns: vec![name_only], pairs: vec![vec![None]], column_pairs: None, ..table(vec![]) };
    Report {
        about: About {
            project: HOSTILE.into(),
            method: None,
            contains_training_rows: None,
            subject: Subject::Table,
            has_holdout: false,
        },
        verdict,
        fidelity: Fidelity {
            column_shapes: None,
            column_pairs: None,
            detection_auc: None,
            accuracy: None,
            accuracy_ceiling: None,
            detection_rows: None,
            tables: BTreeMap::from([(HOSTILE.into(), table)]),
            sequence: None,
        },
        utility: Utility::default(),
        privacy: Privacy {
            dcr_share: None,
            exact_matches: None,
            membership_auc: None,
            epsilon: Some(1.0),
            delta: Some(1e-6),
            exact_matches_holdout: None,
            dcr_share_margin: None,
            membership_auc_margin: None,
            distances: None,
            compared: None,
        },
        training: None,
        references: BTreeMap::new(),
        reference_basis: ReferenceBasis::RealHalves,
        inputs: vec![input(HOSTILE, "plain", 1, 0, None, true)],
        cleaning: serde_json::Value::Null,
        ..full
    }
}
