//! Constraints of one table, kept in every row that is drawn.
//!
//! ```text
//! fit:   constraints, real rows ─► decimals of numbers, combinations that enough people share
//! draw:  rows ─► formulas are computed ─► rows that break a constraint are drawn again ─► rows
//! ```
//!
//! Rows that are drawn again are drawn whole, so what remains is distributed as the model's rows are that keep the constraints (but
//! for combinations, which are put together after [`PATIENCE`] rounds).

use crate::asked::AskedRows;
use crate::rows::put_given;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, UInt64Array};
use arrow::compute::kernels::boolean::{and, and_not, or};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, interleave, is_not_null, take};
use arrow::datatypes::{DataType, SchemaRef};
use rand::{Rng, RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::constraint::{Constraint, Decimals};
use twinmart_tables::{Draws, Error, Result, Stream, Table};

/// Rounds of draws of a row until it is given up: a few thousand draws, where few rows are left.
const ROUNDS: usize = 300;
/// The same where given values may leave no way.
const ROUNDS_AROUND_GIVEN: usize = 16;
/// Draws without a single row that keeps the constraints until all are given up.
const HOPELESS: usize = 50_000;
/// Rows that are worth drawing together, and how often a row is among them at most.
const CANDIDATES: usize = 256;
const MOST_CANDIDATES: usize = 16;
/// Rounds after which combinations are put together from those that are known.
const PATIENCE: usize = 8;

/// Values that stay as they are, by column and row.
pub(crate) type Held = BTreeMap<usize, BooleanArray>;

/// What rows shall have beside keeping constraints.
pub(crate) enum Beside<'a> {
    Nothing,
    /// What conditions say.
    Conditions(&'a AskedRows),
    /// The present values of the given rows at places: all columns of the table.
    Given(&'a dyn Fn(&[usize]) -> Result<Vec<ArrayRef>>),
}

/// What every row of a table keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    constraints: Vec<Constraint>,
    decimals: Decimals,
    /// What stands together, for each constraint that asks for it.
    combinations: BTreeMap<usize, Combinations>,
    /// Constraints whose column is computed, in an order in which each has what it needs.
    formulas: Vec<usize>,
}

/// Values of columns that stand together, as texts, and in how many rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Combinations(Vec<(Vec<Option<String>>, u64)>);

impl Rules {
    /// The constraints of a table, with what must be known of its real rows; `subjects` names the person behind each row,
    /// `is_value` tells of columns whether they hold values of their own.
    ///
    /// # Errors
    /// A usage error for a constraint on keys or references, and where too few people share any combination.
    pub(crate) fn of(table: &Table, subjects: &[u64], is_value: impl Fn(usize) -> bool, seed: u64) -> Result<Rules> {
        let mut rules = Rules { constraints: table.constraints.clone(), ..Rules::default() };
        for (at, constraint) in table.constraints.iter().enumerate() {
            let place = |e: Error| e.with(|p| p.table(&table.name));
            constraint.check(&table.schema).map_err(place)?;
            for name in constraint.columns() {
                let position = table.position(name)?;
                if !is_value(position) {
                    return Err(Error::usage(format!(
                        "constraint `{constraint}`: keys, references and groups are made anew"
                    ))
                    .table(&table.name)
                    .column(name)
                    .remedy("leave the constraint out, or state it of columns of values")
                    .into());
                }
                rules.decimals.note(name, &[table.column_at(position)?])?;
            }
            if let Some(columns) = constraint.combined() {
                let number = Draws::new(seed).family("synth.threshold", "combinations").row(at as u64).next_u64();
                let shared = Combinations::of(table, columns, subjects, PersonThreshold::draw(number))?;
                if shared.0.is_empty() {
                    return Err(Error::usage(format!(
                        "constraint `{constraint}`: no combination is shared by enough people to come out"
                    ))
                    .table(&table.name)
                    .remedy("leave the constraint out, or combine columns with fewer values")
                    .into());
                }
                rules.combinations.insert(at, shared);
            }
        }
        rules.formulas = in_order(&rules.constraints);
        Ok(rules)
    }

    /// True where there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.constraints.is_empty()
    }

    /// True where what a file says fits together and its table.
    pub(crate) fn is_sound(&self, schema: &SchemaRef) -> bool {
        let combined = |(at, known): (&usize, &Combinations)| {
            let columns = self.constraints.get(*at).and_then(Constraint::combined);
            columns.is_some_and(|c| known.is_sound(c.len()))
        };
        let wanted = self.constraints.iter().filter(|c| c.combined().is_some()).count();
        self.constraints.iter().all(|c| c.check(schema).is_ok())
            && self.combinations.len() == wanted
            && self.combinations.iter().all(combined)
            && self.formulas == in_order(&self.constraints)
    }

    /// The constraints.
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Puts what formulas give in the place of present values; columns behind those of `schema` stay. Values that are `held`
    /// (by column and row; none where it is empty) stay as well: there formulas are solved for a column that is free.
    pub(crate) fn settle(&self, columns: &mut [ArrayRef], schema: &SchemaRef, held: &Held) -> Result<()> {
        let mut held = held.clone();
        if !held.is_empty() {
            // What held values give is as good as held.
            self.compute(columns, schema, &mut held, true)?;
            for constraint in self.formulas.iter().rev().map(|at| &self.constraints[*at]) {
                self.solve(constraint, columns, schema, &mut held)?;
            }
        }
        self.compute(columns, schema, &mut held, false)
    }

    /// Puts what formulas give where that is not held; only from held values, whose results are held from then on, or from all.
    fn compute(&self, columns: &mut [ArrayRef], schema: &SchemaRef, held: &mut Held, from_held: bool) -> Result<()> {
        for constraint in self.formulas.iter().map(|at| &self.constraints[*at]) {
            let Some(column) = constraint.computed() else { continue };
            let Some(values) = constraint.compute(columns, schema, &self.decimals)? else { continue };
            let position = schema.index_of(column)?;
            let mut given = and(&is_not_null(&values)?, &is_not_null(&columns[position])?)?;
            if let Some(held) = held.get(&position) {
                given = and_not(&given, held)?;
            }
            if from_held {
                for input in constraint.columns().into_iter().filter(|input| *input != column) {
                    let Some(held) = held.get(&schema.index_of(input)?) else {
                        given = BooleanArray::from(vec![false; given.len()]);
                        break;
                    };
                    given = and(&given, held)?;
                }
                hold(held, position, &given)?;
            }
            columns[position] = zip(&given, &values, &columns[position])?;
        }
        Ok(())
    }

    /// Where the column of a formula is held, solves it for the last of its other columns that is not.
    fn solve(
        &self,
        constraint: &Constraint,
        columns: &mut [ArrayRef],
        schema: &SchemaRef,
        held: &mut Held,
    ) -> Result<()> {
        let Some(column) = constraint.computed() else { return Ok(()) };
        let Some(mut open) = held.get(&schema.index_of(column)?).cloned() else { return Ok(()) };
        let inputs = constraint.columns().into_iter().filter(|c| *c != column);
        let mut inputs = inputs.map(|c| Ok(schema.index_of(c)?)).collect::<Result<Vec<usize>>>()?;
        // A number with decimals more often has the value that is wanted.
        inputs.sort_by_key(|at| (schema.field(*at).data_type().is_integer(), std::cmp::Reverse(*at)));
        for input in inputs {
            let Some(values) = constraint.solve(schema.field(input).name(), columns, schema, &self.decimals)? else {
                continue;
            };
            let mut solved = and(&open, &is_not_null(&values)?)?;
            if let Some(held) = held.get(&input) {
                solved = and_not(&solved, held)?;
            }
            columns[input] = zip(&solved, &values, &columns[input])?;
            open = and_not(&open, &solved)?;
            hold(held, input, &solved)?;
        }
        Ok(())
    }

    /// True for rows that break no constraint.
    pub(crate) fn kept(&self, columns: &[ArrayRef], schema: &SchemaRef) -> Result<BooleanArray> {
        let mut all = BooleanArray::from(vec![true; columns.first().map_or(0, |c| c.len())]);
        for at in 0..self.constraints.len() {
            all = and(&all, &self.kept_one(at, columns, schema)?)?;
        }
        Ok(all)
    }

    fn kept_one(&self, at: usize, columns: &[ArrayRef], schema: &SchemaRef) -> Result<BooleanArray> {
        match (self.constraints[at].combined(), self.combinations.get(&at)) {
            (Some(names), Some(known)) => known.contain(names, columns, schema),
            _ => {
                let kept = self.constraints[at].evaluate(columns, schema, &self.decimals)?;
                Ok(kept.iter().map(|kept| Some(kept != Some(false))).collect())
            }
        }
    }

    /// How many rows break each constraint that any breaks.
    pub(crate) fn broken(&self, columns: &[ArrayRef], schema: &SchemaRef) -> Result<Vec<(&Constraint, usize)>> {
        let rows = columns.first().map_or(0, |c| c.len());
        let mut broken = Vec::new();
        for (at, constraint) in self.constraints.iter().enumerate() {
            match rows - self.kept_one(at, columns, schema)?.true_count() {
                0 => {}
                rows => broken.push((constraint, rows)),
            }
        }
        Ok(broken)
    }

    /// Draws a row for each stream, all of which keep the constraints and what is asked beside them. `draw` makes the rows at
    /// given places, with their streams and with all columns of `schema` first.
    ///
    /// # Errors
    /// A usage error that names the constraint that is broken most, where draws hardly ever keep them.
    pub(crate) fn keep(
        &self,
        streams: &mut [Stream],
        schema: &SchemaRef,
        beside: &Beside,
        draw: impl Fn(&[usize], &mut [Stream]) -> Result<Vec<ArrayRef>>,
    ) -> Result<Vec<ArrayRef>> {
        let (columns, left) = self.draw_until(streams, schema, beside, ROUNDS, &draw)?;
        if left.is_empty() { Ok(columns) } else { Err(self.given_up(&columns, &left, schema)?) }
    }

    /// As [`Rules::keep`], where given values may leave no way to keep the constraints: such rows stay as they were drawn last.
    pub(crate) fn keep_where_possible(
        &self,
        streams: &mut [Stream],
        schema: &SchemaRef,
        beside: &Beside,
        draw: impl Fn(&[usize], &mut [Stream]) -> Result<Vec<ArrayRef>>,
    ) -> Result<Vec<ArrayRef>> {
        Ok(self.draw_until(streams, schema, beside, ROUNDS_AROUND_GIVEN, &draw)?.0)
    }

    /// Draws rows, and those again that are not as they should be; the places that are left are as they were drawn last.
    fn draw_until(
        &self,
        streams: &mut [Stream],
        schema: &SchemaRef,
        beside: &Beside,
        rounds: usize,
        draw: &impl Fn(&[usize], &mut [Stream]) -> Result<Vec<ArrayRef>>,
    ) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let all: Vec<usize> = (0..streams.len()).collect();
        let mut columns = draw(&all, streams)?;
        if self.is_empty() && !matches!(beside, Beside::Conditions(_)) {
            return Ok((columns, Vec::new()));
        }
        let kept = self.settled(&mut columns, schema, beside, &all)?;
        let mut left: Vec<usize> = all.iter().copied().filter(|row| !kept.value(*row)).collect();
        let mut draws = streams.len();
        // All that was drawn, and where in it each row is.
        let mut parts = vec![columns];
        let mut drawn: Vec<(usize, usize)> = all.iter().map(|row| (0, *row)).collect();
        for round in 1..=rounds {
            if left.is_empty() || (left.len() == streams.len() && draws > HOPELESS) {
                break;
            }
            let (places, mut own) = candidates(&left, streams);
            let mut again = draw(&places, &mut own)?;
            if round > PATIENCE && matches!(beside, Beside::Nothing) {
                self.mend(&mut again, schema, &mut own)?;
            }
            let kept = self.settled(&mut again, schema, beside, &places)?;
            draws += places.len();
            let mut still = Vec::new();
            let mut at = 0;
            for row in left {
                let of_row = at..at + places[at..].iter().take_while(|place| **place == row).count();
                // The first that keeps all; else any, which is drawn again.
                match of_row.clone().find(|candidate| kept.value(*candidate)) {
                    Some(candidate) => {
                        streams[row] = own[candidate].clone();
                        drawn[row] = (parts.len(), candidate);
                    }
                    None => {
                        streams[row] = own[of_row.end - 1].clone();
                        drawn[row] = (parts.len(), of_row.start);
                        still.push(row);
                    }
                }
                at = of_row.end;
            }
            parts.push(again);
            left = still;
        }
        if let [only] = &mut parts[..] {
            return Ok((std::mem::take(only), left));
        }
        let column = |number: usize| {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part[number].as_ref()).collect();
            Ok(interleave(&arrays, &drawn)?)
        };
        let columns = (0..parts[0].len()).map(column).collect::<Result<_>>()?;
        Ok((columns, left))
    }

    /// Settles drawn rows, and tells which are as they should be.
    fn settled(
        &self,
        columns: &mut [ArrayRef],
        schema: &SchemaRef,
        beside: &Beside,
        places: &[usize],
    ) -> Result<BooleanArray> {
        match beside {
            Beside::Nothing => {
                self.settle(columns, schema, &Held::new())?;
                self.kept(columns, schema)
            }
            Beside::Conditions(asked) => {
                let held = asked.columns().map(|column| (column, BooleanArray::from(vec![true; places.len()])));
                self.settle(columns, schema, &held.collect())?;
                Ok(and(&self.kept(columns, schema)?, &asked.holds(columns)?)?)
            }
            Beside::Given(given) => {
                let given = given(places)?;
                put_given(&given, columns)?;
                self.settle(columns, schema, &held_of(&given)?)?;
                self.kept(columns, schema)
            }
        }
    }

    /// Puts known combinations into rows that have none.
    fn mend(&self, columns: &mut [ArrayRef], schema: &SchemaRef, streams: &mut [Stream]) -> Result<()> {
        for (at, known) in &self.combinations {
            known.mend(self.constraints[*at].combined().unwrap_or_default(), columns, schema, streams)?;
        }
        Ok(())
    }

    fn given_up(&self, columns: &[ArrayRef], left: &[usize], schema: &SchemaRef) -> Result<Error> {
        let index = UInt64Array::from_iter_values(left.iter().map(|row| *row as u64));
        let columns = columns.iter().map(|c| Ok(take(c, &index, None)?)).collect::<Result<Vec<_>>>()?;
        let broken = self.broken(&columns, schema)?;
        // The first of those that are broken most.
        let worst = broken.iter().rev().max_by_key(|(_, rows)| *rows);
        Ok(match worst {
            Some((constraint, _)) => Error::usage(format!("drawn rows hardly ever keep the constraint `{constraint}`"))
                .remedy(
                    "leave it out, ask for less beside it, or write it as a formula (column = …), which is computed",
                ),
            None => Error::usage("drawn rows hardly ever have all that is asked")
                .remedy("ask for less; moments may need a wider range"),
        }
        .into())
    }
}

