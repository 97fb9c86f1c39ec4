//! Learned models of single tables: what they keep, what they never let out, and that they repeat.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema};
use std::collections::HashSet;
use std::sync::Arc;
use twinmart_synth::{FitSettings, Model, fit};
use twinmart_tables::{ColumnKind, Error, Method, Preset, Progress, Project, Shop, Table, TableDefinition};

fn shop(columns: Vec<(&str, ColumnKind, ArrayRef)>) -> Shop {
    let fields: Vec<Field> =
        columns.iter().map(|(name, _, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    let kinds = columns.iter().map(|c| c.1).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|c| c.2).collect()).unwrap();
    let table = Table {
        name: "t".into(),
        definition: TableDefinition::default(),
        schema,
        kinds,
        batches: vec![batch],
        population: None,
        constraints: Vec::new(),
    };
    Shop { project: Project::default(), tables: vec![table] }
}

fn learned(shop: &Shop) -> Model {
    learned_with(shop, Preset::Small, 0)
}

fn learned_with(shop: &Shop, preset: Preset, steps: u64) -> Model {
    let settings = FitSettings::of_project(&shop.project, Some(Method::Autoregressive), None).unwrap();
    fit(shop, &FitSettings { preset, steps, ..settings }, &Progress::silent()).unwrap()
}

fn draw(model: &Model, rows: u64) -> RecordBatch {
    let sampler = model.sampler(Some(rows), 5).unwrap();
    let chunks: Vec<RecordBatch> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap().remove(0)).collect();
    arrow::compute::concat_batches(&sampler.tables()[0].1, &chunks).unwrap()
}

/// 3,000 people: a city, an income that depends on it, and planted rarities.
fn people() -> Shop {
    let n = 3_000;
    let city = |i: usize| if i % 1000 == 7 { format!("hamlet {i}") } else { ["Ulm", "Rome", "Oslo"][i * 7 % 3].into() };
    let cities = StringArray::from_iter_values((0..n).map(city));
    let income = |i: usize| match i {
        11 => 9e12,
        12 => -9e12,
        _ => (20_000 * (1 + i * 7 % 3) + i * 7919 % 1_000) as f64,
    };
    let incomes = Float64Array::from_iter_values((0..n).map(income));
    let ages = Int64Array::from_iter((0..n).map(|i| (i % 11 > 0).then_some(18 + (i as i64 * 31) % 60)));
    let notes = StringArray::from_iter_values((0..n).map(|i| format!("paid invoice {i}")));
    shop(vec![
        ("city", ColumnKind::Category, Arc::new(cities)),
        ("income", ColumnKind::Number, Arc::new(incomes)),
        ("age", ColumnKind::Integer, Arc::new(ages)),
        ("note", ColumnKind::Text, Arc::new(notes)),
    ])
}

#[test]
fn nothing_rare_comes_out_in_a_million_rows() {
    let real = people();
    let model = learned(&real);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.twin");
    model.save(&file, false).unwrap();
    let sampler = Model::load(&file).unwrap().sampler(Some(1_000_000), 5).unwrap();
    let real_notes: HashSet<String> =
        real.tables[0].text("note").unwrap().iter().flatten().map(str::to_string).collect();
    let mut rows = 0;
    let mut copied = 0;
    for chunk in 0..sampler.chunks() {
        let batch = sampler.chunk(chunk).unwrap().remove(0);
        rows += batch.num_rows();
        let cities = batch.column(0).as_string::<i32>();
        assert!(cities.iter().all(|c| ["Ulm", "Rome", "Oslo"].map(Some).contains(&c)));
        let incomes = batch.column(1).as_primitive::<Float64Type>();
        assert!(incomes.iter().flatten().all(|x| (20_000.0..61_000.0).contains(&x)));
        copied += batch.column(3).as_string::<i32>().iter().flatten().filter(|n| real_notes.contains(*n)).count();
    }
    assert_eq!(rows, 1_000_000);
    // Invoice numbers are random digits, so real ones are met by chance: nearly all of three digits (900 of 1,000 exist, in
    // 30 % of the rows), a fifth of four (2,000 of 10,000, in 67 %), that is 43 %. All would be copies.
    assert!(copied < 500_000, "{copied}");
}

