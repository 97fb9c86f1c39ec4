//! Whole shops through fit, file and sample: what holds for every method.

use arrow::array::*;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, atomic::AtomicBool};
use twinmart_synth::{FitSettings, Model, fit, write_twin};
use twinmart_tables::*;

/// Ninety customers who buy one to eight baskets of two product families each; customer 90 never buys.
fn shop(method: &str, baskets: bool) -> Shop {
    let text = format!(
        r#"
        [project]
        seed = 5
        [synthesis]
        method = "{method}"
        [tables.stores]
        key = "store"
        source = "s"
        [tables.customers]
        role = "users"
        key = "customer"
        source = "c"
        [tables.customers.references]
        store = "stores.store"
        [tables.products]
        role = "items"
        key = "product"
        source = "p"
        [tables.purchases]
        role = "events"
        time = "at"
        source = "e"
        [tables.purchases.references]
        customer = "customers.customer"
        product = "products.product"
        [tables.purchases.columns]
        line = {{ kind = "id" }}
        {group}
        "#,
        group = if baskets { "basket = { kind = \"group\" }" } else { "" },
    );
    let project = Project::parse(&text, Path::new("twinmart.toml")).unwrap();
    let (mut customer, mut product, mut at, mut basket, mut line, mut amount) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for c in 0..90i64 {
        for b in 0..1 + c % 8 {
            for p in 0..2 + (c + b) % 4 {
                customer.push(100 + c);
                product.push(format!("p{}", 20 * (c % 2) + (3 * c + 5 * b + 7 * p) % 20));
                at.push(1_600_000_000_000_000 + (c * 37 + b * 1000) * 60_000_000);
                basket.push(format!("b{c}-{b}"));
                line.push(line.len() as i32);
                amount.push((p != 3).then_some((c * 10 + p) as f64 / 100.0));
            }
        }
    }
    let events: Vec<(&str, ArrayRef)> = vec![
        ("line", Arc::new(Int32Array::from(line))),
        ("product", Arc::new(StringArray::from(product))),
        ("at", Arc::new(TimestampMicrosecondArray::from(at))),
        ("basket", Arc::new(StringArray::from(basket))),
        ("amount", Arc::new(Float64Array::from(amount))),
        ("customer", Arc::new(Int64Array::from(customer))),
    ];
    let customers: Vec<(&str, ArrayRef)> = vec![
        ("age", Arc::new((0..91).map(|c| (c % 10 != 0).then_some(20 + c % 50)).collect::<Int32Array>())),
        ("customer", Arc::new(Int64Array::from_iter_values(100..191))),
        ("store", Arc::new(StringArray::from_iter_values((0..91).map(|c| format!("s{}", c % 3))))),
        ("country", Arc::new((0..91).map(|c| Some(["DE", "FR"][c % 2])).collect::<StringArray>())),
    ];
    let products: Vec<(&str, ArrayRef)> =
        vec![("product", Arc::new(StringArray::from_iter_values((0..40).map(|p| format!("p{p}")))))];
    let stores: Vec<(&str, ArrayRef)> =
        vec![("store", Arc::new(StringArray::from_iter_values((0..3).map(|s| format!("s{s}")))))];
    let tables = [("stores", stores), ("customers", customers), ("products", products), ("purchases", events)];
    let tables = tables.into_iter().map(|(name, columns)| table(name, project.tables[name].clone(), columns));
    Shop { tables: tables.collect(), project }
}

fn table(name: &str, definition: TableDefinition, columns: Vec<(&str, ArrayRef)>) -> Table {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(n, c)| (n, c.clone(), c.null_count() > 0 || c.len() == 1)),
    )
    .unwrap();
    let kind = |f: &arrow::datatypes::FieldRef| {
        let chosen = definition.columns.get(f.name()).and_then(|c| c.kind);
        chosen.unwrap_or(ColumnKind::of_type(f.data_type()))
    };
    let kinds = batch.schema().fields().iter().map(kind).collect();
    Table {
        name: name.into(),
        definition,
        schema: batch.schema(),
        kinds,
        batches: vec![batch],
        population: None,
        constraints: Vec::new(),
    }
}

