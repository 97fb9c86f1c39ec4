//! What a fit is told: method, seed and the few numbers of the three methods.

use serde::{Deserialize, Serialize};
use twinmart_tables::{Error, Method, Project, ResampleUnit, Result};

/// Neighbours beyond this number cost memory and are never similar.
const MOST_NEIGHBOURS: usize = 100;

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
        project.synthesis.method = "replicate".into();
        let plain = FitSettings::of_project(&project, None, None).unwrap();
        assert_eq!((plain.method, plain.seed), (Method::Replicate, 3));
        let other = FitSettings::of_project(&project, Some(Method::Independent), Some(4)).unwrap();
        assert_eq!((other.method, other.seed), (Method::Independent, 4));
        project.synthesis.neighbours = 0;
        assert!(matches!(FitSettings::of_project(&project, None, None), Err(Error::Usage(_))));
    }
}
