//! Generator against discriminator: GANs of rows and of histories.
//!
//! Rows enter as leaves (one integer for each part of a column) and leave as leaves; what a leaf stands for is known only to
//! `twinmart-encode`. [`rows::RowGan`] is the model of a table; [`log::Log`] says how its learning went.
//!
//! ```text
//! features    leaves as numbers and choices, numbers by mode (`modes`)
//! conditions  what the generator is asked for
//! bodies      networks: layers, convolutions, recurrent units (`weights`)
//! losses      what they minimise
//! pieces      batches in pieces, done side by side
//! training    the loop: steps, log, checkpoints, the best generator
//! watch       how unlike made and real rows are
//! ```

mod bodies;
mod calibrate;
mod conditions;
mod features;
pub mod histories;
pub mod log;
mod losses;
mod modes;
mod noise;
mod pieces;
pub mod rows;
mod training;
mod watch;
mod weights;

pub use training::Fitting;