/// Places of rows that are to be drawn again, each as often as makes the few a batch that is worth drawing, and streams for all.
fn candidates(left: &[usize], streams: &[Stream]) -> (Vec<usize>, Vec<Stream>) {
    let each = (CANDIDATES / left.len()).clamp(1, MOST_CANDIDATES);
    let mut own = Vec::with_capacity(each * left.len());
    for row in left {
        let mut stream = streams[*row].clone();
        own.extend((1..each).map(|_| Stream::seed_from_u64(stream.next_u64())));
        own.push(stream);
    }
    (left.iter().flat_map(|row| std::iter::repeat_n(*row, each)).collect(), own)
}

/// Holds some more rows of a column.
fn hold(held: &mut Held, column: usize, rows: &BooleanArray) -> Result<()> {
    let all = match held.get(&column) {
        Some(held) => or(held, rows)?,
        None => rows.clone(),
    };
    held.insert(column, all);
    Ok(())
}

/// The present values of given rows.
pub(crate) fn held_of(given: &[ArrayRef]) -> Result<Held> {
    let some = given.iter().enumerate().filter(|(_, c)| c.null_count() < c.len());
    some.map(|(at, c)| Ok((at, is_not_null(c)?))).collect()
}

/// The constraints whose column can be computed, each column once, no column from itself, in an order in which each has what
/// it needs.
fn in_order(constraints: &[Constraint]) -> Vec<usize> {
    // All that a computed column comes from, directly or through others.
    let mut sources: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut chosen: Vec<(usize, &str)> = Vec::new();
    for (at, constraint) in constraints.iter().enumerate() {
        let Some(column) = constraint.computed().filter(|column| !sources.contains_key(column)) else { continue };
        let mut own: HashSet<&str> = constraint.columns().into_iter().filter(|c| *c != column).collect();
        let further: Vec<&str> = own.iter().filter_map(|c| sources.get(c)).flatten().copied().collect();
        own.extend(further);
        if own.contains(column) {
            continue;
        }
        sources.values_mut().filter(|of| of.contains(column)).for_each(|of| of.extend(&own));
        sources.insert(column, own);
        chosen.push((at, column));
    }
    // Who comes from another one comes from all that this one does, and from it.
    chosen.sort_by_key(|(_, column)| sources[column].len());
    chosen.into_iter().map(|(at, _)| at).collect()
}

