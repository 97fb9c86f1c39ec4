//! A whole table as codes and back.

use crate::cells::Resolution;
use crate::codes::{Codes, SubColumn, UNKNOWN};
use crate::column::ColumnEncoding;
use crate::moment::ticks_per_day;
use arrow::array::{Array, ArrayRef};
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

    /// Encodes rows. What is not among the values that the encoding knows has the code [`UNKNOWN`]; no value that the
    /// encoding was made of has.
    pub fn encode(&self, columns: &[&ArrayRef]) -> Result<Codes> {
        let one = |(column, values): (&Option<ColumnEncoding>, &&ArrayRef)| match column {
            Some(column) => column.encode(values, column.since().map(|c| columns[c])),
            None => Ok(Vec::new()),
        };
        let values: Vec<Vec<Vec<u32>>> = self.columns.par_iter().zip(columns).map(one).collect::<Result<_>>()?;
        Ok(Codes { sub_columns: self.sub_columns(), values: values.into_iter().flatten().collect() })
    }

    /// Decodes rows: `values` is `[sub_columns][rows]` without [`UNKNOWN`], `streams` has one stream for each row. Columns
    /// that are left out are `None`.
    pub fn decode(
        &self,
        values: &[Vec<u32>],
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
            let since = column.since().and_then(|c| decoded[c].clone());
            decoded.push(Some(column.decode(&leaves, since.as_ref(), of.data_type, of.nullable, streams)?));
        }
        Ok(decoded)
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
