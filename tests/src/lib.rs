//! End-to-end tests, and the golden table: [`golden::Table`] compares this workspace with numbers of the reference.

pub mod golden;