impl Combinations {
    /// The combinations that enough people share, frequent ones first.
    fn of(table: &Table, columns: &[String], subjects: &[u64], threshold: PersonThreshold) -> Result<Combinations> {
        let texts = columns.iter().map(|c| as_text(&table.column(c)?)).collect::<Result<Vec<_>>>()?;
        let mut counts: HashMap<Vec<Option<&str>>, (u64, Vec<u64>)> = HashMap::new();
        for (row, subject) in subjects.iter().enumerate() {
            let (count, people) = counts.entry(values_of(&texts, row)).or_default();
            *count += 1;
            if people.len() < PersonThreshold::LARGEST && !people.contains(subject) {
                people.push(*subject);
            }
        }
        let shared = counts.into_iter().filter(|(_, (_, people))| threshold.allows(people.len()));
        let owned = |values: Vec<Option<&str>>| values.into_iter().map(|v| v.map(str::to_string)).collect();
        let mut known: Vec<(Vec<Option<String>>, u64)> = shared.map(|(v, (count, _))| (owned(v), count)).collect();
        known.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
        Ok(Combinations(known))
    }

    /// True for what a table of so many rows as can be counted may have.
    fn is_sound(&self, columns: usize) -> bool {
        let total = self.0.iter().try_fold(0u64, |sum, (_, count)| sum.checked_add(*count));
        let fit = self.0.iter().all(|(values, count)| values.len() == columns && *count > 0);
        fit && total.is_some_and(|total| total > 0)
    }

