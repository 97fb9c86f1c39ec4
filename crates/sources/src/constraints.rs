//! The constraints of a table against its real rows, before anything is learned.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::concat;
use twinmart_tables::constraint::{Constraint, Decimals};
use twinmart_tables::{Error, Progress, Result, Table};

/// Checks the constraints of a table: that their columns are there and comparable, and that real rows can keep them. Says which
/// of them real rows break.
///
/// # Errors
/// A usage error for a constraint of other columns or types, for one that no real row keeps, and for constraints that no real row
/// keeps together.
pub fn check(table: &Table, progress: &Progress) -> Result<()> {
    let mut verdicts: Vec<(&Constraint, Verdict)> = Vec::new();
    for constraint in &table.constraints {
        constraint.check(&table.schema).map_err(|e| e.with(|p| p.table(&table.name)))?;
        let verdict = Verdict::of(constraint, table)?;
        if verdict.kept == 0 && verdict.broken > 0 {
            return Err(Error::usage(format!("no real row keeps the constraint `{constraint}`"))
                .table(&table.name)
                .remedy("correct it under [constraints]")
                .into());
        }
        verdicts.push((constraint, verdict));
    }
    if let Some(culprits) = contradiction(&verdicts) {
        let texts: Vec<String> = culprits.iter().map(|c| format!("`{c}`")).collect();
        return Err(Error::usage(format!(
            "the constraints {} contradict each other: no real row keeps them together",
            texts.join(" and ")
        ))
        .table(&table.name)
        .remedy("correct or remove one of them under [constraints]")
        .into());
    }
    for (constraint, Verdict { broken, first, .. }) in &verdicts {
        if let Some(row) = first {
            progress.warn(&format!(
                "table {}: {broken} of {} real rows break the constraint `{constraint}` (the first is row {row}); twins keep it all the \
                 same; to learn from rows that keep it, drop the others under [clean]",
                table.name,
                table.rows()
            ));
        }
    }
    Ok(())
}

/// What real rows say of a constraint.
struct Verdict {
    rows: BooleanArray,
    kept: usize,
    broken: usize,
    /// The first row that breaks it, counted from 1.
    first: Option<usize>,
}

impl Verdict {
    fn of(constraint: &Constraint, table: &Table) -> Result<Verdict> {
        let rows = verdicts(constraint, table)?;
        let broken = |kept: &Option<bool>| *kept == Some(false);
        let first = rows.iter().position(|kept| broken(&kept)).map(|row| row + 1);
        Ok(Verdict { kept: rows.true_count(), broken: rows.false_count(), first, rows })
    }
}

/// What each row of a table says of a constraint.
fn verdicts(constraint: &Constraint, table: &Table) -> Result<BooleanArray> {
    let mut decimals = Decimals::default();
    for name in constraint.columns() {
        let position = table.position(name)?;
        let parts: Vec<ArrayRef> = table.batches.iter().map(|b| b.column(position).clone()).collect();
        decimals.note(name, &parts)?;
    }
    let parts = table.batches.iter().map(|b| constraint.evaluate(b.columns(), &table.schema, &decimals));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    if parts.is_empty() {
        return Ok(BooleanArray::from(Vec::<bool>::new()));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part as &dyn Array).collect();
    Ok(concat(&parts)?.as_boolean().clone())
}

