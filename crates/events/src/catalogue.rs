//! Items as vectors: each has a part of its own and parts that it shares with others, by its marks.

use crate::layout::Layout;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_nets::matrix::add;
use twinmart_tables::Digest;

/// The marks of each item: words, categories, price classes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// `[items + 1]`
    offsets: Vec<u32>,
    marks: Vec<u32>,
    /// How many different marks there are.
    kinds: usize,
}

impl Catalogue {
    /// A catalogue of items with these marks, numbers below `kinds`.
    pub fn new(items: &[Vec<u32>], kinds: usize) -> Catalogue {
        let mut offsets = vec![0];
        offsets.extend(items.iter().scan(0, |end, marks| {
            *end += marks.len() as u32;
            Some(*end)
        }));
        Catalogue { offsets, marks: items.concat(), kinds }
    }

    /// A catalogue of which nothing is known but its size.
    pub(crate) fn without_marks(items: usize) -> Catalogue {
        Catalogue { offsets: vec![0; items + 1], ..Catalogue::default() }
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of different marks.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds
    }

    /// An item's marks.
    pub(crate) fn of(&self, item: usize) -> &[u32] {
        &self.marks[self.offsets[item] as usize..self.offsets[item + 1] as usize]
    }

    /// The vectors of all items and of the start, `[items + 1, width]`: own part + Σ parts of the marks / √(their number).
    pub(crate) fn vectors(&self, layout: &Layout, weights: &[f32]) -> Vec<f32> {
        let width = layout.width;
        let mut vectors = weights[layout.own.clone()].to_vec();
        let parts = &weights[layout.marks.clone()];
        vectors[..self.items() * width].par_chunks_mut(width).enumerate().for_each(|(item, vector)| {
            let marks = self.of(item);
            let scale = 1.0 / (marks.len().max(1) as f32).sqrt();
            for mark in marks {
                let part = &parts[*mark as usize * width..][..width];
                vector.iter_mut().zip(part).for_each(|(v, p)| *v += scale * p);
            }
        });
        vectors
    }

    /// Gives the gradient of the vectors, which lies at the own parts, to the marks as well.
    pub(crate) fn share_gradient(&self, layout: &Layout, gradient: &mut [f32]) {
        let width = layout.width;
        let (own, rest) = gradient.split_at_mut(layout.own.end);
        let marks = &mut rest[layout.marks.start - layout.own.end..][..layout.marks.len()];
        for item in 0..self.items() {
            let scale = 1.0 / (self.of(item).len().max(1) as f32).sqrt();
            let slope: Vec<f32> = own[layout.own.start + item * width..][..width].iter().map(|g| g * scale).collect();
            for mark in self.of(item) {
                add(&mut marks[*mark as usize * width..][..width], &slope);
            }
        }
    }

    /// Adds all of it to a digest.
    pub(crate) fn add_to(&self, digest: Digest) -> Digest {
        let lists = digest.number(self.kinds as u64).list(self.offsets.iter().map(|x| x.to_le_bytes()));
        lists.list(self.marks.iter().map(|x| x.to_le_bytes()))
    }

    /// True where every mark exists.
    pub(crate) fn is_sound(&self) -> bool {
        self.offsets.first() == Some(&0)
            && self.offsets.is_sorted()
            && self.offsets.last().map(|e| *e as usize) == Some(self.marks.len())
            && self.marks.iter().all(|m| (*m as usize) < self.kinds)
    }
}
