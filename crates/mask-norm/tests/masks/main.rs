//! The public face: image files, mask videos, the laws of masks, and the official rule.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails its test")]

mod absurd;
mod composite;
mod golden;
mod growth;
mod images;
mod laws;
mod limits;
mod official;
mod order;
mod png;
mod register;
mod support;
mod truth;
mod videos;
