//! What protects people: which values may leave the data, and which should not be there.
//!
//! Small and boring on purpose: numbers and texts enter, decisions leave. Knows no files and no models.

mod personal;
mod threshold;

pub use personal::{Finding, PersonalDetector, PersonalKind};
pub use threshold::PersonThreshold;
