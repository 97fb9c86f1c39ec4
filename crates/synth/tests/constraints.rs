//! Constraints: every row of every twin keeps them, whatever the method; checked here without the code under test.

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use std::path::Path;
use std::sync::Arc;
use twinmart_synth::{FitSettings, Model, fit};
use twinmart_tables::condition::Condition;
use twinmart_tables::*;

const ROWS: usize = 3_000;
const CITIES: [(&str, &str); 5] = [("Ulm", "DE"), ("Bonn", "DE"), ("Rome", "IT"), ("Pisa", "IT"), ("Oslo", "NO")];
const RULES: [&str; 6] = [
    "total = price * quantity",
    "discount <= price",
    "combinations(city, country)",
    "if status = 'open' then paid is missing",
    "quantity in (1, 2, 3, 5) and price > 0",
    "tax = round(total * 0.2, 2)",
];

/// A number for a row that looks random: the finalizer of SplitMix64 (Steele et al. 2014).
fn noise(row: usize, which: u64) -> u64 {
    let mut z = (row as u64 ^ (which << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Orders that keep all rules; a customer without a status has a missing price.
fn orders() -> Vec<(&'static str, ArrayRef)> {
    let price = |r: usize| (r % 50 != 3).then(|| 1.0 + (noise(r, 1) % 900) as f64 / 100.0);
    let quantity = |r: usize| [1, 2, 3, 5][(noise(r, 2) % 4) as usize];
    let total = |r: usize| price(r).map(|p| (p * quantity(r) as f64 * 100.0).round() / 100.0);
    let tax = |r: usize| total(r).map(|t| (t * 20.0).round() / 100.0);
    let discount = |r: usize| price(r).map(|p| (p * (noise(r, 3) % 100) as f64).floor() / 100.0);
    let city = |r: usize| CITIES[(noise(r, 4) % 5) as usize];
    let open = |r: usize| noise(r, 5).is_multiple_of(3);
    let numbers = |f: &dyn Fn(usize) -> Option<f64>| Arc::new((0..ROWS).map(f).collect::<Float64Array>()) as ArrayRef;
    let texts =
        |f: &dyn Fn(usize) -> &'static str| Arc::new(StringArray::from_iter_values((0..ROWS).map(f))) as ArrayRef;
    vec![
        ("tax", numbers(&tax)),
        ("total", numbers(&total)),
        ("price", numbers(&price)),
        ("quantity", Arc::new(Int64Array::from_iter_values((0..ROWS).map(quantity)))),
        ("discount", numbers(&discount)),
        ("city", texts(&|r| city(r).0)),
        ("country", texts(&|r| city(r).1)),
        ("status", texts(&|r| if open(r) { "open" } else { "paid" })),
        ("paid", numbers(&|r| if open(r) { None } else { total(r) })),
    ]
}

fn table(name: &str, definition: TableDefinition, columns: Vec<(&str, ArrayRef)>, rules: &[&str]) -> Table {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let kinds = batch.schema().fields().iter().map(|f| ColumnKind::of_type(f.data_type())).collect();
    let constraints = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let (name, schema) = (name.to_string(), batch.schema());
    Table { name, definition, schema, kinds, batches: vec![batch], population: None, constraints }
}

fn fitted(rules: &[&str], method: Method) -> Result<Model> {
    let orders = table("orders", TableDefinition::default(), orders(), rules);
    let shop = Shop { project: Project::default(), tables: vec![orders] };
    let settings = FitSettings::of_project(&shop.project, Some(method), None)?;
    let steps = if method == Method::Gan { 2 } else { 0 };
    fit(&shop, &FitSettings { steps, ..settings }, &Progress::silent())
}

fn drawn(model: &Model, rows: u64, given: &[&str]) -> Result<RecordBatch> {
    let conditions: Vec<Condition> = given.iter().map(|text| text.parse().unwrap()).collect();
    let sampler = model.sampler(Some(rows), 8)?;
    let sampler = if conditions.is_empty() { sampler } else { sampler.given(&conditions)? };
    let batches = sampler.batches("orders")?.collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&sampler.tables()[0].1, &batches)?)
}

/// Rows that break any of the rules.
fn broken(rows: &RecordBatch) -> Vec<usize> {
    let number = |name: &str, row: usize| {
        let values = rows[name].as_primitive::<Float64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    let text = |name: &str, row: usize| rows[name].as_string::<i32>().value(row).to_string();
    let keeps = |row: usize| {
        let quantity = rows["quantity"].as_primitive::<Int64Type>().value(row);
        let (price, total) = (number("price", row), number("total", row));
        let near = |a: Option<f64>, b: Option<f64>| a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 0.005_001);
        near(total, price.map(|p| p * quantity as f64))
            && near(number("tax", row), total.map(|t| t * 0.2))
            && number("discount", row).zip(price).is_none_or(|(d, p)| d <= p)
            && price.is_none_or(|p| p > 0.0)
            && [1, 2, 3, 5].contains(&quantity)
            && CITIES.contains(&(&text("city", row), &text("country", row)))
            && (text("status", row) != "open" || number("paid", row).is_none())
    };
    (0..rows.num_rows()).filter(|row| !keeps(*row)).collect()
}

#[test]
fn rules_hold_in_every_row_by_every_method() {
    for method in Method::ALL {
        let model = fitted(&RULES, method).unwrap();
        let rows = drawn(&model, 20_000, &[]).unwrap();
        assert_eq!(rows.num_rows(), 20_000);
        assert_eq!(broken(&rows), [0; 0], "{method:?}");
        let missing = rows["price"].null_count();
        assert!(missing > 0, "{method:?}: prices that nothing asks for stay missing");
    }
    // The rules are needed: independent columns break them.
    let free = drawn(&fitted(&[], Method::Independent).unwrap(), 2_000, &[]).unwrap();
    assert!(broken(&free).len() > 1_500);
}

#[test]
fn rules_hold_beside_conditions_and_given_rows() {
    let model = fitted(&RULES, Method::Autoregressive).unwrap();
    for given in [
        ["city = Oslo", "total > 20"],
        ["country = IT", "quantity = 5"],
        ["paid is present", "tax < 1"],
        ["quantity = 3", "total = 12"],
    ] {
        let rows = drawn(&model, 2_000, &given).unwrap();
        assert_eq!(broken(&rows), [0; 0]);
        let total = rows["total"].as_primitive::<Float64Type>();
        match given[1] {
            "total > 20" => assert!(total.iter().all(|t| t.is_some_and(|t| t > 20.0))),
            "total = 12" => assert!(total.iter().all(|t| t == Some(12.0))),
            "quantity = 5" => assert!(rows["quantity"].as_primitive::<Int64Type>().iter().all(|q| q == Some(5))),
            _ => assert!(rows["tax"].as_primitive::<Float64Type>().iter().all(|t| t.is_some_and(|t| t < 1.0))),
        }
    }
    let told = drawn(&model, 2_000, &["city = Oslo", "country = IT"]).unwrap_err().to_string();
    assert!(told.contains("`combinations(city, country)`"), "{told}");

    let one = |country: &'static str| {
        RecordBatch::try_from_iter([
            ("city", Arc::new(StringArray::from(vec!["Ulm"])) as ArrayRef),
            ("country", Arc::new(StringArray::from(vec![country]))),
            ("price", Arc::new(Float64Array::from(vec![2.5]))),
        ])
        .unwrap()
    };
    let sampler = model.sampler(Some(500), 1).unwrap().given_rows(&one("DE")).unwrap();
    let rows = sampler.batches("orders").unwrap().collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(broken(&rows[0]), [0; 0]);
    assert!(rows[0]["price"].as_primitive::<Float64Type>().iter().all(|p| p == Some(2.5)));
    let sampler = model.sampler(Some(50), 1).unwrap().given_rows(&one("IT")).unwrap();
    assert!(sampler.batches("orders").unwrap().any(|rows| rows.is_err()));
}