#[test]
fn dependences_and_missing_values_are_kept() {
    let made = draw(&learned(&people()), 20_000);
    let (cities, incomes) = (made.column(0).as_string::<i32>(), made.column(1).as_primitive::<Float64Type>());
    let level = |row: usize| (incomes.value(row) / 20_000.0).floor();
    let agree = (0..made.num_rows()).filter(|r| {
        let expected = match cities.value(*r) {
            "Ulm" => 1.0,
            "Rome" => 2.0,
            _ => 3.0,
        };
        level(*r) == expected
    });
    let agree = agree.count() as f64 / made.num_rows() as f64;
    assert!(agree > 0.95, "{agree}");
    let missing = made.column(2).null_count() as f64 / made.num_rows() as f64;
    assert!((missing - 1.0 / 11.0).abs() < 0.02, "{missing}");
    assert!(made.column(2).as_primitive::<Int64Type>().iter().flatten().all(|a| (18..78).contains(&a)));
}

#[test]
fn any_number_of_threads_gives_the_same_model_and_twin() {
    let real = people();
    let folder = tempfile::tempdir().unwrap();
    for (preset, steps) in [(Preset::Small, 0), (Preset::Base, 2)] {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let model = learned_with(&real, preset, steps);
                let file = folder.path().join(format!("{preset:?} {threads}.twin"));
                model.save(&file, false).unwrap();
                (std::fs::read(&file).unwrap(), draw(&Model::load(&file).unwrap(), 9_000))
            })
        };
        let one = on(1);
        assert!(one == on(2) && one == on(4), "{preset:?}");
    }
}

/// a and b are whole numbers, c is their product up to a little noise: smooth, so hard for trees and easy for a network.
fn products() -> Shop {
    let n = 4_000i64;
    let a = |i: i64| 10 + i * 7919 % 90;
    let b = |i: i64| 5 + i * 104_729 % 60;
    let column = |value: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..n).map(value))) as ArrayRef;
    shop(vec![
        ("a", ColumnKind::Integer, column(&a)),
        ("b", ColumnKind::Integer, column(&b)),
        ("c", ColumnKind::Integer, column(&|i| a(i) * b(i) + i * 31 % 40)),
    ])
}

#[test]
fn a_larger_preset_keeps_a_smooth_dependence_better() {
    let real = products();
    let error = |preset: Preset| {
        let made = draw(&learned_with(&real, preset, 0), 20_000);
        let of = |column: usize| made.column(column).as_primitive::<Int64Type>().values().to_vec();
        let (a, b, c) = (of(0), of(1), of(2));
        let logs = a.iter().zip(&b).zip(&c).map(|((a, b), c)| ((*c as f64).ln() - ((a * b) as f64).ln()).abs());
        logs.sum::<f64>() / made.num_rows() as f64
    };
    let (small, base) = (error(Preset::Small), error(Preset::Base));
    println!("{small} {base}");
    assert!(base < 0.9 * small, "mean error of the logarithm: {small} small, {base} base");
}

#[test]
fn a_sample_of_a_long_table_stands_for_all_of_it() {
    for method in Method::ALL {
        let mut real = people();
        let rows = real.tables[0].rows();
        real.tables[0].population = Some(10 * rows as u64);
        let model =
            fit(&real, &FitSettings::of_project(&Project::default(), Some(method), None).unwrap(), &Progress::silent());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.twin");
        model.unwrap().save(&file, false).unwrap();
        let model = Model::load(&file).unwrap();
        assert_eq!(model.default_size(), 10 * rows as u64, "{method:?}");
        assert_eq!(model.manifest().tables[0].learned_rows, rows as u64, "{method:?}");
        assert_eq!(draw(&model, 2 * rows as u64).num_rows(), 2 * rows, "{method:?}");
    }
}

#[test]
fn tables_with_little_in_them_are_learned() {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50));
    let one: ArrayRef = Arc::new(Int32Array::from(vec![3]));
    let null: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>; 40]));
    let constant: ArrayRef = Arc::new(Int64Array::from(vec![4; 40]));
    let infinite: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..60).map(|i| [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY][i % 4]),
    ));
    let distinct: ArrayRef = Arc::new(StringArray::from_iter_values((0..20_000).map(|i| format!("{i:x}z{i}"))));
    for (kind, column) in [
        (ColumnKind::Id, ids),
        (ColumnKind::Integer, one),
        (ColumnKind::Number, null),
        (ColumnKind::Integer, constant),
        (ColumnKind::Number, infinite),
        (ColumnKind::Category, distinct.clone()),
        (ColumnKind::Text, distinct),
    ] {
        let real = shop(vec![("x", kind, column)]);
        let made = draw(&learned(&real), 100);
        assert_eq!(made.num_rows(), 100, "{kind:?}");
    }
}

#[test]
fn minutes_out_of_range_are_refused_with_a_reason() {
    let mut project = Project::default();
    for minutes in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        project.synthesis.max_minutes = minutes;
        let refused = FitSettings::of_project(&project, Some(Method::Autoregressive), None);
        assert!(matches!(refused, Err(Error::Usage(p)) if p.to_string().contains("max_minutes")), "{minutes}");
    }
}
