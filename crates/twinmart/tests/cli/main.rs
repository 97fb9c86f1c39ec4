//! The product as its user meets it: the built binary on files.

mod bad_input;
mod bench;
mod condition;
mod constraints;
mod gan;
mod help;
mod predict;
mod repeatable;
mod resume;
mod shop;