#[test]
fn completed_rows_keep_rules_where_given_values_let_them() {
    let model = fitted(&RULES, Method::Autoregressive).unwrap();
    let whole = RecordBatch::try_from_iter_with_nullable(orders().into_iter().map(|(n, a)| (n, a, true))).unwrap();
    // Every value of two columns of three is gone, one after the other.
    let hidden = |at: usize, a: &ArrayRef| {
        let gone: BooleanArray = (0..a.len()).map(|r| Some((r + at).is_multiple_of(3))).collect();
        arrow::compute::nullif(a, &gone).unwrap()
    };
    let columns = whole.columns().iter().enumerate().map(|(at, a)| hidden(at, a)).collect();
    let gaps = RecordBatch::try_new(whole.schema(), columns).unwrap();
    let full = model.complete(&gaps, 3).unwrap();
    // `paid` is missing of open orders, but a gap is filled: no filling keeps that rule.
    let open = full["status"].as_string::<i32>();
    let free: BooleanArray = open.iter().map(|s| Some(s != Some("open"))).collect();
    let paid = arrow::compute::filter_record_batch(&full, &free).unwrap();
    let share = broken(&paid).len() as f64 / paid.num_rows() as f64;
    assert!(share < 0.05, "{share} of completed rows break a rule");
    for (given, filled) in gaps.columns().iter().zip(full.columns()) {
        let same = arrow::compute::kernels::zip::zip(&arrow::compute::is_not_null(given).unwrap(), given, filled);
        assert_eq!(&same.unwrap(), filled);
    }
    // Where the total alone is missing it is computed.
    let mut columns = whole.columns().to_vec();
    columns[1] = new_null_array(columns[1].data_type(), ROWS);
    let full = model.complete(&RecordBatch::try_new(whole.schema(), columns).unwrap(), 3).unwrap();
    let (total, real) = (full["total"].as_primitive::<Float64Type>(), whole["total"].as_primitive::<Float64Type>());
    for row in (0..ROWS).filter(|row| real.is_valid(*row)) {
        assert!((total.value(row) - real.value(row)).abs() < 0.010_1, "row {row}");
    }
}

