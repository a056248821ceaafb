//! Chores of this workspace: set-up, train, test, tidy, golden.
fn main() {}
