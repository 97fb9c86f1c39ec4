//! The densities that presets name: which one is learned, how it lies in a model file, how it is drawn from.
//!
//! `small` is trees; `base` and `large` are trees blended with a network of that size.

use crate::container::{Entries, not_a_model};
use crate::independent::{from_json, to_json};
use twinmart_density::blend::Blend;
use twinmart_density::guide::{Asked, Guide, Odds};
use twinmart_density::network::Size;
use twinmart_density::trees::Trees;
use twinmart_density::{Fitting, RowDensity};
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_tables::{Error, Preset, Reading, Result, Stream};

/// What the names of entries begin with in a checkpoint.
const PREFIX: &str = "rows";
/// Bytes of an entry there, at most.
const LARGEST: usize = u32::MAX as usize;

/// The density of a preset.
#[derive(Debug, Clone)]
pub(crate) enum Density {
    Trees(Trees),
    Blend(Box<Blend>),
}

impl Density {
    /// Learns codes, or takes what an interrupted run has learned of them; `subjects` names the person behind each row.
    pub(crate) fn fit(codes: &Codes, subjects: &[u64], fitting: &Fitting, preset: Preset) -> Result<Density> {
        let run = || fitting.digest(&format!("{preset:?}"), codes, subjects);
        let mut checkpoint = fitting.progress.checkpoint("rows", run);
        if let Some(density) = checkpoint.resume(|input| Density::read(input, preset, &codes.sub_columns)) {
            checkpoint.tell("the model of its rows is taken from a checkpoint");
            return Ok(density);
        }
        let blend = |size| Ok::<_, Error>(Density::Blend(Box::new(Blend::fit(codes, subjects, fitting, size)?)));
        let density = match preset {
            Preset::Small => Density::Trees(Trees::fit(codes, subjects, fitting)?),
            Preset::Base => blend(Size::Base)?,
            Preset::Large => blend(Size::Large)?,
        };
        if checkpoint.is_worthwhile() {
            let mut entries = Entries::default();
            density.store(PREFIX, &mut entries)?;
            checkpoint.write(|out| entries.0.values().try_for_each(|bytes| out.bytes(bytes)));
        }
        Ok(density)
    }

    /// Reads what [`Density::fit`] keeps: the entries of a model file in the order of their names.
    fn read(input: &mut Reading, preset: Preset, sub_columns: &[SubColumn]) -> Option<Density> {
        let names: &[&str] = match preset {
            Preset::Small => &["trees.json", "weights.f32"],
            Preset::Base | Preset::Large => &["blend.json", "network.f32", "trees.f32"],
        };
        let mut entries = Entries::default();
        for name in names {
            entries.put(format!("{PREFIX}/{name}"), input.bytes(LARGEST)?);
        }
        Density::load(PREFIX, &mut entries, preset, sub_columns).ok()
    }

    /// True where a deadline ended the learning.
    pub(crate) fn is_unfinished(&self) -> bool {
        match self {
            Density::Trees(trees) => trees.is_unfinished(),
            Density::Blend(blend) => blend.is_unfinished(),
        }
    }

    /// Steps that make the same model again, whatever the time; `None` where no number of steps does.
    pub(crate) fn steps(&self) -> Option<u64> {
        match self {
            Density::Trees(trees) => Some(trees.steps()),
            Density::Blend(_) => None,
        }
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        match self {
            Density::Trees(trees) => {
                let (structure, numbers) = trees.parts();
                entries.put(format!("{prefix}/trees.json"), to_json(&structure)?);
                entries.put(format!("{prefix}/weights.f32"), to_bytes(&numbers));
            }
            Density::Blend(blend) => {
                let (structure, numbers, weights) = blend.parts();
                entries.put(format!("{prefix}/blend.json"), to_json(&structure)?);
                entries.put(format!("{prefix}/trees.f32"), to_bytes(&numbers));
                entries.put(format!("{prefix}/network.f32"), to_bytes(weights));
            }
        }
        Ok(())
    }

