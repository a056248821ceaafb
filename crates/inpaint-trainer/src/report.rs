//! What became of the data.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An example that is trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExampleReport {
    /// The name that clip, mask and caption share; that of a scene is made of its clip's.
    pub name: String,
    /// The prompt: the caption after the trigger phrase.
    pub caption: String,
    /// Whether it has a caption of its own.
    pub captioned: bool,
    /// Frames taken of the clip.
    pub frames: u32,
    /// Frames that the clip has.
    pub source_frames: u32,
    /// The rate that the clip states, frames per second.
    pub source_frame_rate: f64,
    /// Width and height of the clip as displayed.
    pub source_size: [u32; 2],
    /// Which scene of its clip it is; none for a whole clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene: Option<Scene>,
    /// The rate that goes into the positions, frames per second.
    pub frame_rate: f64,
    /// The share of the picture that the crop cuts away, 0 to 1.
    pub cropped: f64,
    /// `image` or `video`.
    pub mask: &'static str,
    /// Width and height of the mask as displayed.
    pub mask_size: [u32; 2],
    /// The share of the mask's pixels that are neither white nor black, 0 to 1.
    pub mask_grey: f64,
    /// The share of pixels to regenerate, 0 to 1.
    pub mask_coverage: f64,
    /// The share of latent cells to regenerate, 0 to 1.
    pub latent_coverage: f64,
    /// The kinds of the warnings about it.
    pub warnings: Vec<&'static str>,
}

impl ExampleReport {
    /// What an earlier run wrote of an example. Its warnings were told then.
    pub(crate) fn from_json(report: &Value) -> Option<Self> {
        let field = |name: &str| report.get(name);
        let number = |name: &str| field(name)?.as_f64();
        let whole = |name: &str| u32::try_from(field(name)?.as_u64()?).ok();
        let size = |name: &str| serde_json::from_value::<[u32; 2]>(field(name)?.clone()).ok();
        let scene = field("scene").map(|scene| serde_json::from_value(scene.clone()));
        Some(Self {
            name: field("name")?.as_str()?.to_owned(),
            caption: field("caption")?.as_str()?.to_owned(),
            captioned: field("captioned")?.as_bool()?,
            frames: whole("frames")?,
            source_frames: whole("source_frames")?,
            source_frame_rate: number("source_frame_rate")?,
            source_size: size("source_size")?,
            scene: scene.transpose().ok()?,
            frame_rate: number("frame_rate")?,
            cropped: number("cropped")?,
            mask: if field("mask")?.as_str()? == "video" { "video" } else { "image" },
            mask_size: size("mask_size")?,
            mask_grey: number("mask_grey")?,
            mask_coverage: number("mask_coverage")?,
            latent_coverage: number("latent_coverage")?,
            warnings: Vec::new(),
        })
    }
}

/// A piece of a clip between two cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// From 1.
    pub number: usize,
    /// Scenes of the clip.
    pub of: usize,
    /// Its first frame, counted from the clip's, from 0.
    pub first_frame: u32,
    /// Its frames.
    pub frames: u32,
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
    /// How often the steps asked for go over each example; none if that is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<f64>,
}
