//! End-to-end tests and the golden table.
