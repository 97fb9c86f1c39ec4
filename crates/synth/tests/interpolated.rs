//! Interpolated single tables: what comes out with and without protection, each kind of interpolation, and that they repeat.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema};
use std::collections::HashSet;
use std::sync::Arc;
use twinmart_synth::{FitSettings, Model, fit};
use twinmart_tables::{
    ColumnKind, Error, Interpolation, Method, Progress, Project, Result, Shop, Table, TableDefinition, Target, Verbatim,
};

const CITIES: [&str; 3] = ["Ulm", "Rome", "Oslo"];

/// 3,000 people: a city, an income that depends on it, a continuous score, two rare classes, and planted rarities.
fn people() -> Shop {
    let n = 3_000;
    let city = |i: usize| if i % 1000 == 7 { format!("hamlet {i}") } else { CITIES[i * 7 % 3].into() };
    let income = |i: usize| match i {
        11 => 9e12,
        12 => -9e12,
        _ => (20_000 * (1 + i * 7 % 3) + i * 7919 % 1_000) as f64,
    };
    let score = |i: usize| ((i as f64 + 0.5) * 0.618_033_988_749_894_9).fract() * 100.0;
    // Every fifth person with a score above 80, and two people of a class of their own.
    let risk = |i: usize| match i {
        0 | 1 => "odd",
        _ if score(i) > 80.0 && i.is_multiple_of(5) => "high",
        _ => "low",
    };
    // Twelve letters: new texts do not meet them by chance.
    let name = |i: usize| -> String {
        let digits = format!("{:012}", i as u64 * 761_838_257_287 % 1_000_000_000_000);
        digits.bytes().map(|digit| char::from(digit + 49)).collect()
    };
    let columns: Vec<(&str, ColumnKind, ArrayRef)> = vec![
        ("city", ColumnKind::Category, Arc::new(StringArray::from_iter_values((0..n).map(city)))),
        ("income", ColumnKind::Number, Arc::new(Float64Array::from_iter_values((0..n).map(income)))),
        (
            "age",
            ColumnKind::Integer,
            Arc::new((0..n).map(|i| (i % 11 > 0).then_some(18 + (i as i64 * 31) % 60)).collect::<Int64Array>()),
        ),
        ("score", ColumnKind::Number, Arc::new(Float64Array::from_iter_values((0..n).map(score)))),
        (
            "note",
            ColumnKind::Text,
            Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("paid by {}", name(i))))),
        ),
        ("member", ColumnKind::Boolean, Arc::new((0..n).map(|i| Some(i % 4 == 0)).collect::<BooleanArray>())),
        ("risk", ColumnKind::Category, Arc::new(StringArray::from_iter_values((0..n).map(risk)))),
    ];
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

fn settings(interpolation: Interpolation, verbatim: Verbatim) -> FitSettings {
    let mut project = Project::default();
    project.synthesis.interpolation = interpolation;
    project.synthesis.verbatim = verbatim;
    if interpolation == Interpolation::Borderline {
        project.synthesis.target = Some(Target { column: "risk".into(), value: "high".into() });
    }
    FitSettings::of_project(&project, Some(Method::Interpolate), None).unwrap()
}

/// A model that has been a file.
fn stored(shop: &Shop, settings: &FitSettings) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.twin");
    fit(shop, settings, &Progress::silent()).unwrap().save(&file, false).unwrap();
    Model::load(&file).unwrap()
}

fn draw(model: &Model, rows: u64) -> RecordBatch {
    let sampler = model.sampler(Some(rows), 5).unwrap();
    let chunks: Vec<RecordBatch> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap().remove(0)).collect();
    arrow::compute::concat_batches(&sampler.tables()[0].1, &chunks).unwrap()
}

fn texts(batch: &RecordBatch, column: usize) -> HashSet<&str> {
    batch.column(column).as_string::<i32>().iter().flatten().collect()
}

#[test]
fn nothing_rare_comes_out_where_it_is_forbidden() {
    let real = people();
    let rows = real.tables[0].to_batch().unwrap();
    let scores: HashSet<u64> =
        rows.column(3).as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    for interpolation in Interpolation::ALL {
        let model = stored(&real, &settings(interpolation, Verbatim::Forbid));
        assert!(model.manifest().contains_training_rows);
        let made = draw(&model, 200_000);
        assert!(texts(&made, 0).iter().all(|city| CITIES.contains(city)), "{interpolation:?}");
        let incomes = made.column(1).as_primitive::<Float64Type>();
        assert!(incomes.iter().flatten().all(|x| (20_000.0..61_000.0).contains(&x)), "{interpolation:?}");
        assert!(made.column(2).as_primitive::<Int64Type>().iter().flatten().all(|age| (18..78).contains(&age)));
        let same =
            made.column(3).as_primitive::<Float64Type>().iter().flatten().filter(|x| scores.contains(&x.to_bits()));
        assert_eq!(same.count(), 0, "{interpolation:?}: a continuous value of a person came out");
        assert!(texts(&made, 4).is_disjoint(&texts(&rows, 4)), "{interpolation:?}");
        assert!(!texts(&made, 6).contains("odd"), "{interpolation:?}");
    }
}

