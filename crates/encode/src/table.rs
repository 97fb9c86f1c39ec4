//! A whole table as codes and back.

use crate::cells::Resolution;
use crate::codes::{Codes, SubColumn, UNKNOWN};
use crate::column::{ColumnEncoding, moments_of};
use crate::grid::Numbers;
use crate::leaves::Leaves;
use crate::moment::ticks_per_day;
use crate::permitted::Permitted;
use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use rand::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Error, Result};

/// How the columns of a table become sub-columns. Some columns are left out: they have no codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableEncoding {
    columns: Vec<Option<ColumnEncoding>>,
}

/// A column to be encoded.
#[derive(Debug, Clone)]
pub struct ColumnInput<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// Its values.
    pub values: &'a ArrayRef,
    /// What they mean; `None` leaves the column out.
    pub kind: Option<ColumnKind>,
    /// How many people must share a value.
    pub threshold: PersonThreshold,
}

/// The type of a decoded column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnType<'a> {
    /// Its storage type.
    pub data_type: &'a DataType,
    /// Whether values may be missing.
    pub nullable: bool,
}

impl TableEncoding {
    /// The encoding of a table; `subjects` names the person behind each row.
    pub fn of(columns: &[ColumnInput], subjects: &[u64], resolution: Resolution) -> Result<TableEncoding> {
        let of = |(position, input): (usize, &ColumnInput)| {
            let Some(kind) = input.kind else { return Ok(None) };
            let earlier = || columns[..position].iter().enumerate();
            let since = earlier().find(|(_, c)| is_moment(c)).filter(|_| is_moment(input));
            if let Some((at, other)) = since {
                let gap = (at, other.values);
                let found = ColumnEncoding::gap(input.values, gap, subjects, input.threshold, resolution)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            let found = ColumnEncoding::of(input.values, kind, subjects, input.threshold, resolution);
            found.map(Some).map_err(|e| e.with(|p| p.column(input.name)))
        };
        Ok(TableEncoding { columns: columns.par_iter().enumerate().map(of).collect::<Result<_>>()? })
    }

    /// The sub-columns of all columns, in their order.
    pub fn sub_columns(&self) -> Vec<SubColumn> {
        let columns = self.columns.iter().enumerate();
        columns.flat_map(|(at, c)| c.iter().flat_map(move |c| c.sub_columns(at))).collect()
    }

    /// True for a column of which no value may come out.
    pub fn is_silent(&self, column: usize) -> bool {
        self.columns[column].as_ref().is_some_and(|c| c.sub_columns(column).next().is_none())
    }

    /// The values that the encoding of a column lists, frequent ones first; `None` where cells stand for values, as for numbers.
    pub fn listed(&self, column: usize) -> Option<&[String]> {
        self.columns[column].as_ref().and_then(ColumnEncoding::listed)
    }

    /// Encodes rows. What is not among the values that the encoding knows has the code [`UNKNOWN`]; no value that the
    /// encoding was made of has.
    pub fn encode(&self, columns: &[&ArrayRef]) -> Result<Codes> {
        self.codes(columns, ColumnEncoding::encode)
    }

    /// Encodes rows with gaps that are to be filled: the code [`UNKNOWN`] also stands for missing values, for values unlike any
    /// that the encoding was made of, and for moments that are counted from a missing one.
    pub fn encode_given(&self, columns: &[&ArrayRef]) -> Result<Codes> {
        self.codes(columns, ColumnEncoding::encode_given)
    }

    fn codes(
        &self,
        columns: &[&ArrayRef],
        encode: impl Fn(&ColumnEncoding, &ArrayRef, Option<&ArrayRef>) -> Result<Vec<Vec<u32>>> + Sync,
    ) -> Result<Codes> {
        let one = |(column, values): (&Option<ColumnEncoding>, &&ArrayRef)| match column {
            Some(column) => encode(column, values, column.since().map(|c| columns[c])),
            None => Ok(Vec::new()),
        };
        let values: Vec<Vec<Vec<u32>>> = self.columns.par_iter().zip(columns).map(one).collect::<Result<_>>()?;
        Ok(Codes { sub_columns: self.sub_columns(), values: values.into_iter().flatten().collect() })
    }

    /// For each sub-column, whether its code 0 says that the value of its column is missing.
    pub fn missing_codes(&self) -> Vec<bool> {
        let may_be_missing = |column: usize| self.columns[column].as_ref().is_some_and(ColumnEncoding::may_be_missing);
        self.sub_columns().iter().map(|s| s.level == 0 && may_be_missing(s.column)).collect()
    }

    /// The parts of all columns, in the order of their sub-columns.
    pub fn leaves(&self) -> Vec<Leaves> {
        let mut parts: Vec<Leaves> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let first = parts.last().map_or(0, |p| p.sub_columns.end);
            parts.extend(column.iter().flat_map(|c| c.leaves(at, first)));
        }
        parts
    }

