//! How a model's networks learned: the model's own account as curves of the report, and curves as files.

use std::path::Path;
use twinmart_assess::render_curves;
use twinmart_assess::training::{CurvePoint, TrainingCurves, csv, json_lines};
use twinmart_synth::Model;
use twinmart_synth::training_log::{Epoch, Log};
use twinmart_tables::{AtomicFile, Error, Result};

/// In which form curves are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CurveFormat {
    Svg,
    Csv,
    JsonLines,
}

impl CurveFormat {
    /// The form that a file's name ends in; a usage error where it is another.
    pub(crate) fn of(path: &Path) -> Result<CurveFormat> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(CurveFormat::Svg),
            Some("csv") => Ok(CurveFormat::Csv),
            Some("jsonl") => Ok(CurveFormat::JsonLines),
            _ => Err(Error::usage("the name of the curves' file names no form")
                .file(path)
                .remedy("end it in .svg (a picture), .csv or .jsonl")
                .into()),
        }
    }
}

/// The curves of every table that generator and discriminator learned; none for other models.
pub(crate) fn curves_of(model: &Model) -> Vec<TrainingCurves> {
    model.training_logs().into_iter().map(|(table, log)| curves_of_log(table, log)).collect()
}

fn curves_of_log(table: &str, log: &Log) -> TrainingCurves {
    TrainingCurves {
        table: table.into(),
        epochs: log.epochs.iter().map(point).collect(),
        kept: log.kept,
        two_sample_floor: finite(log.two_sample_floor),
    }
}

fn point(epoch: &Epoch) -> CurvePoint {
    CurvePoint {
        epoch: epoch.epoch,
        discriminator_loss: finite(epoch.discriminator_loss),
        generator_loss: finite(epoch.generator_loss),
        accuracy: finite(epoch.discriminator.accuracy),
        precision: finite(epoch.discriminator.precision),
        recall: finite(epoch.discriminator.recall),
        f1: finite(epoch.discriminator.f1),
        two_sample: finite(epoch.two_sample),
    }
}

/// A number, or nothing where the networks had diverged.
fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}

/// Writes curves in the form that the file's name ends in.
pub(crate) fn write_curves(path: &Path, overwrite: bool, curves: &[TrainingCurves]) -> Result<()> {
    let text = match CurveFormat::of(path)? {
        CurveFormat::Svg => render_curves(curves),
        CurveFormat::Csv => csv(curves),
        CurveFormat::JsonLines => json_lines(curves)?,
    };
    AtomicFile::write(path, overwrite, text.as_bytes())
}

/// Writes the curves of each table into a folder, as pictures and as numbers.
pub(crate) fn write_all_curves(folder: &Path, curves: &[TrainingCurves]) -> Result<()> {
    let tables: Vec<&str> = curves.iter().map(|c| c.table.as_str()).collect();
    for (table, names) in curves.iter().zip(curve_files(&tables).chunks_exact(2)) {
        for name in names {
            write_curves(&folder.join(name), true, std::slice::from_ref(table))?;
        }
    }
    Ok(())
}

/// Names of the files of [`write_all_curves`], two for each table: by the table's name where there are several.
pub(crate) fn curve_files(tables: &[&str]) -> Vec<String> {
    let stem = |table: &str| if tables.len() > 1 { format!("losses-{table}") } else { "losses".into() };
    tables.iter().flat_map(|table| [".svg", ".csv"].map(|end| format!("{}{end}", stem(table)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_synth::training_log::Scores;

    #[test]
    fn a_diverged_epoch_has_no_losses_and_keeps_the_rest() {
        let discriminator = Scores { accuracy: 0.5, precision: 0.25, recall: 1.0, f1: 0.4 };
        let diverged = f64::INFINITY;
        let epoch =
            Epoch { epoch: 1, discriminator_loss: f64::NAN, generator_loss: diverged, discriminator, two_sample: 0.1 };
        let curves = curves_of_log("t", &Log { epochs: vec![epoch], kept: 1, two_sample_floor: 0.02 });
        let found = curves.epochs[0].numbers().map(|(_, x)| x);
        assert_eq!(found, [None, None, Some(0.5), Some(0.25), Some(1.0), Some(0.4), Some(0.1)]);
        assert_eq!((curves.table.as_str(), curves.kept, curves.two_sample_floor), ("t", 1, Some(0.02)));
    }

    #[test]
    fn files_are_named_by_their_tables_where_there_are_several() {
        assert_eq!(curve_files(&["people"]), ["losses.svg", "losses.csv"]);
        assert_eq!(curve_files(&["a", "b"]), ["losses-a.svg", "losses-a.csv", "losses-b.svg", "losses-b.csv"]);
        let folder = tempfile::tempdir().unwrap();
        let named = |table: &str| TrainingCurves { table: table.into(), ..TrainingCurves::default() };
        write_all_curves(folder.path(), &[named("a"), named("b")]).unwrap();
        assert!(curve_files(&["a", "b"]).iter().all(|name| folder.path().join(name).is_file()));
    }

    #[test]
    fn names_of_files_name_their_form() {
        let form = |name: &str| CurveFormat::of(Path::new(name));
        assert_eq!(form("a.b.SVG").unwrap(), CurveFormat::Svg);
        assert_eq!((form("x.csv").unwrap(), form("x.jsonl").unwrap()), (CurveFormat::Csv, CurveFormat::JsonLines));
        for wrong in ["x.png", "svg", "x", "x.svg.gz", ".csv"] {
            let error = form(wrong).unwrap_err();
            assert!(matches!(error, Error::Usage(_)) && error.to_string().contains(".jsonl"), "{wrong}");
        }
    }
}