/// Constraints of which some rows say something, and which none of those keeps: two of them, else all.
fn contradiction<'a>(verdicts: &[(&'a Constraint, Verdict)]) -> Option<Vec<&'a Constraint>> {
    let conflict = |all: &[&BooleanArray]| {
        let says = |row: usize| all.iter().map(move |rows| rows.is_valid(row).then(|| rows.value(row)));
        let mut asked = false;
        for row in 0..all.first().map_or(0, |rows| rows.len()) {
            if says(row).all(|kept| kept.is_some()) {
                asked = true;
                if says(row).all(|kept| kept == Some(true)) {
                    return false;
                }
            }
        }
        asked
    };
    for (at, (one, first)) in verdicts.iter().enumerate() {
        for (other, second) in &verdicts[at + 1..] {
            let broken = first.broken > 0 && second.broken > 0;
            if broken && conflict(&[&first.rows, &second.rows]) {
                return Some(vec![one, other]);
            }
        }
    }
    let broken = verdicts.iter().filter(|(_, v)| v.broken > 0);
    let all: Vec<(&Constraint, &BooleanArray)> = broken.map(|(c, v)| (*c, &v.rows)).collect();
    let rows: Vec<&BooleanArray> = all.iter().map(|(_, rows)| *rows).collect();
    (rows.len() > 2 && conflict(&rows)).then(|| all.iter().map(|(c, _)| *c).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use std::sync::{Arc, Mutex, atomic::AtomicBool};
    use twinmart_tables::{Reporter, TableDefinition};

    /// Low and high numbers of ten rows, two of which are missing; one row has them the wrong way round.
    fn table(rules: &[&str]) -> Table {
        let low = Int64Array::from_iter((0..10).map(|r| (r != 3).then_some(r)));
        let high = Int64Array::from_iter((0..10).map(|r| (r != 4).then_some(if r == 6 { 1 } else { r + 5 })));
        let state = StringArray::from_iter((0..10).map(|r| (r < 8).then_some(if r % 2 == 0 { "on" } else { "off" })));
        let columns = [("low", Arc::new(low) as ArrayRef), ("high", Arc::new(high)), ("state", Arc::new(state))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let constraints = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let (name, definition, schema) = ("t".to_string(), TableDefinition::default(), batch.schema());
        let batches = vec![batch.slice(0, 4), batch.slice(4, 6)];
        Table { name, definition, schema, kinds: Vec::new(), batches, population: None, constraints }
    }

    #[derive(Default)]
    struct Warned(Mutex<Vec<String>>);

    impl Reporter for Warned {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, text: &str) {
            self.0.lock().unwrap().push(text.into());
        }
    }

    fn checked(rules: &[&str]) -> std::result::Result<Vec<String>, String> {
        let warned = Arc::new(Warned::default());
        let progress = Progress::new(warned.clone(), Arc::new(AtomicBool::new(false)));
        check(&table(rules), &progress).map_err(|e| e.to_string())?;
        let texts = warned.0.lock().unwrap().clone();
        Ok(texts)
    }

    #[test]
    fn rules_that_rows_break_are_told_and_those_that_none_keeps_refused() {
        assert_eq!(checked(&["low >= 0", "high is missing or high > 0"]).unwrap(), [""; 0]);
        let told = checked(&["low < high"]).unwrap();
        assert!(
            told.len() == 1 && told[0].contains("1 of 10 real rows break") && told[0].contains("row 7"),
            "{told:?}"
        );
        for (rules, reason) in [
            (vec!["low > 100"], "no real row keeps the constraint `low > 100`"),
            (vec!["low >= 5", "high > 0", "low < 5"], "`low >= 5` and `low < 5` contradict each other"),
            (vec!["state = 'on'", "low >= 0", "state = 'off'"], "`state = 'on'` and `state = 'off'` contradict"),
            (
                vec!["low < 6", "low > 1", "low < 2 or low > 5"],
                "`low < 6` and `low > 1` and `low < 2 or low > 5` contradict",
            ),
            (vec!["lower < 6"], "there is no such column"),
            (vec!["state < 'a'"], "texts have no order"),
        ] {
            let told = checked(&rules).unwrap_err();
            assert!(told.contains(reason) && told.contains("table `t`"), "{told}");
        }
        // Rules of rows that nothing has in common do not meet.
        assert!(checked(&["if low is missing then high >= 8", "if high is missing then low = 4"]).is_ok());
    }

    /// The engine of SQL says the same of every row.
    #[test]
    fn constraints_agree_with_sql() {
        let engine = crate::engine::Engine::new().unwrap();
        let table = table(&[]);
        for (rule, sql) in [
            ("low < high", "low < high"),
            ("low != high - 5", "low <> high - 5"),
            ("low + 2 * high >= 13 and not state = 'on'", "low + 2 * high >= 13 AND NOT state = 'on'"),
            ("if state = 'on' then low > 2", "NOT (state = 'on') OR low > 2"),
            ("low in (1, 4, 7) or state is missing", "low IN (1, 4, 7) OR state IS NULL"),
            ("not (low not in (1, 4) and high is present)", "NOT (low NOT IN (1, 4) AND high IS NOT NULL)"),
            ("-(low - high) * 2 > 9 or (high) <= low", "-(low - high) * 2 > 9 OR high <= low"),
        ] {
            let compiled = engine.condition("t", &table.schema, sql).unwrap();
            let of_batch = |batch: &RecordBatch| {
                let value = compiled.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
                value.as_boolean().iter().collect::<Vec<_>>()
            };
            let expected: Vec<Option<bool>> = table.batches.iter().flat_map(of_batch).collect();
            let told: Vec<Option<bool>> = verdicts(&rule.parse().unwrap(), &table).unwrap().iter().collect();
            assert_eq!(told, expected, "{rule}");
        }
    }
}
