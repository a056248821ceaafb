//! What became of the data.

use serde::Serialize;

/// An example that is trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExampleReport {
    /// The name that clip, mask and caption share.
    pub name: String,
    /// The prompt: the caption after the trigger phrase.
    pub caption: String,
    /// Frames taken of the clip.
    pub frames: u32,
    /// `image` or `video`.
    pub mask: &'static str,
    /// Frames that the clip has.
    pub source_frames: u32,
    /// Width and height of the clip as displayed.
    pub source_size: [u32; 2],
    /// The rate that goes into the positions, frames per second.
    pub frame_rate: f64,
    /// The share of the picture that the crop cuts away, 0 to 1.
    pub cropped: f64,
    /// The share of pixels to regenerate, 0 to 1.
    pub mask_coverage: f64,
    /// The share of latent cells to regenerate, 0 to 1.
    pub latent_coverage: f64,
}

/// Something that is no fault and that the user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about: an example, a file, or a field of the request.
    pub name: String,
    /// A stable name in kebab-case.
    pub kind: &'static str,
    /// One line for people.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(name: impl ToString, kind: &'static str, message: impl Into<String>) -> Self {
        Self { name: name.to_string(), kind, message: message.into() }
    }
}

/// What became of the examples: which are used, which were dropped, and what was cut, held or strange.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FitReport {
    /// The examples that are used, by name.
    pub examples: Vec<ExampleReport>,
    /// The clips that are not.
    pub dropped: Vec<Warning>,
    /// What the user should know; dropped clips are among it.
    pub warnings: Vec<Warning>,
}

impl FitReport {
    pub(crate) fn drop_clip(&mut self, dropped: Warning) {
        self.warnings.push(dropped.clone());
        self.dropped.push(dropped);
    }
}
