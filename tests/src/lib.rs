//! End-to-end tests; the golden table, where [`golden::Table`] compares this workspace with numbers of the reference;
//! and mutation runs, where [`fuzz::run`] gives spoilt inputs to the parts of the product that read them.

pub mod fuzz;
pub mod golden;
