//! What a fit is told: method, seed and the few numbers of the methods.

use serde::{Deserialize, Serialize};
use twinmart_tables::{Error, Method, Preset, Project, ResampleUnit, Result};

/// Neighbours beyond this number cost memory and are never similar.
const MOST_NEIGHBOURS: usize = 100;
/// A year.
const LONGEST_MINUTES: f64 = 525_600.0;

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
    /// `interpolate`: number of nearest neighbours.
    pub neighbours: usize,
    /// `autoregressive`: size of the model.
    pub preset: Preset,
    /// `autoregressive`: steps of learning at most; 0 = until the held-out likelihood stops improving.
    pub steps: u64,
    /// `autoregressive`: minutes of learning a table, at most.
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
            neighbours: project.synthesis.neighbours,
            preset: project.synthesis.preset,
            steps: project.synthesis.steps,
            max_minutes: project.synthesis.max_minutes,
        };
        settings.check()?;
        Ok(settings)
    }

    /// A usage error where a number is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        if self.neighbours == 0 || self.neighbours > MOST_NEIGHBOURS {
            return Err(Error::usage(format!("neighbours = {} is out of range", self.neighbours))
                .remedy(format!("give a number from 1 to {MOST_NEIGHBOURS}"))
                .into());
        }
        if !(self.max_minutes > 0.0 && self.max_minutes <= LONGEST_MINUTES) {
            return Err(Error::usage(format!("max_minutes = {} is out of range", self.max_minutes))
                .remedy(format!("give a number above 0, at most {LONGEST_MINUTES}"))
                .into());
        }
        if self.method == Method::Autoregressive && self.preset != Preset::Small {
            return Err(Error::usage("the presets base and large are not part of this version")
                .remedy("use the preset small")
                .into());
        }
        Ok(())
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
        project.synthesis.neighbours = 0;
        assert!(matches!(FitSettings::of_project(&project, None, None), Err(Error::Usage(_))));
    }
}
