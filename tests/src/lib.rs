//! End-to-end tests; the golden table, where [`golden::Table`] compares this workspace with numbers of the reference;
//! mutation runs, where [`fuzz::run`] gives spoilt inputs to the parts of the product that read them; and crash runs, where
//! [`crash::run`] kills trainings that must end as if they had not been.

#[cfg(feature = "video")]
pub mod crash;
#[cfg(feature = "video")]
pub mod fuzz;
pub mod golden;
#[cfg(feature = "video")]
mod random;
