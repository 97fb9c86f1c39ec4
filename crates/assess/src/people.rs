//! One row per user: attributes and statistics of the history, so that detection can judge whole people.
//!
//! Columns: the users table's compared columns, then number of events, sessions and distinct items, share of repeats,
//! mean log10 gap, mean popularity rank of the items, and the mean of each ordered column of the events table.

use crate::frame::{ColumnInfo, Frame, Values};
use crate::ranks::average_ranks;
use twinmart_tables::{ColumnKind, Histories};

/// Popularity of each catalogue item in [0, 1] (1 = most popular), by number of events.
pub(crate) fn popularity_ranks(histories: &Histories) -> Vec<f64> {
    let mut counts = vec![0.0; histories.item_count()];
    for item in &histories.item {
        counts[*item as usize] += 1.0;
    }
    let n = counts.len().max(1) as f64;
    average_ranks(&counts).into_iter().map(|rank| rank / n).collect()
}

/// The rows of one side. `users` and `events` are that side's frames, `events_info` what the event columns are;
/// `popularity` is the real side's, or `None` where items have no common catalogue. Users without events are left out.
pub(crate) fn behaviour_rows(
    histories: &Histories,
    users: Option<&Frame>,
    events: &Frame,
    events_info: &[ColumnInfo],
    popularity: Option<&[f64]>,
) -> Frame {
    let active: Vec<usize> = (0..histories.user_count()).filter(|u| !histories.range(*u).is_empty()).collect();
    let per_user = |statistic: &dyn Fn(usize) -> f64| Values::Ordered(active.iter().map(|u| statistic(*u)).collect());
    let mut columns = users.map(|users| users.take(&active).columns).unwrap_or_default();
    columns.push(per_user(&|u| histories.range(u).len() as f64));
    columns.push(per_user(&|u| histories.session[histories.range(u)].last().map_or(0.0, |s| f64::from(*s) + 1.0)));
    columns.push(per_user(&|u| histories.first_events(u).len() as f64));
    columns.push(per_user(&|u| 1.0 - histories.first_events(u).len() as f64 / histories.range(u).len() as f64));
    columns.push(per_user(&|u| {
        let moments = histories.time[histories.range(u)].windows(2).filter(|w| w[1] > w[0]);
        mean(moments.map(|w| (w[1].saturating_sub(w[0]) as f64).log10()))
    }));
    if let Some(popularity) = popularity {
        columns.push(per_user(&|u| mean(histories.items_of(u).iter().map(|i| popularity[*i as usize]))));
    }
    for (info, values) in events_info.iter().zip(&events.columns) {
        let calendar = matches!(info.kind, ColumnKind::Datetime | ColumnKind::Date);
        if let (Values::Ordered(x), false) = (values, calendar) {
            let present = |u| histories.row[histories.range(u)].iter().map(|row| x[*row]).filter(|x| !x.is_nan());
            columns.push(per_user(&|u| mean(present(u))));
        }
    }
    Frame { columns, rows: active.len() }
}

/// The mean; NaN (missing) where there is nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::tests::histories;

    #[test]
    fn each_active_user_gets_a_row() {
        let h = histories(&[&[(0, 0), (1, 0), (0, 10)], &[], &[(0, 4)]], 2);
        let price = Values::Ordered(vec![1.0, f64::NAN, 5.0, 2.0]);
        let events = Frame { columns: vec![price], rows: 4 };
        let info = [ColumnInfo { name: "price".into(), kind: ColumnKind::Number, labels: Vec::new() }];
        let popularity = popularity_ranks(&h);
        assert_eq!(popularity, [1.0, 0.5]);
        let rows = behaviour_rows(&h, None, &events, &info, Some(&popularity));
        assert_eq!(rows.rows, 2);
        let column = |i: usize| match &rows.columns[i] {
            Values::Ordered(x) => x.clone(),
            Values::Category(_) => Vec::new(),
        };
        assert_eq!((column(0), column(1), column(2)), (vec![3.0, 1.0], vec![2.0, 1.0], vec![2.0, 1.0]));
        assert!((column(3)[0] - 1.0 / 3.0).abs() < 1e-12);
        assert!((column(4)[0] - 864e9_f64.log10()).abs() < 1e-9 && column(4)[1].is_nan());
        assert!((column(5)[0] - 2.5 / 3.0).abs() < 1e-12);
        assert_eq!(column(6), [3.0, 2.0]);
    }
}
