//! One column of a table as leaves of one or more chains, and back.
//!
//! A column has one chain for each part: most have one, a moment has a day (or week and weekday) and a time of day.

use crate::category::Category;
use crate::cells::{Cells, Resolution};
use crate::chain::Chain;
use crate::codes::{SubColumn, UNKNOWN};
use crate::grid::{Numbers, is_ordered};
use crate::leaves::Leaves;
use crate::marginal::placeholder;
use crate::moment::{Moment, ticks_per_day, whole};
use crate::number::Number;
use crate::observed::{Key, Observed};
use crate::permitted::{Permitted, Values};
use crate::text::Text;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Result};

/// How a column is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ColumnEncoding {
    form: Form,
    /// One tree for each part; the leaf 0 of each is "missing" where `missing` holds.
    chains: Vec<Chain>,
    missing: bool,
    /// The rows that it was made of.
    #[serde(default)]
    rows: u64,
    /// Those of them that lack a value.
    #[serde(default)]
    nulls: u64,
}

/// What the leaves behind "missing" stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// No value may come out.
    Nothing,
    /// Leaf 0: values that few people share, drawn as one of the others; then the values.
    Category(Category),
    /// Cells of numbers.
    Number(Cells),
    /// Cells of the parts of days and moments.
    Moment(Box<Moment>),
    /// Cells of the time since the moment in another column.
    Gap {
        /// The other column's position in the table.
        since: usize,
        cells: Cells,
        /// Counted from here where the other moment is missing.
        otherwise: i64,
    },
    /// Leaf 0: a new text; then the values that many people share.
    Text { text: Text, listed: Option<Category> },
}

impl ColumnEncoding {
    /// The encoding of a column.
    pub(crate) fn of(
        column: &ArrayRef,
        kind: ColumnKind,
        subjects: &[u64],
        threshold: PersonThreshold,
        resolution: Resolution,
    ) -> Result<ColumnEncoding> {
        let seen = Observed::analyse(column, kind, subjects)?;
        let is_text = matches!(seen.values.first_key_value(), Some((Key::Text(_), _)));
        let form = match ticks_per_day(column.data_type()).filter(|_| is_ordered(kind, column.data_type())) {
            Some(ticks) => Moment::of(&seen, ticks, threshold, resolution).map(|m| Form::Moment(Box::new(m))),
            None if kind == ColumnKind::Text => {
                let listed = Category::of(&seen, threshold);
                let text = Text::of(&seen, listed.as_ref(), threshold);
                Some(Form::Text { text, listed }).filter(|f| f.leaves()[0].len() > 1 || f.can_write())
            }
            None if is_text => Category::of(&seen, threshold).map(Form::Category),
            None => Number::of(&seen, threshold).map(|n| Form::Number(Cells::of(n, resolution))),
        };
        Ok(ColumnEncoding::new(form.unwrap_or(Form::Nothing), column.len() as u64, seen.nulls))
    }

    /// A column of moments as the time since another one, where that is much the more regular of the two.
    pub(crate) fn gap(
        column: &ArrayRef,
        since: (usize, &ArrayRef),
        subjects: &[u64],
        threshold: PersonThreshold,
        resolution: Resolution,
    ) -> Result<Option<ColumnEncoding>> {
        /// A gap must vary this many times less than the moments themselves.
        const STEADIER: i128 = 4;
        let (Some(ticks), Some(other_ticks)) = (ticks_per_day(column.data_type()), ticks_per_day(since.1.data_type()))
        else {
            return Ok(None);
        };
        if ticks != other_ticks {
            return Ok(None);
        }
        let (Numbers::Whole(later), Numbers::Whole(earlier)) = (Numbers::of(column)?, Numbers::of(since.1)?) else {
            return Ok(None);
        };
        let gaps: Int64Array =
            later.iter().zip(&earlier).map(|(l, e)| l.zip(e).and_then(|(l, e)| l.checked_sub(e))).collect();
        let spread = |x: &Int64Array| -> Option<i128> {
            let mut values: Vec<i64> = x.iter().flatten().collect();
            values.sort_unstable();
            let at = |share: usize| values.get(values.len() * share / 10).copied().map(i128::from);
            Some(at(9)? - at(1)?)
        };
        let (Some(own), Some(between)) = (spread(&later), spread(&gaps)) else { return Ok(None) };
        if between * STEADIER >= own {
            return Ok(None);
        }
        let moments = Observed::analyse(since.1, ColumnKind::Datetime, subjects)?;
        let Some(usual) = Number::of(&moments, threshold) else { return Ok(None) };
        let otherwise = usual.grid().whole_at(usual.mean(0..usual.segments()));
        let gaps: ArrayRef = Arc::new(gaps);
        let seen = Observed::analyse(&gaps, ColumnKind::Integer, subjects)?;
        let cells = Number::of(&seen, threshold).map(|n| Cells::of(n, resolution));
        let (rows, nulls) = (column.len() as u64, column.logical_null_count() as u64);
        Ok(cells.map(|cells| ColumnEncoding::new(Form::Gap { since: since.0, cells, otherwise }, rows, nulls)))
    }

