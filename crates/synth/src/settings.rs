//! What a fit is told: method, seed and the few numbers of the methods.

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use twinmart_tables::{
    Body, Error, Interpolation, Loss, Method, Preset, Project, ResampleUnit, Result, Target, Verbatim,
};

/// Neighbours beyond this number cost memory and are never similar.
const MOST_NEIGHBOURS: usize = 100;
/// Longer histories are not short.
const MOST_EXTENDED: usize = 1_000;
/// A year.
const LONGEST_MINUTES: f64 = 525_600.0;
/// Below, one of the two rows is taken as it is in nearly every pair.
const SMALLEST_ALPHA: f64 = 0.01;
/// Beyond, there are too few groups of rows in a step to learn from.
const PACKS: RangeInclusive<usize> = 1..=32;
/// Beyond, the generator waits and learns nothing better.
const CRITIC_STEPS: RangeInclusive<usize> = 1..=20;
/// Below, a step says too little of the data; above, a table is a step or less.
const BATCHES: RangeInclusive<usize> = 10..=100_000;

/// Settings of one fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitSettings {
    /// How the twin is made.
    pub method: Method,
    /// Seed of the draws that fitting makes.
    pub seed: u64,
    /// `replicate`: what is drawn again.
    pub unit: ResampleUnit,
    /// `replicate`: column of the users (or plain) table that weights the draw.
    pub weights: Option<String>,
    /// `replicate`: users of fewer events get earlier ones until they have as many; 0 and 1 = nobody does.
    pub extend: usize,
    /// `interpolate`: number of nearest neighbours.
    pub neighbours: usize,
    /// `interpolate`: between which rows of a plain table a new row lies.
    pub interpolation: Interpolation,
    /// `borderline`: the class whose rows are made.
    pub target: Option<Target>,
    /// `mixup`: the share of a row's first parent is drawn from Beta(alpha, alpha).
    pub alpha: f64,
    /// `interpolate`: whether values of single people may come out of a plain table as they are.
    pub verbatim: Verbatim,
    /// `autoregressive`, and `extend`: size of the model.
    pub preset: Preset,
    /// `autoregressive`, and `extend`: steps of learning at most; 0 = until the held-out likelihood stops improving. `gan`:
    /// epochs at most; 0 = until held-out data say that more is no better.
    pub steps: u64,
    /// `autoregressive`, `gan`, and `extend`: minutes of learning a table, at most.
    pub max_minutes: f64,
    /// `gan`: what the networks are made of.
    pub body: Body,
    /// `gan`: what generator and discriminator minimise.
    pub loss: Loss,
    /// `gan`: rows that the discriminator sees together, 1 to 32.
    pub pack: usize,
    /// `gan`: steps of the discriminator for one of the generator, 1 to 20.
    pub critic_steps: usize,
    /// `gan`: whether the running mean of the generator's weights draws, in place of the weights themselves.
    pub average: bool,
    /// `gan`: rows in a step, 10 to 100,000, and no fewer than `pack`.
    pub batch: usize,
}

impl FitSettings {
    /// The settings of a project; the command line may overrule method and seed.
    pub fn of_project(project: &Project, method: Option<Method>, seed: Option<u64>) -> Result<FitSettings> {
        let settings = FitSettings {
            method: method.map_or_else(|| project.method(), Ok)?,
            seed: seed.unwrap_or(project.project.seed),
            unit: project.synthesis.unit,
            weights: project.synthesis.weights.clone(),
            extend: project.synthesis.extend,
            neighbours: project.synthesis.neighbours,
            interpolation: project.synthesis.interpolation,
            target: project.synthesis.target.clone(),
            alpha: project.synthesis.alpha,
            verbatim: project.synthesis.verbatim,
            preset: project.synthesis.preset,
            steps: project.synthesis.steps,
            max_minutes: project.synthesis.max_minutes,
            body: project.synthesis.body,
            loss: project.synthesis.loss,
            pack: project.synthesis.pack,
            critic_steps: project.synthesis.critic_steps,
            average: project.synthesis.average,
            batch: project.synthesis.batch,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Whether short histories are extended.
    pub fn extends(&self) -> bool {
        self.method == Method::Replicate && self.extend > 1
    }

    /// Whether anything is learned step by step, for as long as `steps` and `max_minutes` say.
    pub fn learns_in_steps(&self) -> bool {
        self.method.learns_in_steps() || self.extends()
    }

    /// A usage error where a number is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        if self.neighbours == 0 || self.neighbours > MOST_NEIGHBOURS {
            return Err(Error::usage(format!("neighbours = {} is out of range", self.neighbours))
                .remedy(format!("give a number from 1 to {MOST_NEIGHBOURS}"))
                .into());
        }
        if self.extend > MOST_EXTENDED {
            return Err(Error::usage(format!("extend = {} is out of range", self.extend))
                .remedy(format!("give a number from 0 (nobody) to {MOST_EXTENDED}"))
                .into());
        }
        if !(self.max_minutes > 0.0 && self.max_minutes <= LONGEST_MINUTES) {
            return Err(Error::usage(format!("max_minutes = {} is out of range", self.max_minutes))
                .remedy(format!("give a number above 0, at most {LONGEST_MINUTES}"))
                .into());
        }
        match self.method {
            Method::Interpolate => self.check_interpolation(),
            Method::Gan => self.check_networks(),
            _ => Ok(()),
        }
    }

