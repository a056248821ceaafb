//! The public face: image files, the laws of masks, and the official rule's golden values.

mod golden;
mod images;
mod laws;
mod png;
mod videos;