    fn new(form: Form, rows: u64, nulls: u64) -> ColumnEncoding {
        let missing = nulls > 0 && !matches!(form, Form::Nothing);
        let chain = |weights: Vec<u64>| {
            let weights: Vec<u64> = missing.then_some(nulls).into_iter().chain(weights).collect();
            Chain::balanced(&weights, usize::from(missing) + form.apart(), form.is_ordered())
        };
        let chains = form.leaves().into_iter().map(chain).collect();
        ColumnEncoding { form, chains, missing, rows, nulls }
    }

    /// The column that this one is counted from.
    pub(crate) fn since(&self) -> Option<usize> {
        if let Form::Gap { since, .. } = self.form { Some(since) } else { None }
    }

    /// The sub-columns, chain after chain; none where nothing may come out.
    pub(crate) fn sub_columns(&self, column: usize) -> impl Iterator<Item = SubColumn> + '_ {
        self.chains.iter().flat_map(move |c| c.sub_columns(column))
    }

    /// Codes of all sub-columns, [`UNKNOWN`] for values that have none; `since` is the column that this one is counted from.
    pub(crate) fn encode(&self, column: &ArrayRef, since: Option<&ArrayRef>) -> Result<Vec<Vec<u32>>> {
        let missing = u32::from(self.missing);
        let leaves = self.form.leaves_of(column, since)?;
        let absent: Vec<bool> = match column.logical_nulls() {
            Some(nulls) => nulls.iter().map(|valid| !valid).collect(),
            None => vec![false; column.len()],
        };
        let not_finite = column.data_type().is_floating();
        let leaf = |(leaf, absent): (&u32, &bool)| match (*leaf, self.missing) {
            (UNKNOWN, true) if *absent || not_finite => 0,
            (UNKNOWN, _) => UNKNOWN,
            (leaf, _) => leaf + missing,
        };
        let of_chain = |leaves: &Vec<u32>| leaves.iter().zip(&absent).map(leaf).collect();
        Ok(self.codes_of(&leaves.iter().map(of_chain).collect::<Vec<_>>()))
    }

    /// Codes `[sub_columns][rows]` of leaves `[chains][rows]`, counted from 0 with "missing"; [`UNKNOWN`] stays.
    pub(crate) fn codes_of(&self, leaves: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let of_chain = |(chain, leaves): (&Chain, &Vec<u32>)| {
            let code = |path: &[u32], leaf: u32| if leaf == UNKNOWN { UNKNOWN } else { path[leaf as usize] };
            let level = |path: Vec<u32>| leaves.iter().map(|leaf| code(&path, *leaf)).collect::<Vec<u32>>();
            chain.paths().into_iter().map(level).collect::<Vec<_>>()
        };
        self.chains.iter().zip(leaves).flat_map(of_chain).collect()
    }

    /// How many parts the column has: its chains.
    pub(crate) fn parts(&self) -> usize {
        self.chains.len()
    }

    /// Its parts as cells; the sub-columns of the first one begin at `first` in the order of the table's.
    pub(crate) fn leaves(&self, column: usize, first: usize) -> Vec<Leaves> {
        let cells = self.form.cells();
        let mut next = first;
        let of_chain = |(chain, listed): (usize, Vec<u64>)| {
            let start = next;
            next += self.chains[chain].levels();
            let listed = match &self.form {
                // Of new texts alone, the form does not say how many there were.
                Form::Text { listed: None, .. } => vec![self.rows.saturating_sub(self.nulls)],
                _ => listed,
            };
            let missing = |n: usize| std::iter::repeat_n(f64::NAN, n);
            let means = cells.get(chain).map_or_else(|| missing(listed.len()).collect(), |c| c.means());
            Leaves {
                column,
                ordered: self.form.is_ordered(),
                missing: self.missing,
                apart: self.form.apart(),
                positions: missing(usize::from(self.missing)).chain(means).collect(),
                weights: self.missing.then_some(self.nulls).into_iter().chain(listed).collect(),
                sub_columns: start..next,
            }
        };
        self.form.leaves().into_iter().enumerate().map(of_chain).collect()
    }

    /// As [`ColumnEncoding::encode`], for rows with gaps that are to be filled: [`UNKNOWN`] also stands for missing values, for
    /// values unlike any that was seen, and for moments counted from a missing one.
    pub(crate) fn encode_given(&self, column: &ArrayRef, since: Option<&ArrayRef>) -> Result<Vec<Vec<u32>>> {
        let mut codes = self.encode(column, since)?;
        let Some(first) = codes.first().cloned() else { return Ok(codes) };
        let unseen = (self.form.apart() > 0 && self.form.leaves()[0][0] == 0).then_some(u32::from(self.missing));
        let origin = since.and_then(|s| s.logical_nulls());
        for (row, code) in first.into_iter().enumerate() {
            let nowhere = origin.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if nowhere || self.missing && code == 0 || unseen == Some(code) {
                codes.iter_mut().for_each(|level| level[row] = UNKNOWN);
            }
        }
        Ok(codes)
    }

    /// The values that it lists, frequent ones first; `None` where cells stand for values.
    pub(crate) fn listed(&self) -> Option<&[String]> {
        match &self.form {
            Form::Category(listed) | Form::Text { listed: Some(listed), .. } => Some(listed.values()),
            _ => None,
        }
    }

    /// True where the leaf 0 of each chain, which is the code 0 of its first sub-column, means "missing".
    pub(crate) fn may_be_missing(&self) -> bool {
        self.missing
    }

    /// Codes of a value drawn in proportion to how often values occur, never "missing"; the parts by themselves.
    pub(crate) fn draw(&self, stream: &mut impl RngCore) -> Vec<u32> {
        let of_chain = |(chain, weights): (&Chain, Vec<u64>)| {
            let total = weights.iter().fold(0u64, |sum, w| sum.saturating_add(*w));
            let mut left = stream.random_range(0..total.max(1));
            let leaf = weights.iter().position(|w| {
                let here = left < *w;
                left = left.saturating_sub(*w);
                here
            });
            let leaf = leaf.unwrap_or(weights.len() - 1) + usize::from(self.missing);
            chain.paths().into_iter().map(|level| level[leaf]).collect::<Vec<u32>>()
        };
        self.chains.iter().zip(self.form.leaves()).flat_map(of_chain).collect()
    }

    /// For each chain, the share of each leaf that is permitted; none where that cannot be said leaf by leaf.
    pub(crate) fn shares(&self, permitted: &Permitted) -> Vec<Vec<f32>> {
        let missing = self.missing.then_some(f32::from(u8::from(permitted.missing)));
        let of_chain = |shares: Vec<f32>| missing.into_iter().chain(shares).collect();
        self.form.shares(permitted).into_iter().map(of_chain).collect()
    }

    /// Positions (NaN = missing) as a column of a type; `None` where the cells are not of numbers.
    pub(crate) fn at(&self, positions: &[f64], data_type: &DataType) -> Option<Result<ArrayRef>> {
        let Form::Number(cells) = &self.form else { return None };
        Some(cells.number().grid().column(positions, data_type))
    }

    /// The smallest and the largest value that can be drawn, as a column of two rows; `None` where values have no order.
    pub(crate) fn ends(&self, data_type: &DataType) -> Option<ArrayRef> {
        let Form::Number(cells) = &self.form else { return None };
        let (low, high) = cells.number().ends();
        cells.number().grid().column(&[low, high], data_type).ok()
    }

    /// Values for `leaves` (`[chains][rows]`, counted from 0 with "missing"), one stream for each row.
    pub(crate) fn decode(
        &self,
        leaves: &[Vec<u32>],
        since: Option<&ArrayRef>,
        permitted: Option<&Permitted>,
        data_type: &DataType,
        nullable: bool,
        streams: &mut [impl RngCore],
    ) -> Result<ArrayRef> {
        /// Draws of a moment from its cells before another cell's is taken for it.
        const TRIES: usize = 64;
        let missing = u32::from(self.missing);
        let rows = streams.len();
        let absent = |row: usize| self.missing && leaves[0][row] == 0;
        let part = |chain: usize, row: usize| leaves[chain][row].saturating_sub(missing);
        match &self.form {
            Form::Nothing if nullable => Ok(arrow::array::new_null_array(data_type, rows)),
            Form::Nothing => placeholder(rows, data_type),
            Form::Category(category) => {
                let text = streams.iter_mut().enumerate().map(|(row, stream)| {
                    let value = match part(0, row) {
                        0 => category.draw(stream),
                        leaf => leaf as usize - 1,
                    };
                    (!absent(row)).then(|| category.values()[value].as_str())
                });
                let text: ArrayRef = Arc::new(text.collect::<StringArray>());
                Ok(cast(&text, data_type)?)
            }
            Form::Text { text, listed } => {
                let values = streams.iter_mut().enumerate().map(|(row, stream)| {
                    let value = match (part(0, row), listed) {
                        (leaf @ 1.., Some(listed)) => listed.values()[leaf as usize - 1].clone(),
                        (_, Some(listed)) if text.is_empty() => listed.values()[listed.draw(stream)].clone(),
                        _ => text.write(stream),
                    };
                    (!absent(row)).then_some(value)
                });
                let text: ArrayRef = Arc::new(values.collect::<StringArray>());
                Ok(cast(&text, data_type)?)
            }
            Form::Number(cells) => {
                let intervals = permitted.and_then(|p| p.positions(cells.number().grid()));
                let positions = streams.iter_mut().enumerate().map(|(row, stream)| {
                    let cell = part(0, row) as usize;
                    let within = intervals.as_ref().and_then(|of| cells.draw_within(cell, of, stream));
                    let drawn = within.unwrap_or_else(|| cells.draw(cell, stream));
                    if absent(row) { f64::NAN } else { drawn }
                });
                cells.number().grid().column(&positions.collect::<Vec<f64>>(), data_type)
            }
            Form::Moment(moment) => {
                let ticks = streams.iter_mut().enumerate().map(|(row, stream)| {
                    let cells: Vec<u32> = (0..self.chains.len()).map(|chain| part(chain, row)).collect();
                    let mut drawn = moment.draw(&cells, stream);
                    if let Some(permitted) = permitted.filter(|_| !absent(row)) {
                        for _ in 0..TRIES {
                            if permitted.allows(drawn) {
                                break;
                            }
                            drawn = moment.draw(&cells, stream);
                        }
                        drawn = moment.nearest(drawn, permitted);
                    }
                    (!absent(row)).then_some(drawn)
                });
                moments_of(ticks.collect(), data_type)
            }
            Form::Gap { cells, otherwise, .. } => {
                let from = since.map(Numbers::of).transpose()?;
                let from = |row: usize| match &from {
                    Some(Numbers::Whole(x)) if x.is_valid(row) => x.value(row),
                    _ => *otherwise,
                };
                let ticks = streams.iter_mut().enumerate().map(|(row, stream)| {
                    let gap = whole(cells, cells.draw(part(0, row) as usize, stream));
                    (!absent(row)).then(|| from(row).saturating_add(gap))
                });
                moments_of(ticks.collect(), data_type)
            }
        }
    }

    /// True where this is an encoding that [`ColumnEncoding::of`] can make.
    pub(crate) fn is_sound(&self) -> bool {
        let form_is_sound = match &self.form {
            Form::Nothing => !self.missing,
            Form::Category(category) => category.is_sound(),
            Form::Number(cells) | Form::Gap { cells, .. } => cells.is_sound(),
            Form::Moment(moment) => moment.is_sound(),
            Form::Text { text, listed } => text.is_sound() && listed.as_ref().is_none_or(Category::is_sound),
        };
        let chains_are_sound = || {
            let leaves = self.form.leaves();
            leaves.len() == self.chains.len()
                && leaves.iter().zip(&self.chains).all(|(l, c)| c.is_sound(l.len() + usize::from(self.missing)))
        };
        form_is_sound && chains_are_sound() && self.nulls <= self.rows && self.rows < u64::MAX / 4
    }
}