    /// Reads what [`Density::store`] wrote; `sub_columns` are those of the table's encoding.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        preset: Preset,
        sub_columns: &[SubColumn],
    ) -> Result<Density> {
        let mut take = |name: &str| entries.take(&format!("{prefix}/{name}"));
        let density = match preset {
            Preset::Small => {
                let trees = Trees::from_parts(from_json(&take("trees.json")?)?, &from_bytes(&take("weights.f32")?));
                trees.filter(|trees| trees.is_sound(sub_columns)).map(Density::Trees)
            }
            Preset::Base | Preset::Large => {
                let structure = from_json(&take("blend.json")?)?;
                let (numbers, weights) = (from_bytes(&take("trees.f32")?), from_bytes(&take("network.f32")?));
                let blend = Blend::from_parts(structure, &numbers, weights);
                blend.filter(|blend| blend.is_sound(sub_columns)).map(|blend| Density::Blend(Box::new(blend)))
            }
        };
        density.ok_or_else(|| not_a_model(format!("what was learned of {prefix} does not fit its columns")))
    }

    /// As [`Density::fill`], for rows of which later columns are known or asked: each is drawn by so many particles.
    pub(crate) fn fill_guided(
        &self,
        (guide, asked, particles): (&Guide, &Asked, usize),
        values: &mut [Vec<u32>],
        streams: &mut [Stream],
    ) {
        match self {
            Density::Trees(trees) => trees.fill_guided(guide, asked, particles, values, streams),
            Density::Blend(blend) => blend.fill_guided(guide, asked, particles, values, streams),
        }
    }

    /// How many particles draw a row of which this is asked, and nothing is known.
    pub(crate) fn particles_for(&self, asked: &Asked) -> usize {
        match self {
            Density::Trees(trees) => trees.particles_for(asked),
            Density::Blend(blend) => blend.particles_for(asked),
        }
    }

    /// True where what is asked of missing values is heeded as exactly as all else ([`Density::fill_guided`]); otherwise rows
    /// are better drawn again until it holds.
    pub(crate) fn heeds_presence(&self) -> bool {
        matches!(self, Density::Trees(_))
    }

    /// The odds of all leaves of each chain that is open in a row, given the known codes of the row and what is asked.
    /// `values` is filled as well.
    pub(crate) fn odds(
        &self,
        (guide, asked, particles): (&Guide, &Asked, usize),
        values: &mut [Vec<u32>],
        streams: &mut [Stream],
    ) -> Vec<Odds> {
        match self {
            Density::Trees(trees) => trees.odds(guide, asked, particles, values, streams),
            Density::Blend(blend) => blend.odds(guide, asked, particles, values, streams),
        }
    }

    /// Draws every unknown code given the known ones of its row.
    pub(crate) fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        match self {
            Density::Trees(trees) => trees.fill(values, streams),
            Density::Blend(blend) => blend.fill(values, streams),
        }
    }
}

pub(crate) fn to_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

pub(crate) fn words_to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn words_from_bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use twinmart_density::UNKNOWN;
    use twinmart_tables::{Checkpoints, Draws, Progress, Reporter};

    /// Two columns that agree.
    fn codes() -> Codes {
        let values: Vec<u32> = (0..300).map(|row| row % 3).collect();
        let sub_column = |column| SubColumn::new(column, 0, false, vec![3]);
        Codes { sub_columns: vec![sub_column(0), sub_column(1)], values: vec![values.clone(), values] }
    }

    fn learned(preset: Preset) -> Density {
        let subjects: Vec<u64> = (0..300).collect();
        let fitting = Fitting { draws: Draws::new(1), steps: 2, deadline: None, progress: Progress::silent() };
        Density::fit(&codes(), &subjects, &fitting, preset).unwrap()
    }

    #[test]
    fn what_was_learned_before_an_interruption_is_not_learned_again() {
        let dir = tempfile::tempdir().unwrap();
        let subjects: Vec<u64> = (0..300).collect();
        for preset in [Preset::Small, Preset::Base] {
            let fit = |progress: Progress| {
                let checkpoints = Checkpoints::open(dir.path(), std::time::Duration::from_nanos(1)).unwrap();
                let progress = progress.keeping(checkpoints);
                let fitting = Fitting { draws: Draws::new(1), steps: 2, deadline: None, progress };
                Density::fit(&codes(), &subjects, &fitting, preset)
            };
            let stopped = || Progress::new(Arc::new(Silent), Arc::new(AtomicBool::new(true)));
            assert!(matches!(fit(stopped()), Err(Error::Interrupted)), "{preset:?} has something to learn");
            let whole = fit(Progress::silent()).unwrap();
            assert_eq!(stored(&fit(stopped()).unwrap()), stored(&whole), "{preset:?}");
        }
    }

    struct Silent;

    impl Reporter for Silent {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, _: &str) {}
    }

    fn stored(density: &Density) -> Entries {
        let mut entries = Entries::default();
        density.store("t", &mut entries).unwrap();
        entries
    }

    fn drawn(density: &Density) -> Vec<Vec<u32>> {
        let mut values = vec![vec![UNKNOWN; 50]; 2];
        let mut streams: Vec<Stream> = (0..50).map(Stream::seed_from_u64).collect();
        density.fill(&mut values, &mut streams);
        values
    }

    #[test]
    fn a_density_comes_back_as_it_was_and_only_as_the_preset_it_is() {
        let sub_columns = codes().sub_columns;
        for (preset, other) in [(Preset::Small, Preset::Base), (Preset::Base, Preset::Small)] {
            let density = learned(preset);
            let again = Density::load("t", &mut stored(&density), preset, &sub_columns).unwrap();
            assert_eq!(drawn(&again), drawn(&density));
            assert!(Density::load("t", &mut stored(&density), other, &sub_columns).is_err(), "{preset:?}");
            assert!(Density::load("t", &mut stored(&density), preset, &sub_columns[..1]).is_err(), "{preset:?}");
            for name in stored(&density).0.into_keys().filter(|name| name.ends_with(".f32")) {
                let mut short = stored(&density);
                let bytes = short.take(&name).unwrap();
                short.put(name.clone(), bytes[..bytes.len() - 4].to_vec());
                assert!(Density::load("t", &mut short, preset, &sub_columns).is_err(), "{name}");
                let mut strange = stored(&density);
                strange.put(name.clone(), [f32::NAN.to_le_bytes().to_vec(), bytes[4..].to_vec()].concat());
                assert!(Density::load("t", &mut strange, preset, &sub_columns).is_err(), "{name}");
            }
        }
    }
}
