//! What a fit is told: method, seed and the few numbers of the methods.

use serde::{Deserialize, Serialize};
use twinmart_tables::{Error, Interpolation, Method, Preset, Project, ResampleUnit, Result, Target, Verbatim};

/// Neighbours beyond this number cost memory and are never similar.
const MOST_NEIGHBOURS: usize = 100;
/// Longer histories are not short.
const MOST_EXTENDED: usize = 1_000;
/// A year.
const LONGEST_MINUTES: f64 = 525_600.0;
/// Below, one of the two rows is taken as it is in nearly every pair.
const SMALLEST_ALPHA: f64 = 0.01;

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
    /// `autoregressive`, and `extend`: steps of learning at most; 0 = until the held-out likelihood stops improving.
    pub steps: u64,
    /// `autoregressive`, and `extend`: minutes of learning a table, at most.
    pub max_minutes: f64,
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
        };
        settings.check()?;
        Ok(settings)
    }

    /// Whether short histories are extended.
    pub fn extends(&self) -> bool {
        self.method == Method::Replicate && self.extend > 1
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
        if self.method == Method::Interpolate { self.check_interpolation() } else { Ok(()) }
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
}