    /// Codes `[sub_columns][rows]` without [`UNKNOWN`] as leaves `[parts][rows]`, parts as in [`TableEncoding::leaves`].
    pub fn leaves_of(&self, values: &[Vec<u32>]) -> Vec<Vec<u32>> {
        leaves(&self.sub_columns(), values)
    }

    /// The way back: leaves `[parts][rows]`, each one that its part has, as codes `[sub_columns][rows]`.
    pub fn codes_of(&self, leaves: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let mut left = leaves;
        let mut codes = Vec::new();
        for column in self.columns.iter().flatten() {
            let (own, others) = left.split_at(column.parts());
            codes.extend(column.codes_of(own));
            left = others;
        }
        codes
    }

    /// What a column's leaves say of permitted values: for each of its chains, the first sub-column and the share of each leaf
    /// that is permitted. None where the leaves cannot say it: of moments counted from another one, and where no value may
    /// come out.
    pub fn shares(&self, column: usize, permitted: &Permitted) -> Vec<(usize, Vec<f32>)> {
        let sub_columns = self.sub_columns().into_iter().enumerate();
        let starts = sub_columns.filter(|(_, s)| s.column == column && s.level == 0).map(|(p, _)| p);
        let shares = self.columns[column].as_ref().map(|c| c.shares(permitted)).unwrap_or_default();
        starts.zip(shares).collect()
    }

    /// Positions as in [`Leaves::positions`] (NaN = missing) as values of a column of numbers; `None` for other columns.
    pub fn at(&self, column: usize, positions: &[f64], data_type: &DataType) -> Option<Result<ArrayRef>> {
        self.columns[column].as_ref().and_then(|c| c.at(positions, data_type))
    }

    /// The smallest and the largest value of a column that can be drawn, as two rows of its type; `None` where its values have
    /// no order, or are moments.
    pub fn ends(&self, column: usize, data_type: &DataType) -> Option<ArrayRef> {
        self.columns[column].as_ref().and_then(|c| c.ends(data_type))
    }

    /// Codes of the sub-columns of one column, for a value drawn by this column's own frequencies: never a missing one.
    pub fn draw(&self, column: usize, stream: &mut impl RngCore) -> Vec<u32> {
        self.columns[column].as_ref().map(|c| c.draw(stream)).unwrap_or_default()
    }

    /// Decodes rows: `values` is `[sub_columns][rows]` without [`UNKNOWN`], `streams` has one stream for each row. Columns
    /// that are left out are `None`.
    pub fn decode(
        &self,
        values: &[Vec<u32>],
        types: &[ColumnType],
        streams: &mut [impl RngCore],
    ) -> Result<Vec<Option<ArrayRef>>> {
        self.decode_among(values, None, &[], types, streams)
    }

    /// As [`TableEncoding::decode`], for rows of whose columns only some values are permitted: `permitted` has what is for each
    /// column, or is empty.
    pub fn decode_permitted(
        &self,
        values: &[Vec<u32>],
        permitted: &[Option<Permitted>],
        types: &[ColumnType],
        streams: &mut [impl RngCore],
    ) -> Result<Vec<Option<ArrayRef>>> {
        self.decode_among(values, None, permitted, types, streams)
    }

    /// As [`TableEncoding::decode`], for rows of which the values present in `given` stay: moments are counted from those.
    pub fn decode_given(
        &self,
        values: &[Vec<u32>],
        given: &[ArrayRef],
        types: &[ColumnType],
        streams: &mut [impl RngCore],
    ) -> Result<Vec<Option<ArrayRef>>> {
        self.decode_among(values, Some(given), &[], types, streams)
    }