    /// True for rows whose values stand together.
    fn contain(&self, names: &[String], columns: &[ArrayRef], schema: &SchemaRef) -> Result<BooleanArray> {
        let texts = texts_of(names, columns, schema)?;
        let known: HashSet<Vec<Option<&str>>> =
            self.0.iter().map(|(values, _)| values.iter().map(Option::as_deref).collect()).collect();
        let rows = texts.first().map_or(0, |t| t.len());
        Ok((0..rows).map(|row| Some(known.contains(&values_of(&texts, row)))).collect())
    }

    /// Puts a known combination into rows that have none: one that begins with the row's first value where there is any, drawn
    /// by how frequent they are.
    fn mend(
        &self,
        names: &[String],
        columns: &mut [ArrayRef],
        schema: &SchemaRef,
        streams: &mut [Stream],
    ) -> Result<()> {
        let texts = texts_of(names, columns, schema)?;
        let contained = self.contain(names, columns, schema)?;
        let mut mended: Vec<Vec<Option<&str>>> = (0..contained.len()).map(|row| values_of(&texts, row)).collect();
        for row in (0..contained.len()).filter(|row| !contained.value(*row)) {
            let first = mended[row][0];
            let mut candidates: Vec<&(Vec<Option<String>>, u64)> =
                self.0.iter().filter(|(values, _)| values[0].as_deref() == first).collect();
            if candidates.is_empty() {
                candidates = self.0.iter().collect();
            }
            let total: u64 = candidates.iter().map(|(_, count)| count).sum();
            let at = streams[row].random_range(0..total);
            let mut passed = 0;
            let chosen = candidates.iter().find(|(_, count)| {
                passed += count;
                at < passed
            });
            if let Some((values, _)) = chosen {
                mended[row] = values.iter().map(Option::as_deref).collect();
            }
        }
        for (number, name) in names.iter().enumerate() {
            let position = schema.index_of(name)?;
            let values: StringArray = mended.iter().map(|values| values[number]).collect();
            let put: BooleanArray = contained.iter().map(|c| c.map(|c| !c)).collect();
            columns[position] = zip(&put, &cast(&values, schema.field(position).data_type())?, &columns[position])?;
        }
        Ok(())
    }
}

fn texts_of(names: &[String], columns: &[ArrayRef], schema: &SchemaRef) -> Result<Vec<StringArray>> {
    names.iter().map(|name| as_text(&columns[schema.index_of(name)?])).collect()
}

fn as_text(column: &ArrayRef) -> Result<StringArray> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn values_of(texts: &[StringArray], row: usize) -> Vec<Option<&str>> {
    texts.iter().map(|text| text.is_valid(row).then(|| text.value(row))).collect()
}