#[test]
fn rules_lie_in_the_file_and_any_partition_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.twin");
    let model = fitted(&RULES, Method::Autoregressive).unwrap();
    model.save(&path, false).unwrap();
    let again = Model::load(&path).unwrap();
    let rows = drawn(&model, 20_000, &[]).unwrap();
    assert_eq!(drawn(&again, 20_000, &[]).unwrap(), rows);
    let sampler = again.sampler(Some(20_000), 8).unwrap();
    let parts = (0..3).flat_map(|n| sampler.partition(n, 3).unwrap());
    let parts: Vec<RecordBatch> = parts.map(|chunk| chunk.unwrap().remove(0)).collect();
    assert_eq!(concat_batches(&rows.schema(), &parts).unwrap(), rows);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(alone.install(|| drawn(&again, 20_000, &[]).unwrap()), rows);
}

#[test]
fn combinations_of_too_few_people_do_not_come_out() {
    let n = 2_000;
    let city = |r: usize| if r == 5 { ("Ulm", "NO") } else { CITIES[r % 5] };
    let texts = |f: &dyn Fn(usize) -> &'static str| Arc::new(StringArray::from_iter_values((0..n).map(f))) as ArrayRef;
    let columns = vec![("city", texts(&|r| city(r).0)), ("country", texts(&|r| city(r).1))];
    let table = table("orders", TableDefinition::default(), columns, &["combinations(city, country)"]);
    let shop = Shop { project: Project::default(), tables: vec![table] };
    let settings = FitSettings::of_project(&shop.project, Some(Method::Independent), None).unwrap();
    let model = fit(&shop, &settings, &Progress::silent()).unwrap();
    let rows = drawn(&model, 30_000, &[]).unwrap();
    let [city, country] = ["city", "country"].map(|name| rows[name].as_string::<i32>().clone());
    for (city, country) in city.iter().zip(country.iter()) {
        assert!(CITIES.contains(&(city.unwrap(), country.unwrap())));
    }
    let mut model = serde_json::to_string(model.manifest()).unwrap();
    model.retain(|c| !c.is_whitespace());
    assert!(model.contains(r#"["Oslo","NO"]"#) && !model.contains(r#"["Ulm","NO"]"#));
}

/// Users with an age and a pension; orders with a total and a delivery behind their time.
fn shop(method: Method, purchases: &[&str]) -> Shop {
    let text = format!(
        r#"
        [project]
        seed = 5
        [synthesis]
        method = "{}"
        steps = 6
        [tables.customers]
        role = "users"
        key = "customer"
        source = "c"
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
        "#,
        method.name()
    );
    let project = Project::parse(&text, Path::new("twinmart.toml")).unwrap();
    let whole = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let events: Vec<(i64, i64)> = (0..150).flat_map(|c| (0..2 + c % 7).map(move |e| (c, e))).collect();
    let at = |(c, e): (i64, i64)| 1_600_000_000 + (c * 37 + e * 1_500) * 60;
    let quantity = |r: usize| 1 + (noise(r, 1) % 5) as i64;
    let price = |r: usize| 1.0 + (noise(r, 2) % 300) as f64 / 100.0;
    let numbered = || events.iter().copied().enumerate();
    let purchases = table(
        "purchases",
        project.tables["purchases"].clone(),
        vec![
            ("customer", whole(events.iter().map(|e| e.0).collect())),
            ("product", whole(numbered().map(|(r, _)| (noise(r, 3) % 30) as i64).collect())),
            ("at", Arc::new(TimestampSecondArray::from_iter_values(events.iter().map(|e| at(*e))))),
            (
                "delivered",
                Arc::new(TimestampSecondArray::from_iter_values(numbered().map(|(r, e)| at(e) + 86_400 * quantity(r)))),
            ),
            ("quantity", whole(numbered().map(|(r, _)| quantity(r)).collect())),
            ("price", Arc::new(Float64Array::from_iter_values(numbered().map(|(r, _)| price(r))))),
            (
                "total",
                Arc::new(Float64Array::from_iter_values(
                    numbered().map(|(r, _)| (price(r) * quantity(r) as f64 * 100.0).round() / 100.0),
                )),
            ),
        ],
        purchases,
    );
    let age = |c: i64| 20 + (c * 7) % 60;
    let customers = table(
        "customers",
        project.tables["customers"].clone(),
        vec![
            ("customer", whole((0..150).collect())),
            ("age", whole((0..150).map(age).collect())),
            ("retired", Arc::new(BooleanArray::from((0..150).map(|c| age(c) > 64).collect::<Vec<_>>()))),
        ],
        &["if age <= 64 then retired = false", "retired = true or age <= 64"],
    );
    let products =
        table("products", project.tables["products"].clone(), vec![("product", whole((0..30).collect()))], &[]);
    Shop { project, tables: vec![customers, products, purchases] }
}

#[test]
fn rules_hold_for_users_and_their_events() {
    let rules = ["total = price * quantity", "delivered > at", "quantity >= 1"];
    for method in Method::ALL {
        // Crossing and resampling of sessions move times, so deliveries do not keep to them.
        let copies = matches!(method, Method::Interpolate);
        let rules = if copies { &rules[..1] } else { &rules[..] };
        let shop = shop(method, rules);
        let settings = FitSettings::of_project(&shop.project, Some(method), None).unwrap();
        let model = fit(&shop, &settings, &Progress::silent()).unwrap();
        let sampler = model.sampler(Some(1_500), 2).unwrap();
        let mut events = 0;
        for chunk in 0..sampler.chunks() {
            let [users, _, purchases] = &sampler.chunk(chunk).unwrap()[..] else { panic!("three tables") };
            let (age, retired) = (users["age"].as_primitive::<Int64Type>(), users["retired"].as_boolean());
            for user in (0..users.num_rows()).filter(|u| age.is_valid(*u) && retired.is_valid(*u)) {
                assert_eq!(retired.value(user), age.value(user) > 64, "{method:?}: user {user}");
            }
            let quantity = purchases["quantity"].as_primitive::<Int64Type>();
            let [price, total] = ["price", "total"].map(|c| purchases[c].as_primitive::<Float64Type>());
            let [at, delivered] = ["at", "delivered"]
                .map(|c| arrow::compute::cast(&purchases[c], &arrow::datatypes::DataType::Int64).unwrap());
            let [at, delivered] = [&at, &delivered].map(|c| c.as_primitive::<Int64Type>());
            for event in 0..purchases.num_rows() {
                let sum = price.value(event) * quantity.value(event) as f64;
                assert!((total.value(event) - sum).abs() < 0.005_001, "{method:?}: event {event}");
                assert!(copies || delivered.value(event) > at.value(event), "{method:?}: event {event}");
            }
            events += purchases.num_rows();
        }
        assert!(events > 3_000, "{method:?}: {events} events");
    }
}

#[test]
fn rules_that_cannot_be_kept_are_refused_with_the_reason() {
    let fault = |shop: &Shop| {
        let settings = FitSettings::of_project(&shop.project, None, None).unwrap();
        fit(shop, &settings, &Progress::silent()).unwrap_err().to_string()
    };
    for (rule, reason) in [
        ("customer > 5", "keys, references and groups are made anew"),
        ("product in (1, 2)", "keys, references and groups are made anew"),
        ("prize > 0", "there is no such column"),
        ("quantity = 'many'", "cannot be compared"),
    ] {
        let told = fault(&shop(Method::Independent, &[rule]));
        assert!(told.contains(reason) && told.contains("purchases"), "{rule}: {told}");
    }
    // Never true of any drawn row: named when rows are drawn.
    let model = fitted(&["price > 500 and price is present"], Method::Independent).unwrap();
    let told = drawn(&model, 100, &[]).unwrap_err();
    assert!(
        matches!(told, Error::Usage(_)) && told.to_string().contains("`price > 500 and price is present`"),
        "{told}"
    );
}
