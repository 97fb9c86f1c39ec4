//! Columns to numbers and back.
//!
//! Data enter as columns of a table and leave in the forms that models and measurements work on: rows as points with
//! distances ([`space`]), as positions on the grid of an ordered column ([`grid`]), and as distributions without the values
//! of few people ([`marginal`]).

pub mod codes;
pub mod grid;
pub mod marginal;
pub mod space;
