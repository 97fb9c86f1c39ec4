//! Is the twin faithful, useful and private? Measurements, and the report that shows them.
//!
//! Real, synthetic and (where there are any) held-out tables enter; a [`Report`] leaves: the fields of `report.json`, plus
//! all that the page draws. [`measure_table`] compares plain tables, [`measure_shop`] users, items and events;
//! `html` turns the structure, and nothing else, into one self-contained page.
//!
//! Every measurement is a pure function over columns, one a file: shapes, pairs, accuracy, detection, sequence,
//! memorisation, predictive. Beside each number stands what two real samples get for it. What generator and discriminator say
//! of their learning ([`training`]) is no measurement of the twin; the report shows it beside them.

mod accuracy;
mod bins;
mod boosting;
mod definitions;
mod detection;
mod frame;
mod histogram;
pub mod html;
mod measure;
mod memorisation;
mod pairs;
mod people;
mod predictive;
mod ranks;
#[cfg(test)]
mod reference_tests;
pub mod report;
mod sampling;
mod sequence;
mod shapes;
pub mod training;
mod verdict;

pub use html::{render as render_html, render_curves, render_index};
pub use measure::{Context, measure_shop, measure_table};
pub use report::Report;