impl Form {
    /// Weights of the leaves of each chain, "missing" left out.
    fn leaves(&self) -> Vec<Vec<u64>> {
        let listed = |c: &Category| (0..c.values().len()).map(|v| c.count(v)).collect::<Vec<u64>>();
        match self {
            Form::Nothing => Vec::new(),
            Form::Category(c) => vec![[vec![c.others()], listed(c)].concat()],
            Form::Number(_) | Form::Gap { .. } | Form::Moment(_) => {
                self.cells().into_iter().map(Cells::weights).collect()
            }
            Form::Text { listed: l, .. } => {
                vec![
                    [vec![l.as_ref().map_or(1, Category::others)], l.as_ref().map(listed).unwrap_or_default()].concat(),
                ]
            }
        }
    }

    /// For each chain, the permitted share of each leaf, "missing" left out; none where leaves do not say what is permitted.
    fn shares(&self, permitted: &Permitted) -> Vec<Vec<f32>> {
        // What is not listed is drawn as something that nobody asked for.
        let of_listed = |listed: Option<&Category>| match &permitted.values {
            Values::Texts(texts) => {
                let values = listed.map_or(&[][..], Category::values);
                let share = |value: &String| f32::from(u8::from(texts.contains(value)));
                [vec![0.0], values.iter().map(share).collect()].concat()
            }
            _ => vec![1.0; 1 + listed.map_or(0, |l| l.values().len())],
        };
        match self {
            Form::Nothing | Form::Gap { .. } => Vec::new(),
            Form::Category(listed) => vec![of_listed(Some(listed))],
            Form::Text { listed, .. } => vec![of_listed(listed.as_ref())],
            Form::Number(cells) => vec![permitted.shares(cells)],
            Form::Moment(moment) => moment.shares(permitted),
        }
    }

