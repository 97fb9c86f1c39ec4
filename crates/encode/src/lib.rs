//! Columns to numbers and back.
//!
//! Data enter as columns of a table and leave in the forms that models and measurements work on: rows as points with
//! distances ([`space`]), as positions on the grid of an ordered column ([`grid`]), as distributions without the values of
//! few people ([`marginal`]), and whole tables as integer codes and back ([`table`], [`codes`], [`leaves`]).
//!
//! Every kind of column has one module with the same steps: what is seen of a part of the data is analysed and merged
//! ([`observed`]), frozen into what may be known under a person threshold, and then encodes and decodes values.

mod category;
mod cells;
mod chain;
pub mod codes;
mod column;
pub mod grid;
pub mod leaves;
pub mod marginal;
mod moment;
mod number;
pub mod observed;
pub mod permitted;
pub mod space;
pub mod table;
mod text;

pub use cells::Resolution;
