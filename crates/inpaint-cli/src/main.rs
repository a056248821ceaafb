//! The command inpaint: train and check.
fn main() {}