fn plain(columns: Vec<(&str, ArrayRef)>) -> Shop {
    Shop { project: Project::default(), tables: vec![table("t", TableDefinition::default(), columns)] }
}

fn model(shop: &Shop, method: Method) -> Model {
    let settings = FitSettings::of_project(&shop.project, Some(method), None).unwrap();
    fit(shop, &settings, &Progress::silent()).unwrap()
}

/// All tables of a twin as a shop, so that the checks for real shops apply to it.
fn twin(shop: &Shop, model: &Model, size: Option<u64>) -> Shop {
    let sampler = model.sampler(size, 9).unwrap();
    let chunks: Vec<Vec<RecordBatch>> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap()).collect();
    let tables = shop.tables.iter().enumerate().map(|(i, t)| {
        for chunk in &chunks {
            assert_eq!(chunk[i].schema(), t.schema);
        }
        t.with_batches(chunks.iter().map(|c| c[i].clone()).collect())
    });
    Shop { project: shop.project.clone(), tables: tables.collect() }
}

fn text(shop: &Shop, table: &str, column: &str) -> Vec<String> {
    shop.table(table).unwrap().text(column).unwrap().iter().map(|v| v.unwrap_or("null").to_string()).collect()
}

#[test]
fn twins_of_shops_are_whole_new_and_in_order() {
    for baskets in [true, false] {
        for method in Method::ALL {
            let real = shop(method.name(), baskets);
            let fitted = model(&real, method);
            for size in [None, Some(0), Some(1), Some(2500)] {
                let made = twin(&real, &fitted, size);
                made.check_keys().unwrap();
                assert_eq!(made.table("customers").unwrap().rows() as u64, size.unwrap_or(91));
                for (table, column) in [("customers", "customer"), ("purchases", "line"), ("stores", "store")] {
                    let new = text(&made, table, column);
                    let real: BTreeSet<String> = text(&real, table, column).into_iter().collect();
                    assert!(new.iter().all(|k| !real.contains(k)), "{table}.{column} holds a real key");
                    assert_eq!(new.iter().collect::<BTreeSet<_>>().len(), new.len(), "{table}.{column} repeats a key");
                }
                let events = made.table("purchases").unwrap();
                let user = events.column("customer").unwrap();
                let time = events.column("at").unwrap();
                let order: Vec<(i64, i64)> = (0..events.rows())
                    .map(|r| {
                        (
                            user.as_primitive::<Int64Type>().value(r),
                            time.as_primitive::<TimestampMicrosecondType>().value(r),
                        )
                    })
                    .collect();
                assert!(order.is_sorted(), "{method:?}: events are sorted by user and time");
                assert_eq!(text(&made, "products", "product"), text(&real, "products", "product"));
                if baskets {
                    let mut owner: HashMap<String, i64> = HashMap::new();
                    for (basket, (user, _)) in text(&made, "purchases", "basket").into_iter().zip(&order) {
                        assert_eq!(*owner.entry(basket).or_insert(*user), *user, "a basket belongs to one user");
                    }
                }
            }
        }
    }
}

#[test]
fn a_table_beside_the_users_keeps_its_rows_beside_them() {
    for method in Method::ALL {
        let mut real = shop(method.name(), true);
        let key: ArrayRef = Arc::new(Int64Array::from_iter_values((100..191).step_by(2)));
        let points: ArrayRef = Arc::new(Int32Array::from_iter_values(0..46));
        let refers = |column: &str, table: &str, key: &str| {
            [(column.to_string(), Reference { table: table.into(), key: key.into() })].into_iter().collect()
        };
        let definition = TableDefinition {
            key: Some("customer".into()),
            references: refers("customer", "customers", "customer"),
            ..TableDefinition::default()
        };
        real.tables.push(table("profiles", definition, vec![("customer", key.clone()), ("points", points)]));
        let definition =
            TableDefinition { references: refers("profile", "profiles", "customer"), ..TableDefinition::default() };
        real.tables.push(table("visits", definition, vec![("profile", key)]));
        let fitted = model(&real, method);
        for size in [1, 91, 500] {
            let made = twin(&real, &fitted, Some(size));
            made.check_keys().unwrap();
            assert_eq!(made.table("profiles").unwrap().rows() as u64, (46 * size + 45) / 91);
        }
    }
}