    fn check_networks(&self) -> Result<()> {
        within("pack", self.pack, PACKS)?;
        within("critic_steps", self.critic_steps, CRITIC_STEPS)?;
        within("batch", self.batch, BATCHES)?;
        if self.batch < self.pack {
            return Err(Error::usage(format!("batch = {} is less than pack = {}", self.batch, self.pack))
                .remedy("give a step at least as many rows as the discriminator sees together")
                .into());
        }
        Ok(())
    }

    fn check_interpolation(&self) -> Result<()> {
        if !(SMALLEST_ALPHA..=1.0).contains(&self.alpha) {
            return Err(Error::usage(format!("alpha = {} is out of range", self.alpha))
                .remedy(format!("give a number from {SMALLEST_ALPHA} to 1"))
                .into());
        }
        match (self.interpolation, &self.target) {
            (Interpolation::Borderline, None) => {
                Err(Error::usage("borderline makes rows of one class, and no class is given")
                    .remedy("add target = \"column=value\" to [synthesis], or --target column=value")
                    .into())
            }
            (Interpolation::Smote | Interpolation::Mixup, Some(_)) => Err(Error::usage(format!(
                "{} makes rows of every class, and a target is given",
                self.interpolation.name()
            ))
            .remedy("use interpolation = \"borderline\", or remove the target")
            .into()),
            _ => Ok(()),
        }
    }
}

/// A usage error where a setting is out of its range.
fn within(name: &str, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(Error::usage(format!("{name} = {value} is out of range"))
            .remedy(format!("give a number from {} to {}", range.start(), range.end()))
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_overrules_the_project() {
        let mut project = Project::default();
        project.project.seed = 3;
        project.synthesis.method = Some("replicate".into());
        let plain = FitSettings::of_project(&project, None, None).unwrap();
        assert_eq!((plain.method, plain.seed), (Method::Replicate, 3));
        let other = FitSettings::of_project(&project, Some(Method::Independent), Some(4)).unwrap();
        assert_eq!((other.method, other.seed), (Method::Independent, 4));
        project.synthesis.target = Some(Target { column: "a".into(), value: "b".into() });
        assert!(FitSettings::of_project(&project, None, None).is_ok(), "replicate has no target");
        let of_every_class = FitSettings::of_project(&project, Some(Method::Interpolate), None).unwrap_err();
        assert!(of_every_class.to_string().contains("smote makes rows of every class"), "{of_every_class}");
        project.synthesis.interpolation = Interpolation::Borderline;
        assert!(FitSettings::of_project(&project, Some(Method::Interpolate), None).is_ok());
        project.synthesis.neighbours = 0;
        assert!(matches!(FitSettings::of_project(&project, None, None), Err(Error::Usage(_))));
    }

    #[test]
    fn settings_of_networks_have_ranges_where_networks_are_learned() {
        type Change = fn(&mut Project, usize);
        let ends: [(&str, Change, [usize; 2]); 3] = [
            ("pack", |p, n| p.synthesis.pack = n, [1, 32]),
            ("critic_steps", |p, n| p.synthesis.critic_steps = n, [1, 20]),
            ("batch", |p, n| p.synthesis.batch = n, [10, 100_000]),
        ];
        for (name, set, [least, most]) in ends {
            let told = |n: usize, method| {
                let mut project = Project::default();
                set(&mut project, n);
                FitSettings::of_project(&project, Some(method), None)
            };
            assert!(told(least, Method::Gan).is_ok() && told(most, Method::Gan).is_ok(), "{name}");
            for n in [least - 1, most + 1] {
                let error = told(n, Method::Gan).unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, Error::Usage(_)) && text.contains(&format!("{name} = {n}")), "{text}");
                assert!(text.contains(&format!("from {least} to {most}")), "{text}");
                assert!(told(n, Method::Independent).is_ok(), "{name} is nothing to other methods");
            }
        }
        let mut project = Project::default();
        (project.synthesis.pack, project.synthesis.batch) = (20, 19);
        let error = FitSettings::of_project(&project, Some(Method::Gan), None).unwrap_err().to_string();
        assert!(error.contains("batch = 19 is less than pack = 20"), "{error}");
    }
}
