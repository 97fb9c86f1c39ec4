use super::*;
use arrow::array::{Array, Date32Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn constraint(text: &str) -> Constraint {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// Three rows: an order, another, and one with everything missing.
fn orders() -> RecordBatch {
    let day = |d: i32| Some(15_000 + d);
    RecordBatch::try_from_iter([
        ("price", Arc::new(Float64Array::from(vec![Some(1.15), Some(2.0), None])) as ArrayRef),
        ("quantity", Arc::new(Int64Array::from(vec![Some(3), Some(-1), None]))),
        ("total", Arc::new(Float64Array::from(vec![Some(3.45), Some(-2.5), Some(f64::NAN)]))),
        ("status", Arc::new(StringArray::from(vec![Some("sent"), Some("it's open"), None]))),
        ("unit price", Arc::new(Float32Array::from(vec![Some(1.15), Some(2.0), None]))),
        ("ordered", Arc::new(Date32Array::from(vec![day(0), day(5), None]))),
        ("sent", Arc::new(Date32Array::from(vec![day(2), None, None]))),
        ("paid", Arc::new(arrow::array::BooleanArray::from(vec![Some(true), Some(false), None]))),
    ])
    .unwrap()
}

fn decimals(batch: &RecordBatch) -> Decimals {
    let mut decimals = Decimals::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        decimals.note(field.name(), std::slice::from_ref(column)).unwrap();
    }
    decimals
}

fn kept(text: &str) -> Vec<Option<bool>> {
    let (batch, constraint) = (orders(), constraint(text));
    constraint.check(&batch.schema()).unwrap_or_else(|e| panic!("{e}"));
    constraint.evaluate(batch.columns(), &batch.schema(), &decimals(&batch)).unwrap().iter().collect()
}

#[test]
fn constraints_mean_what_they_say() {
    let (yes, no, unknown) = (Some(true), Some(false), None);
    for (text, rows) in [
        ("quantity >= 1", [yes, no, unknown]),
        ("quantity >= -1", [yes, yes, unknown]),
        ("total = price * quantity", [yes, no, unknown]),
        ("total = price*quantity - 0.5 or quantity > 0", [yes, yes, unknown]),
        ("price + 2 * quantity = 7.15", [yes, no, unknown]),
        ("(price + 2) * quantity < 9.4500001", [yes, yes, unknown]),
        ("\"unit price\" * quantity = 3.45", [yes, no, unknown]),
        ("-quantity <= 0", [yes, no, unknown]),
        ("total / 0 = 1", [unknown, unknown, unknown]),
        ("round(price, 1) = 1.2", [yes, no, unknown]),
        ("status = 'it''s open'", [no, yes, unknown]),
        ("status in ('sent', 'back')", [yes, no, unknown]),
        ("status NOT IN ('sent', 'back')", [no, yes, unknown]),
        ("quantity in (3, -1)", [yes, yes, unknown]),
        ("sent >= ordered", [yes, unknown, unknown]),
        ("sent - ordered <= 2", [yes, unknown, unknown]),
        ("sent - ordered < 2", [no, unknown, unknown]),
        ("sent = ordered + 2", [yes, unknown, unknown]),
        ("ordered >= '2011-01-26'", [yes, yes, unknown]),
        ("ordered > '2011-01-26 00:00:00'", [no, yes, unknown]),
        ("if status = 'it''s open' then sent is missing", [yes, yes, yes]),
        ("if sent is missing then status != 'sent'", [yes, yes, unknown]),
        ("total is missing", [no, no, yes]),
        ("total is not missing and price is present", [yes, yes, no]),
        ("not (quantity < 0 or price > 100)", [yes, no, unknown]),
        ("paid = true", [yes, no, unknown]),
        ("paid in (TRUE, false)", [yes, yes, unknown]),
        ("(if paid = true then quantity > 0) and (price) > 1", [yes, yes, unknown]),
    ] {
        assert_eq!(kept(text), rows, "{text}");
    }
}

#[test]
fn formulas_give_their_columns() {
    let batch = orders();
    for (text, column) in
        [("total = price * quantity", "total"), ("price * quantity = total", "total"), ("sent = ordered + 2", "sent")]
    {
        let constraint = constraint(text);
        assert_eq!(constraint.computed(), Some(column));
        let decimals = decimals(&batch);
        let given = constraint.compute(batch.columns(), &batch.schema(), &decimals).unwrap().unwrap();
        let mut columns = batch.columns().to_vec();
        columns[batch.schema().index_of(column).unwrap()] = given;
        let kept = constraint.evaluate(&columns, &batch.schema(), &decimals).unwrap();
        assert!(kept.iter().take(2).all(|k| k == Some(true)), "{text}");
    }
    for none in
        ["total >= price", "total = total * 1", "total = 3", "total = price or total = quantity", "combinations(a, b)"]
    {
        assert_eq!(constraint(none).computed(), None, "{none}");
    }
    let total = constraint("total = price * quantity");
    let values = total.compute(batch.columns(), &batch.schema(), &decimals(&batch)).unwrap().unwrap();
    assert_eq!(
        values.as_any().downcast_ref::<Float64Array>().unwrap().iter().collect::<Vec<_>>(),
        [Some(3.45), Some(-2.0), None]
    );
}

#[test]
fn what_is_no_constraint_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "it is empty"),
        ("quantity", "it compares nothing"),
        ("quantity >=", "a value is missing"),
        ("quantity >= 1 2", "2 is not expected here"),
        ("quantity in ()", "a number or a 'text' is expected"),
        ("quantity in (1", "`)` is missing"),
        ("status = 'open", "a ' is not closed"),
        ("\"a = 1", "a \" is not closed"),
        ("a ; b", "`;` has no meaning"),
        ("if a = 1", "`if` has no `then`"),
        ("a + b is missing", "only a column"),
        ("a is blue", "`is` is followed by"),
        ("combinations(a)", "two columns or more"),
        ("combinations(a, a)", "stands in it twice"),
        ("round(a, 12) = 1", "0 to 9 decimals"),
        ("and = 1", "a column of that name stands in double quotes"),
        ("1e999 < a", "no number"),
    ] {
        let told = text.parse::<Constraint>().unwrap_err();
        assert!(told.contains(reason), "{text}: {told}");
    }
    for deep in ["(".repeat(5_000), "-".repeat(5_000), "not ".repeat(5_000), format!("a{} = 1", "+a".repeat(5_000))] {
        assert!(deep.parse::<Constraint>().is_err());
    }
    let schema = orders().schema();
    for (text, reason) in [
        ("prize > 1", "the columns are price, quantity"),
        ("status > 'a'", "texts have no order"),
        ("status = 3", "a text cannot be compared with a number"),
        ("ordered >= 'soon'", "'soon' is no date or time"),
        ("ordered = 3", "a moment cannot be compared with a number"),
        ("status + 1 = 2", "cannot be computed with"),
        ("combinations(status, state)", "no such column"),
    ] {
        let told = constraint(text).check(&schema).unwrap_err().to_string();
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn names_and_texts_are_quoted_where_they_must() {
    for name in ["price", "unit price", "a-b", "Größe", "if", "9a", "", "5\" pipe"] {
        let text = format!("{} is missing", quoted_column(name));
        assert_eq!(constraint(&text).columns(), [name]);
    }
    assert_eq!(constraint(&format!("a = {}", quoted_text("it's"))), constraint("a = 'it''s'"));
    assert_eq!(String::from(constraint(" total =  price ")), "total =  price");
}

proptest! {
    #[test]
    fn any_text_is_a_constraint_or_refused(text in "\\PC{0,40}") {
        let _ = text.parse::<Constraint>();
    }

    #[test]
    fn any_words_are_a_constraint_or_refused(words in prop::collection::vec(
        prop::sample::select(vec!["a", "b", "1", "'t'", "(", ")", "=", "<", "+", "-", "*", "/", "and", "or", "not", "if",
            "then", "in", "is", "missing", ",", "round"]), 0..14)) {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
            ("b", Arc::new(Float64Array::from(vec![0.5, -2.0]))),
        ]).unwrap();
        if let Ok(constraint) = words.join(" ").parse::<Constraint>()
            && constraint.check(&batch.schema()).is_ok() {
            let kept = constraint.evaluate(batch.columns(), &batch.schema(), &Decimals::default()).unwrap();
            prop_assert_eq!(kept.len(), 2);
        }
    }

    /// What a formula gives keeps the constraint, whatever the numbers and however many decimals the column has.
    #[test]
    fn computed_values_keep_their_constraint(
        rows in prop::collection::vec((-1e4f64..1e4, -300i64..300), 1..20), cents in 0i32..5)
    {
        let unit = 10f64.powi(cents);
        let price: Vec<f64> = rows.iter().map(|(p, _)| (p * unit).round() / unit).collect();
        let quantity = Int64Array::from_iter_values(rows.iter().map(|(_, q)| *q));
        let total = Float64Array::from_iter_values(price.iter().zip(&rows).map(|(p, (_, q))| (p * *q as f64 * 100.0).round() / 100.0));
        let batch = RecordBatch::try_from_iter([
            ("price", Arc::new(Float64Array::from(price)) as ArrayRef),
            ("quantity", Arc::new(quantity)),
            ("total", Arc::new(total)),
        ]).unwrap();
        let decimals = decimals(&batch);
        let constraint = constraint("total = price * quantity");
        let mut columns = batch.columns().to_vec();
        prop_assert_eq!(constraint.evaluate(&columns, &batch.schema(), &decimals).unwrap().true_count(), rows.len());
        columns[2] = constraint.compute(&columns, &batch.schema(), &decimals).unwrap().unwrap();
        prop_assert_eq!(constraint.evaluate(&columns, &batch.schema(), &decimals).unwrap().true_count(), rows.len());
        let (given, real) = (columns[2].as_any().downcast_ref::<Float64Array>().unwrap(), batch.column(2));
        let real = real.as_any().downcast_ref::<Float64Array>().unwrap();
        for (a, b) in given.iter().zip(real.iter()) {
            prop_assert!((a.unwrap() - b.unwrap()).abs() < 0.0100001);
        }
    }
}

#[test]
fn decimals_are_those_that_numbers_are_written_with() {
    let batch = orders();
    let noted = decimals(&batch);
    let mut expected = Decimals::default();
    let column = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    expected.note("price", &[column(vec![0.25])]).unwrap();
    expected.note("quantity", &[column(vec![1.0])]).unwrap();
    expected.note("total", &[column(vec![1.25, 1e9 + 0.01])]).unwrap();
    // Numbers of four bytes have as many decimals as they need to be told apart: more than are noted.
    assert_eq!(noted, expected);
}