#[test]
fn twins_are_about_as_busy_as_the_shop() {
    let real = shop("interpolate", true);
    for method in Method::ALL {
        let made = twin(&real, &model(&real, method), Some(2000));
        let per_user = |s: &Shop, column: &str| {
            let different: BTreeSet<String> = text(s, "purchases", column).into_iter().collect();
            different.len() as f64 / s.table("customers").unwrap().rows() as f64
        };
        for column in ["basket", "line"] {
            let ratio = per_user(&made, column) / per_user(&real, column);
            assert!((0.85..1.15).contains(&ratio), "{method:?} {column}: {ratio}");
        }
    }
}

#[test]
fn baskets_of_crossed_and_replicated_users_are_real_baskets() {
    let real = shop("interpolate", true);
    let baskets = |s: &Shop| {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (b, p) in text(s, "purchases", "basket").into_iter().zip(text(s, "purchases", "product")) {
            all.entry(b).or_default().push(p);
        }
        all.into_values().collect::<BTreeSet<_>>()
    };
    let known = baskets(&real);
    let made = baskets(&twin(&real, &model(&real, Method::Replicate), Some(300)));
    assert!(made.is_subset(&known));
    // Only users with one basket are crossed inside it.
    let made = twin(&real, &model(&real, Method::Interpolate), Some(300));
    let mut of_user: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, basket) in text(&made, "purchases", "customer").into_iter().zip(text(&made, "purchases", "basket")) {
        of_user.entry(user).or_default().insert(basket);
    }
    let single = of_user.values().filter(|b| b.len() == 1).count();
    let new = baskets(&made).difference(&known).count();
    assert!(single > 0 && new <= single, "{new} new baskets, {single} users with one");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for method in Method::ALL {
        let shop = shop(method.name(), true);
        let write = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let file = folder.path().join(format!("{}-{threads}.twin", method.name()));
                model(&shop, method).save(&file, false).unwrap();
                let loaded = Model::load(&file).unwrap();
                let out = file.with_extension("");
                write_twin(&loaded.sampler(Some(3000), 1).unwrap(), &out, FileFormat::Csv, false, &Progress::silent())
                    .unwrap();
                let mut all = vec![std::fs::read(&file).unwrap()];
                all.extend(shop.tables.iter().map(|t| std::fs::read(out.join(format!("{}.csv", t.name))).unwrap()));
                all
            })
        };
        assert_eq!(write(1), write(2));
    }
}

#[test]
fn partitions_put_together_are_the_twin() {
    let real = shop("replicate", true);
    let sampler = model(&real, Method::Replicate).sampler(Some(5000), 3).unwrap();
    let whole: Vec<_> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap()).collect();
    let parts: Vec<_> = (0..3).flat_map(|p| sampler.partition(p, 3).unwrap().map(Result::unwrap)).collect();
    assert_eq!(parts, whole);
    assert!(matches!(sampler.partition(3, 3), Err(Error::Usage(_))));
}

#[test]
fn models_without_rows_keep_no_rare_value_and_say_so() {
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..200).map(|i| if i == 7 { "Rarissima" } else { "common" })));
    let real = plain(vec![("name", names)]);
    let folder = tempfile::tempdir().unwrap();
    for method in Method::ALL {
        let holds = method.keeps_rows();
        let fitted = model(&real, method);
        assert_eq!(fitted.manifest().contains_training_rows, holds);
        if !holds {
            let made = twin(&real, &fitted, Some(5000));
            assert!(text(&made, "t", "name").iter().all(|n| n == "common"));
        }
        let file = folder.path().join(method.name());
        fitted.save(&file, false).unwrap();
        assert_eq!(Model::load(&file).unwrap().manifest().contains_training_rows, holds);
    }
}

