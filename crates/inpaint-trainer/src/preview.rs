//! Previews: what a model, with adapters or without, makes of a clip, its mask and a prompt.

mod command;
mod files;
mod measure;
mod painter;
mod reel;
mod training;

use serde::Serialize;

pub use command::{Preview, preview};
pub(crate) use painter::Painter;
pub(crate) use training::{Previews, Told};

/// What can be told of a preview by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PreviewNumbers {
    /// PSNR of the decoder's output against the source where the mask is black, in dB, at most 100; none if it is black
    /// nowhere.
    pub kept_psnr: Option<f64>,
    /// SSIM there, -1 to 1.
    pub kept_ssim: Option<f64>,
    /// PSNR of the decoder's output against the source where the mask is white; none unless the source is what the prompt
    /// asks for.
    pub white_psnr: Option<f64>,
    /// SSIM there, -1 to 1.
    pub white_ssim: Option<f64>,
    /// How much the mask's edge stands out of the composited result: the mean step of luma across it over the mean step
    /// inside the white area; 1: not at all. None if the mask has no edge.
    pub seam: Option<f64>,
    /// The same of the source: what a perfect result has.
    pub source_seam: Option<f64>,
    /// Pixels that the mask keeps, over all frames.
    pub kept_pixels: u64,
    /// How many of them differ from the source in the composited result, before it is encoded: none.
    pub kept_differing: u64,
}

/// A preview that was made during a training. Paths are relative to the folder of the results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreviewReport {
    /// Optimiser steps done; 0: before training.
    #[serde(skip)]
    pub step: u64,
    /// The sample, from 1.
    pub sample: usize,
    /// What it was asked to show.
    pub prompt: String,
    /// The result: generated where the mask is white, the source elsewhere.
    pub video: String,
    /// The decoder's output as it is.
    pub plain: String,
    /// First, middle and last frame of the result, as a picture.
    pub still: String,
    /// What can be told of it by numbers.
    #[serde(flatten)]
    pub numbers: PreviewNumbers,
    /// Wall time that it took.
    pub seconds: f64,
    /// What the process then held, bytes; none where the system does not tell.
    pub memory: Option<u64>,
    /// The most that it had held by then, bytes.
    pub peak_memory: Option<u64>,
}
