//! Which items are alike by what the catalogue says of them: the cosine of their marks, rare ones counting more.

use crate::catalogue::Catalogue;
use rayon::prelude::*;

/// Items alike to one, at most.
const MOST: usize = 32;
/// Items less alike than this are not.
const LEAST: f32 = 0.2;
/// Marks of more items than this do not bring items together, so that the work stays in proportion to the catalogue.
const MOST_HOLDERS: usize = 2_000;

/// For each item those most alike, ascending, and how much.
pub(crate) type Likeness = Vec<Vec<(u32, f32)>>;

/// The likeness of a catalogue's items.
pub(crate) fn likeness_of(catalogue: &Catalogue) -> Likeness {
    let items = catalogue.items();
    let mut holders: Vec<Vec<u32>> = vec![Vec::new(); catalogue.kinds()];
    for item in 0..items {
        catalogue.of(item).iter().for_each(|mark| holders[*mark as usize].push(item as u32));
    }
    let weights: Vec<f32> =
        holders.iter().map(|holders| (items as f32 / holders.len().max(1) as f32).ln().powi(2)).collect();
    let length = |item: usize| catalogue.of(item).iter().map(|mark| weights[*mark as usize]).sum::<f32>().sqrt();
    let lengths: Vec<f32> = (0..items).map(length).collect();
    let alike = |sums: &mut Vec<f32>, item: usize| {
        let mut met = Vec::new();
        let marks = catalogue.of(item).iter().map(|mark| *mark as usize);
        for mark in marks.filter(|mark| holders[*mark].len() <= MOST_HOLDERS) {
            for other in &holders[mark] {
                let sum = &mut sums[*other as usize];
                if *sum == 0.0 {
                    met.push(*other);
                }
                *sum += weights[mark];
            }
        }
        let cosine =
            |other: u32| sums[other as usize] / (lengths[item] * lengths[other as usize]).max(f32::MIN_POSITIVE);
        let others = met.iter().filter(|other| **other as usize != item).map(|other| (*other, cosine(*other)));
        let alike = most_alike(others.filter(|(_, likeness)| *likeness >= LEAST).collect());
        met.iter().for_each(|other| sums[*other as usize] = 0.0);
        alike
    };
    (0..items).into_par_iter().map_init(|| vec![0f32; items], alike).collect()
}

/// The most alike of some items, of equal ones the first; ascending by item.
fn most_alike(mut items: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    if items.len() > MOST {
        items.select_nth_unstable_by(MOST, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        items.truncate(MOST);
    }
    items.sort_unstable_by_key(|(item, _)| *item);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_alike_by_the_cosine_of_their_marks() {
        // Marks 0 and 1 are of two items each, mark 2 of three, mark 3 of all.
        let catalogue = Catalogue::new(&[vec![0, 1, 3], vec![0, 1, 3], vec![2, 3], vec![2, 3], vec![2, 3], vec![3]], 4);
        let likeness = likeness_of(&catalogue);
        assert_eq!(likeness[0].len(), 1);
        assert!(likeness[0][0].0 == 1 && (likeness[0][0].1 - 1.0).abs() < 1e-6);
        assert_eq!(likeness[3].iter().map(|l| l.0).collect::<Vec<_>>(), [2, 4]);
        assert!(likeness[5].is_empty(), "a mark of all items says nothing");
        // One of two marks in common: ln(3)² / (ln(3) · √(ln(3)² + ln(6)²)).
        let catalogue = Catalogue::new(&[vec![0], vec![0, 1], vec![], vec![], vec![], vec![]], 2);
        let (three, six) = (3f32.ln(), 6f32.ln());
        let cosine = three / (three * three + six * six).sqrt();
        assert!((likeness_of(&catalogue)[0][0].1 - cosine).abs() < 1e-6);
    }

    #[test]
    fn a_family_of_many_has_bounded_lists_on_any_number_of_threads() {
        let catalogue = Catalogue::new(&(0..300).map(|item| vec![item % 3, 3 + item % 7]).collect::<Vec<_>>(), 10);
        let likeness = likeness_of(&catalogue);
        assert!(likeness.iter().all(|l| l.len() == MOST && l.is_sorted_by(|a, b| a.0 < b.0)));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| likeness_of(&catalogue)), likeness);
    }
}