#[test]
fn odd_tables_go_through_every_method() {
    let many: ArrayRef = Arc::new(StringArray::from_iter_values((0..100_000).map(|i| format!("v{i}"))));
    let odd: Vec<(&str, Vec<(&str, ArrayRef)>)> = vec![
        ("one row", vec![("n", Arc::new(Int32Array::from(vec![3]))), ("s", Arc::new(StringArray::from(vec!["x"])))]),
        ("all null", vec![("n", Arc::new(Float64Array::from(vec![None::<f64>; 30])))]),
        (
            "constant",
            vec![("n", Arc::new(Int64Array::from(vec![4; 30]))), ("b", Arc::new(BooleanArray::from(vec![true; 30])))],
        ),
        (
            "not finite",
            vec![(
                "n",
                Arc::new(Float64Array::from_iter_values((0..30).map(|i| [1.0, f64::NAN, f64::INFINITY][i % 3]))),
            )],
        ),
    ];
    for method in Method::ALL {
        for (name, columns) in &odd {
            let real = plain(columns.clone());
            let rows = real.tables[0].rows() as u64;
            for size in [0, 1, 100] {
                let made = twin(&real, &model(&real, method), Some(size));
                assert_eq!(made.tables[0].rows() as u64, size, "{name}");
            }
            assert_eq!(model(&real, method).default_size(), rows);
        }
        let real = plain(vec![("s", many.clone())]);
        assert_eq!(twin(&real, &model(&real, method), Some(50)).tables[0].rows(), 50);
    }
    let constant = plain(vec![("n", Arc::new(Int64Array::from(vec![4; 30])))]);
    for method in Method::ALL {
        assert!(
            text(&twin(&constant, &model(&constant, method), None), "t", "n").iter().all(|v| v == "4"),
            "{method:?}"
        );
    }
    let empty = plain(vec![("n", Arc::new(Int64Array::from(Vec::<i64>::new())))]);
    let settings = FitSettings::of_project(&empty.project, None, None).unwrap();
    assert!(fit(&empty, &settings, &Progress::silent()).unwrap_err().to_string().contains("no rows to learn from"));
}

#[test]
fn smote_rows_lie_between_neighbours() {
    // Two far clusters on the lines y = 2x and y = −x: interpolation stays on the line of its cluster.
    let x = (0..200).map(|i| if i < 100 { f64::from(i) } else { 10_000.0 + f64::from(i) });
    let y = x.clone().map(|x| if x < 5_000.0 { 2.0 * x } else { -x });
    let side: ArrayRef = Arc::new(StringArray::from_iter_values((0..200).map(|i| if i < 100 { "up" } else { "down" })));
    let mut real = plain(vec![
        ("x", Arc::new(Float64Array::from_iter_values(x))),
        ("y", Arc::new(Float64Array::from_iter_values(y))),
        ("side", side),
    ]);
    real.project.synthesis.verbatim = Verbatim::Allow;
    let made = twin(&real, &model(&real, Method::Interpolate), Some(1000)).tables[0].to_batch().unwrap();
    for row in 0..1000 {
        let number = |c: usize| made.column(c).as_primitive::<arrow::datatypes::Float64Type>().value(row);
        let (x, y) = (number(0), number(1));
        let up = made.column(2).as_string::<i32>().value(row) == "up";
        // Both columns are rounded to whole numbers, the decimals that the data show.
        assert!(if up { (y - 2.0 * x).abs() <= 1.5 } else { (y + x).abs() <= 1.0 }, "{x} {y} {up}");
    }
}

