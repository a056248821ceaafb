//! The public face: image files, the laws of masks, and the official rule's golden values.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails its test")]

mod golden;
mod images;
mod laws;
mod png;
mod videos;