    /// The cells of each chain; none where the leaves are not ordered.
    fn cells(&self) -> Vec<&Cells> {
        match self {
            Form::Number(cells) | Form::Gap { cells, .. } => vec![cells],
            Form::Moment(moment) => moment.parts(),
            Form::Nothing | Form::Category(_) | Form::Text { .. } => Vec::new(),
        }
    }

    /// Leaves that stand alone below the root, "missing" left out.
    fn apart(&self) -> usize {
        usize::from(matches!(self, Form::Category(_) | Form::Text { .. }))
    }

    fn is_ordered(&self) -> bool {
        self.apart() == 0
    }

    fn can_write(&self) -> bool {
        matches!(self, Form::Text { text, .. } if !text.is_empty())
    }

    /// The leaf of each value in each chain, "missing" left out; [`UNKNOWN`] where a value has none.
    fn leaves_of(&self, column: &ArrayRef, since: Option<&ArrayRef>) -> Result<Vec<Vec<u32>>> {
        let of_grid = |cells: &Cells, x: &Int64Array| -> Vec<u32> {
            let grid = cells.number().grid();
            let place = |x: i64| cells.cell_of(grid.position_of_whole(x));
            x.iter().map(|x| x.map_or(UNKNOWN, place)).collect()
        };
        Ok(match self {
            Form::Nothing => Vec::new(),
            Form::Category(listed) | Form::Text { listed: Some(listed), .. } => {
                let text = cast(column, &DataType::Utf8)?;
                let numbers = listed.numbers();
                let leaf = |value: Option<&str>| value.map_or(UNKNOWN, |v| numbers.get(v).map_or(0, |n| n + 1));
                vec![text.as_string::<i32>().iter().map(leaf).collect()]
            }
            Form::Text { listed: None, .. } => {
                vec![(0..column.len()).map(|row| if column.is_null(row) { UNKNOWN } else { 0 }).collect()]
            }
            Form::Number(cells) => {
                let numbers = Numbers::of(column)?;
                let positions = cells.number().grid().positions(&numbers);
                vec![positions.iter().map(|p| if p.is_nan() { UNKNOWN } else { cells.cell_of(*p) }).collect()]
            }
            Form::Moment(moment) => {
                let Numbers::Whole(ticks) = Numbers::of(column)? else { return Ok(Vec::new()) };
                let mut leaves = Vec::new();
                for (position, cells) in moment.parts().into_iter().enumerate() {
                    let part: Int64Array = ticks.iter().map(|t| t.map(|t| moment.split(t)[position])).collect();
                    leaves.push(of_grid(cells, &part));
                }
                leaves
            }
            Form::Gap { cells, otherwise, .. } => {
                let Numbers::Whole(ticks) = Numbers::of(column)? else { return Ok(Vec::new()) };
                let from = match since.map(Numbers::of).transpose()? {
                    Some(Numbers::Whole(from)) => from,
                    _ => Int64Array::new_null(ticks.len()),
                };
                let gap = |(t, f): (Option<i64>, Option<i64>)| t.map(|t| t.saturating_sub(f.unwrap_or(*otherwise)));
                vec![of_grid(cells, &ticks.iter().zip(&from).map(gap).collect())]
            }
        })
    }
}

/// Moments in the ticks of a storage type.
pub(crate) fn moments_of(ticks: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let ticks: ArrayRef = Arc::new(ticks);
    let ticks = if data_type == &DataType::Date32 { cast(&ticks, &DataType::Int32)? } else { ticks };
    Ok(cast(&ticks, data_type)?)
}