#[test]
fn weights_choose_whom_to_draw() {
    let real = plain(vec![("w", Arc::new(Int32Array::from(vec![0, 1, 0])))]);
    let mut settings = FitSettings::of_project(&real.project, Some(Method::Replicate), None).unwrap();
    settings.weights = Some("w".into());
    let made = twin(&real, &fit(&real, &settings, &Progress::silent()).unwrap(), Some(100));
    assert!(made.tables[0].column("w").unwrap().as_primitive::<Int32Type>().values().iter().all(|w| *w == 1));
    settings.weights = Some("v".into());
    assert!(matches!(fit(&real, &settings, &Progress::silent()), Err(Error::Usage(_))));
}

#[test]
fn sessions_are_drawn_again_within_their_user() {
    let real = shop("replicate", true);
    let mut settings = FitSettings::of_project(&real.project, None, None).unwrap();
    settings.unit = ResampleUnit::Sessions;
    let made = twin(&real, &fit(&real, &settings, &Progress::silent()).unwrap(), Some(500));
    made.check_keys().unwrap();
    assert!(made.histories().unwrap().event_count() > 0);
}

/// What each customer with purchases bought, in the order of the table.
fn bought(shop: &Shop) -> BTreeMap<String, Vec<(String, String)>> {
    let columns = ["customer", "product", "amount"].map(|column| text(shop, "purchases", column));
    let mut of_user: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for ((customer, product), amount) in columns[0].iter().zip(&columns[1]).zip(&columns[2]) {
        of_user.entry(customer.clone()).or_default().push((product.clone(), amount.clone()));
    }
    of_user
}

#[test]
fn short_histories_get_earlier_events_before_their_own() {
    const EVENTS: usize = 9;
    let folder = tempfile::tempdir().unwrap();
    for baskets in [true, false] {
        let real = shop("replicate", baskets);
        let mut settings = FitSettings::of_project(&real.project, None, None).unwrap();
        (settings.extend, settings.steps) = (EVENTS, 10);
        let file = folder.path().join(format!("{baskets}.twin"));
        fit(&real, &settings, &Progress::silent()).unwrap().save(&file, false).unwrap();
        let made = twin(&real, &Model::load(&file).unwrap(), Some(600));
        made.check_keys().unwrap();
        let histories = made.histories().unwrap();
        let ends_with_own = |all: &Vec<(String, String)>, own: &Vec<(String, String)>| {
            all.ends_with(own) && (all.len() == own.len() || all.len() <= EVENTS)
        };
        let (known, new) = (bought(&real), bought(&made));
        assert!(new.values().all(|all| known.values().any(|own| ends_with_own(all, own))));
        let short = |of: &BTreeMap<String, Vec<(String, String)>>| {
            of.values().filter(|events| events.len() < EVENTS).count() as f64 / of.len() as f64
        };
        assert!(short(&known) > 0.2 && short(&new) < 0.8 * short(&known), "{} {}", short(&known), short(&new));
        assert!(new.len() < 600 && histories.event_count() > 0, "customer 90 never buys");
        let lines = text(&made, "purchases", "line");
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
        let events = made.table("purchases").unwrap();
        let at = events.column("at").unwrap();
        let at = at.as_primitive::<TimestampMicrosecondType>();
        let customer = text(&made, "purchases", "customer");
        let in_order = |row: usize| customer[row] != customer[row - 1] || at.value(row - 1) <= at.value(row);
        assert!((1..events.rows()).all(in_order));
    }
    let plain = plain(vec![("n", Arc::new(Int64Array::from(vec![4; 30])))]);
    let mut settings = FitSettings::of_project(&plain.project, Some(Method::Replicate), None).unwrap();
    settings.extend = EVENTS;
    let refused = fit(&plain, &settings, &Progress::silent()).unwrap_err().to_string();
    assert!(refused.contains("extend lengthens histories"), "{refused}");
    settings.extend = usize::MAX;
    assert!(fit(&plain, &settings, &Progress::silent()).unwrap_err().to_string().contains("out of range"));
}