#[test]
fn values_come_out_as_they_are_where_that_is_allowed() {
    for interpolation in [Interpolation::Smote, Interpolation::Mixup] {
        let made = draw(&stored(&people(), &settings(interpolation, Verbatim::Allow)), 200_000);
        assert!(made.column(1).as_primitive::<Float64Type>().iter().flatten().any(|x| x > 1e9), "{interpolation:?}");
        if interpolation == Interpolation::Mixup {
            assert!(texts(&made, 0).contains("hamlet 7") && texts(&made, 6).contains("odd"));
        }
    }
}

#[test]
fn borderline_makes_rows_of_the_class_beside_the_others() {
    for verbatim in [Verbatim::Forbid, Verbatim::Allow] {
        let made = draw(&stored(&people(), &settings(Interpolation::Borderline, verbatim)), 5_000);
        assert_eq!(texts(&made, 6), HashSet::from(["high"]));
        assert!(made.column(3).as_primitive::<Float64Type>().iter().flatten().all(|score| score > 79.0));
    }
}

#[test]
fn mixup_goes_between_any_two_rows() {
    // Half of the shares of Beta(1, 1) lie between ¼ and ¾, a third of the pairs are of cities two steps apart.
    let mut between = settings(Interpolation::Mixup, Verbatim::Allow);
    between.alpha = 1.0;
    let count = |model: &Model| {
        let made = draw(model, 10_000);
        let incomes = made.column(1).as_primitive::<Float64Type>();
        incomes.iter().flatten().filter(|x| (25_000.0..35_000.0).contains(x)).count()
    };
    let mixed = count(&stored(&people(), &between));
    let near = count(&stored(&people(), &settings(Interpolation::Smote, Verbatim::Allow)));
    assert!(mixed > 1_000 && near < 100, "{mixed} {near}");
}

#[test]
fn dependences_are_kept_under_protection() {
    let made = draw(&stored(&people(), &settings(Interpolation::Smote, Verbatim::Forbid)), 20_000);
    let (cities, incomes) = (made.column(0).as_string::<i32>(), made.column(1).as_primitive::<Float64Type>());
    let level = |city: &str| 1.0 + CITIES.iter().position(|c| *c == city).unwrap() as f64;
    let agree = (0..made.num_rows()).filter(|r| (incomes.value(*r) / 20_000.0).floor() == level(cities.value(*r)));
    let agree = agree.count() as f64 / made.num_rows() as f64;
    assert!(agree > 0.95, "{agree}");
    let missing = made.column(2).null_count() as f64 / made.num_rows() as f64;
    assert!(missing < 0.1, "{missing}");
}

#[test]
fn any_number_of_threads_gives_the_same_model_and_twin() {
    let real = people();
    let folder = tempfile::tempdir().unwrap();
    for interpolation in Interpolation::ALL {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let model = fit(&real, &settings(interpolation, Verbatim::Forbid), &Progress::silent()).unwrap();
                let file = folder.path().join(format!("{interpolation:?} {threads}.twin"));
                model.save(&file, false).unwrap();
                (std::fs::read(&file).unwrap(), draw(&Model::load(&file).unwrap(), 9_000))
            })
        };
        let one = on(1);
        assert!(one == on(2) && one == on(4), "{interpolation:?}");
    }
}

#[test]
fn wrong_targets_are_refused_with_a_reason() {
    let real = people();
    let refused = |column: &str, value: &str, verbatim| -> Result<Model> {
        let mut settings = settings(Interpolation::Borderline, verbatim);
        settings.target = Some(Target { column: column.into(), value: value.into() });
        fit(&real, &settings, &Progress::silent())
    };
    let text = |result: Result<Model>| result.unwrap_err().to_string();
    let unknown = refused("rsk", "high", Verbatim::Forbid);
    assert!(matches!(&unknown, Err(Error::Usage(_))));
    assert!(text(unknown).contains("use one of city, income, age"));
    assert!(text(refused("risk", "higher", Verbatim::Forbid)).contains("no row has the target's value `higher`"));
    assert!(text(refused("risk", "odd", Verbatim::Forbid)).contains("too few people"));
    assert!(text(refused("risk", "odd", Verbatim::Allow)).contains("lies at the border"));
    let mut none = settings(Interpolation::Borderline, Verbatim::Forbid);
    none.target = None;
    assert!(matches!(fit(&real, &none, &Progress::silent()), Err(Error::Usage(_))));
    none.interpolation = Interpolation::Mixup;
    none.alpha = 0.0;
    assert!(text(fit(&real, &none, &Progress::silent())).contains("alpha = 0 is out of range"));
}