    fn decode_among(
        &self,
        values: &[Vec<u32>],
        given: Option<&[ArrayRef]>,
        permitted: &[Option<Permitted>],
        types: &[ColumnType],
        streams: &mut [impl RngCore],
    ) -> Result<Vec<Option<ArrayRef>>> {
        let mut decoded: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.len());
        let mut next = 0;
        for (position, (column, of)) in self.columns.iter().zip(types).enumerate() {
            let Some(column) = column else {
                decoded.push(None);
                continue;
            };
            let sub_columns: Vec<SubColumn> = column.sub_columns(position).collect();
            let leaves = leaves(&sub_columns, &values[next..next + sub_columns.len()]);
            next += sub_columns.len();
            let since = match (column.since(), given) {
                (Some(c), None) => decoded[c].clone(),
                (Some(c), Some(given)) => {
                    decoded[c].as_ref().map(|drawn| given_or_drawn(&given[c], drawn)).transpose()?
                }
                (None, _) => None,
            };
            let permitted = permitted.get(position).and_then(Option::as_ref);
            let array = column.decode(&leaves, since.as_ref(), permitted, of.data_type, of.nullable, streams)?;
            decoded.push(Some(array));
            if let (Some(origin), Some(given)) = (column.since(), given) {
                self.move_origin(position, origin, given, &mut decoded)?;
            }
        }
        Ok(decoded)
    }

    /// Where the moment at `position` is given but its origin is not, the origin is so long before it as was drawn. What was
    /// counted from that origin moves with it.
    fn move_origin(
        &self,
        position: usize,
        origin: usize,
        given: &[ArrayRef],
        decoded: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        let Some(drawn) = &decoded[position] else { return Ok(()) };
        let (later, drawn) = (ticks(&given[position])?, ticks(drawn)?);
        let origins = given[origin].clone();
        let by = later.iter().zip(&drawn).enumerate().map(|(row, (later, drawn))| match (later, drawn) {
            (Some(later), Some(drawn)) if origins.is_null(row) => later.saturating_sub(drawn),
            _ => 0,
        });
        let by: Vec<i64> = by.collect();
        if by.iter().all(|by| *by == 0) {
            return Ok(());
        }
        for (at, moments) in decoded.iter_mut().enumerate() {
            let moves = at == origin || self.columns[at].as_ref().is_some_and(|c| c.since() == Some(origin));
            if let Some(moments) = moments.as_mut().filter(|_| moves) {
                let moved = ticks(moments)?.iter().zip(&by).map(|(t, by)| t.map(|t| t.saturating_add(*by))).collect();
                *moments = moments_of(moved, moments.data_type())?;
            }
        }
        Ok(())
    }

    /// Checks what a file says: a data error where no table has such an encoding.
    pub fn check(&self, columns: usize) -> Result<()> {
        let since =
            |(at, c): (usize, &Option<ColumnEncoding>)| c.as_ref().is_none_or(|c| c.since().is_none_or(|s| s < at));
        let sound = self.columns.len() == columns
            && self.columns.iter().flatten().all(ColumnEncoding::is_sound)
            && self.columns.iter().enumerate().all(since);
        if sound { Ok(()) } else { Err(Error::data("a stored encoding contradicts itself").into()) }
    }
}

fn is_moment(column: &ColumnInput) -> bool {
    matches!(column.kind, Some(ColumnKind::Datetime | ColumnKind::Date))
        && ticks_per_day(column.values.data_type()).is_some()
}

fn ticks(moments: &ArrayRef) -> Result<Int64Array> {
    match Numbers::of(moments)? {
        Numbers::Whole(ticks) => Ok(ticks),
        Numbers::Real(_) => Err(Error::data("moments are whole numbers").into()),
    }
}

fn given_or_drawn(given: &ArrayRef, drawn: &ArrayRef) -> Result<ArrayRef> {
    Ok(zip(&is_not_null(given)?, given, drawn)?)
}

/// The leaf of each row in each chain: `[chains][rows]`.
fn leaves(sub_columns: &[SubColumn], values: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut leaves: Vec<Vec<u32>> = Vec::new();
    for (sub_column, codes) in sub_columns.iter().zip(values) {
        if sub_column.level == 0 {
            leaves.push(vec![0; codes.len()]);
        }
        if let Some(nodes) = leaves.last_mut() {
            for (node, code) in nodes.iter_mut().zip(codes) {
                debug_assert_ne!(*code, UNKNOWN);
                *node = sub_column.child(*node, *code);
            }
        }
    }
    leaves
}