/// Thirty users with two carts at once, each event by one of three devices; times are moments or, else, an order.
fn carts_and_devices(moments: bool) -> Shop {
    let text = r#"
        [project]
        seed = 5
        [synthesis]
        method = "replicate"
        steps = 5
        extend = 12
        [tables.devices]
        key = "device"
        source = "d"
        [tables.users]
        role = "users"
        key = "user"
        source = "u"
        [tables.items]
        role = "items"
        key = "item"
        source = "i"
        [tables.events]
        role = "events"
        time = "at"
        source = "e"
        [tables.events.references]
        user = "users.user"
        item = "items.item"
        device = "devices.device"
        [tables.events.columns]
        cart = { kind = "group" }
        "#;
    let project = Project::parse(text, Path::new("twinmart.toml")).unwrap();
    let whole =
        |count: i64, f: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..count).map(f))) as ArrayRef;
    let events = 30 * 6;
    let at = |e: i64| if moments { 1_600_000_000_000_000 + (e % 6 + e / 6 * 400) * 60_000_000 } else { e % 6 };
    let at: ArrayRef = match moments {
        true => Arc::new(TimestampMicrosecondArray::from_iter_values((0..events).map(at))),
        false => whole(events, &at),
    };
    let cart = (0..events).map(|e| format!("c{}-{}", e / 6, e % 2));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user", whole(events, &|e| e / 6)),
        ("item", whole(events, &|e| e * 7 % 20)),
        ("device", whole(events, &|e| e % 3)),
        ("cart", Arc::new(StringArray::from_iter_values(cart))),
        ("at", at),
    ];
    let keys = |name: &'static str, count: i64| vec![(name, whole(count, &|k| k))];
    let tables =
        [("devices", keys("device", 3)), ("users", keys("user", 30)), ("items", keys("item", 20)), ("events", columns)];
    let tables = tables.into_iter().map(|(name, columns)| table(name, project.tables[name].clone(), columns));
    Shop { tables: tables.collect(), project }
}

#[test]
fn histories_are_extended_whose_sessions_overlap_and_whose_times_are_an_order() {
    for (moments, unit) in [(true, ResampleUnit::Users), (true, ResampleUnit::Sessions), (false, ResampleUnit::Users)] {
        let real = carts_and_devices(moments);
        let mut settings = FitSettings::of_project(&real.project, None, None).unwrap();
        settings.unit = unit;
        let made = twin(&real, &fit(&real, &settings, &Progress::silent()).unwrap(), Some(100));
        made.check_keys().unwrap();
        let events = made.table("events").unwrap();
        assert!(events.rows() > 600 && events.rows() <= 1_200, "{moments} {unit:?}: {}", events.rows());
        let user = events.column("user").unwrap();
        let at = arrow::compute::cast(&events.column("at").unwrap(), &DataType::Int64).unwrap();
        let (user, at) = (user.as_primitive::<Int64Type>(), at.as_primitive::<Int64Type>());
        assert!((0..events.rows()).map(|row| (user.value(row), at.value(row))).is_sorted(), "{moments} {unit:?}");
        let histories = made.histories().unwrap();
        assert_eq!(histories.event_count(), events.rows());
        assert!(events.column("device").unwrap().null_count() == 0);
    }
}

#[test]
fn a_synthesized_catalogue_gets_new_keys_and_events_follow() {
    for method in Method::ALL {
        let mut real = shop(method.name(), true);
        let products = real.tables.iter_mut().find(|t| t.name == "products").unwrap();
        products.definition.synthesize = true;
        let made = twin(&real, &model(&real, method), Some(200));
        made.check_keys().unwrap();
        assert_eq!(made.table("products").unwrap().rows(), 40);
        assert!(text(&made, "products", "product").iter().all(|p| p.starts_with('T')));
    }
}

#[test]
fn warns_of_training_rows() {
    struct Listener(Mutex<Vec<String>>);
    impl Reporter for Listener {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }
    for method in Method::ALL {
        let real = shop(method.name(), true);
        let listener = Arc::new(Listener(Mutex::new(Vec::new())));
        let progress = Progress::new(listener.clone(), Arc::new(AtomicBool::new(false)));
        fit(&real, &FitSettings::of_project(&real.project, None, None).unwrap(), &progress).unwrap();
        let heard = listener.0.lock().unwrap().join("\n");
        assert_eq!(heard.contains("made of training rows: 3 of stores, 91 of customers"), method.keeps_rows());
    }
}

#[test]
fn a_stop_ends_fit_and_writing_and_leaves_nothing() {
    let real = shop("interpolate", true);
    let settings = FitSettings::of_project(&real.project, None, None).unwrap();
    struct Deaf;
    impl Reporter for Deaf {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, _: &str) {}
    }
    let stopped = Progress::new(Arc::new(Deaf), Arc::new(AtomicBool::new(true)));
    assert!(matches!(fit(&real, &settings, &stopped), Err(Error::Interrupted)));
    let folder = tempfile::tempdir().unwrap();
    let sampler = model(&real, Method::Interpolate).sampler(None, 1).unwrap();
    let out = folder.path().join("twin");
    assert!(matches!(write_twin(&sampler, &out, FileFormat::Parquet, false, &stopped), Err(Error::Interrupted)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn one_table_is_a_file_and_refuses_to_replace_another() {
    let real = plain(vec![("n", Arc::new(Int64Array::from_iter_values(0..50)))]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("t.csv");
    let sampler = model(&real, Method::Replicate).sampler(Some(7), 1).unwrap();
    let write = |overwrite| write_twin(&sampler, &out, FileFormat::Csv, overwrite, &Progress::silent());
    assert_eq!(write(false).unwrap(), [("t".to_string(), 7)]);
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 8);
    assert!(matches!(write(false), Err(Error::Usage(_))));
    write(true).unwrap();
}

#[test]
fn files_that_are_no_models_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.twin");
    model(&shop("interpolate", true), Method::Interpolate).save(&path, false).unwrap();
    let good = std::fs::read(&path).unwrap();
    for bad in [&b""[..], b"hello, world\n", &good[..good.len() / 2], &good[..good.len() - 1]] {
        std::fs::write(&path, bad).unwrap();
        let error = Model::load(&path).unwrap_err();
        assert!(matches!(error, Error::Data(_)), "{error}");
        assert!(error.to_string().contains("m.twin: not a Twinmart model file"), "{error}");
    }
    assert!(matches!(Model::load(folder.path().join("none.twin")), Err(Error::Io { .. })));
}

#[test]
fn keys_of_types_that_cannot_be_new_are_named() {
    let mut real = plain(vec![("id", Arc::new(BooleanArray::from(vec![true, false])))]);
    real.tables[0].definition.key = Some("id".into());
    let settings = FitSettings::of_project(&real.project, None, None).unwrap();
    let text = fit(&real, &settings, &Progress::silent()).unwrap_err().to_string();
    assert!(text.starts_with("table `t`, column `id`: new keys cannot be made"), "{text}");
    assert_eq!(real.tables[0].schema.field(0).data_type(), &DataType::Boolean);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_files_never_panic(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        thread_local! {
            static GOOD: Vec<u8> = {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("m.twin");
                model(&shop("independent", true), Method::Independent).save(&path, false).unwrap();
                std::fs::read(&path).unwrap()
            };
        }
        let good = GOOD.with(Clone::clone);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.twin");
        std::fs::write(&path, &noise).unwrap();
        prop_assert!(Model::load(&path).is_err());
        let mut bytes = good.clone();
        for (place, value) in places {
            bytes[place.index(good.len())] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        // A changed byte outside content (a time stamp, say) may load; then it must be the same model.
        if let Ok(model) = Model::load(&path) {
            let again = folder.path().join("again.twin");
            model.save(&again, false).unwrap();
            prop_assert_eq!(std::fs::read(&again).unwrap(), good);
        }
    }
}
