//! What is asked for: the fields of a request with their defaults and ranges, and the request that has passed.

#[cfg(test)]
mod bounds_tests;
mod draft;
mod kind;
mod location;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod validation;

use billing::Units;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};
use tensor_batch::{AspectRatio, Bucket, FrameRate, Rank, Resolution};

#[cfg(test)]
pub(crate) use bounds_tests::check_bounds;
pub(crate) use kind::{Choice, Flag, Float, Int, Kind};
pub(crate) use table::{Checked, Table, described, field, object, read_strictly, table};

pub use draft::Draft;
pub use location::{Location, LocationError};
pub use units::FrameSnap;
pub use validation::ValidationSample;

use crate::{RequestError, options::OptionFields};
use kind::Text;
use units::{FrameCounts, FrameRates, Frames, Ranks};
use validation::{Place, Samples};

const NEGATIVE_PROMPT: &str = "A blurry, washed-out and flickering video with warped anatomy, smeared textures, \
    visible seams, compression blocks, jerky motion, stray text and watermarks.";

const RESOLUTIONS: &[(&str, Resolution)] =
    &[("low", Resolution::Low), ("medium", Resolution::Medium), ("high", Resolution::High)];

const ASPECT_RATIOS: &[(&str, AspectRatio)] =
    &[("16:9", AspectRatio::Wide), ("1:1", AspectRatio::Square), ("9:16", AspectRatio::Tall)];

const FRAMES: FrameCounts = FrameCounts(Int { default: 89, min: 9, max: 121 });
const FRAME_RATE: FrameRates = FrameRates(Int { default: 24, min: 8, max: 60 });
const ASPECT_RATIO: Choice<AspectRatio> = Choice { default: AspectRatio::Square, of: ASPECT_RATIOS };

table! {
    pub(crate) struct Fields: "field of the request" {
        /// The archive of clips, masks and captions: an http, https or file URL, or a path.
        training_data_url: Location = Place;
        /// Prepended to every caption with one space.
        trigger_phrase: String = Text { default: "" };
        /// The rank of the LoRA, as a number or as a string.
        rank: Rank = Ranks { default: Rank::R32 };
        /// Optimiser steps.
        number_of_steps: u32 = Int { default: 2000, min: 100, max: 20_000 };
        /// The learning rate.
        learning_rate: f64 = Float { default: 2e-4, min: 1e-6, max: 1.0 };
        /// Frames of every clip, snapped down to 8k+1. Shorter clips are dropped, or spread with `auto_scale_input`.
        number_of_frames: Frames = FRAMES;
        /// Frames per second that clips have, or are sampled at with `auto_scale_input`.
        frame_rate: FrameRate = FRAME_RATE;
        /// How large clips are made.
        resolution: Resolution = Choice { default: Resolution::Medium, of: RESOLUTIONS };
        /// Width to height that clips are cropped to.
        aspect_ratio: AspectRatio = ASPECT_RATIO;
        /// Whether clips are sampled at the frame rate, and short ones spread, rather than taken frame by frame.
        auto_scale_input: bool = Flag { default: false };
        /// Whether long clips are cut into scenes, and their masks with them.
        split_input_into_scenes: bool = Flag { default: false };
        /// Seconds above which a clip is cut into scenes.
        split_input_duration_threshold: f64 = Float { default: 30.0, min: 1.0, max: 60.0 };
        /// The samples that previews are made of.
        validation: Vec<ValidationSample> = Samples { max: 2 };
        /// What previews shall not show.
        validation_negative_prompt: String = Text { default: NEGATIVE_PROMPT };
        /// Frames of a preview, snapped down to 8k+1.
        validation_number_of_frames: Frames = FRAMES;
        /// Frames per second of a preview.
        validation_frame_rate: FrameRate = FRAME_RATE;
        /// How large previews are made.
        validation_resolution: Resolution = Choice { default: Resolution::High, of: RESOLUTIONS };
        /// Width to height of previews.
        validation_aspect_ratio: AspectRatio = ASPECT_RATIO;
        /// The strength of spatio-temporal guidance in previews; 0: none.
        stg_scale: f64 = Float { default: 1.0, min: 0.0, max: 3.0 };
        /// Whether the fitted clips and masks are written out for inspection.
        debug_dataset: bool = Flag { default: false };
    }
}

/// A request that has passed every check. It comes from JSON only, so there is no invalid one.
///
/// ```
/// use inpaint_trainer::TrainRequest;
/// use serde_json::json;
///
/// let request = TrainRequest::from_json(&json!({"training_data_url": "clips.zip", "rank": "16"}))?;
/// assert_eq!(request.bucket().to_string(), "768x768x89");
/// assert_eq!(request.estimated_units().price().to_string(), "$4.80");
///
/// let wrong = TrainRequest::from_json(&json!({"rnak": 16, "learning_rate": 2})).unwrap_err();
/// assert_eq!(wrong.details().len(), 3);
/// # Ok::<(), inpaint_trainer::RequestError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    fields: Fields,
    bucket: Option<Bucket>,
}

impl TrainRequest {
    /// Reads a request; every field but `training_data_url` may be missing.
    ///
    /// # Errors
    /// All faults of the request: unknown fields first, then the known ones in their order.
    pub fn from_json(request: &Value) -> Result<Self, RequestError> {
        let fields = object(request).and_then(read_strictly::<Fields, OptionFields>);
        fields.map(Self::from).map_err(RequestError::in_body)
    }

    /// All fields of the request, defaults too, with the frame counts that are used; [`from_json`](Self::from_json)
    /// gives them back. A bucket given by [`with_bucket`](Self::with_bucket) is not among them.
    pub fn to_json(&self) -> Value {
        Value::Object(self.fields.write())
    }

    /// The JSON Schema of a request, draft 2020-12. URLs and paths, which it takes as any text that is not blank, are
    /// checked further by [`from_json`](Self::from_json).
    pub fn json_schema() -> Value {
        let mut schema = table::schema::<Fields>();
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!("TrainRequest");
        schema["description"] = json!("A request to train a video-inpainting LoRA.");
        schema
    }

    /// Replaces the sizes and frame counts of training and validation by those of `bucket`.
    #[must_use]
    pub fn with_bucket(self, bucket: Bucket) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// The archive of clips, masks and captions.
    pub fn training_data_url(&self) -> &Location {
        &self.fields.training_data_url
    }

    /// Prepended to every caption; may be blank.
    pub fn trigger_phrase(&self) -> &str {
        &self.fields.trigger_phrase
    }

    /// The rank of the LoRA.
    pub fn rank(&self) -> Rank {
        self.fields.rank
    }

    /// Optimiser steps, 100 to 20000.
    pub fn number_of_steps(&self) -> u32 {
        self.fields.number_of_steps
    }

    /// The learning rate, 1e-6 to 1.
    pub fn learning_rate(&self) -> f64 {
        self.fields.learning_rate
    }

    /// Size and frame count of every clip.
    pub fn bucket(&self) -> Bucket {
        let Fields { resolution, aspect_ratio, number_of_frames, .. } = &self.fields;
        self.bucket.unwrap_or_else(|| Bucket::preset(*resolution, *aspect_ratio, number_of_frames.used))
    }

    /// The rate that clips have, or are sampled at with `auto_scale_input`, 8 to 60 frames per second.
    pub fn frame_rate(&self) -> FrameRate {
        self.fields.frame_rate
    }

    /// Whether clips are sampled at the frame rate, and short ones spread, rather than taken frame by frame.
    pub fn auto_scale_input(&self) -> bool {
        self.fields.auto_scale_input
    }

    /// Seconds above which a clip is cut into scenes; none: no clip is.
    pub fn scenes_above(&self) -> Option<f64> {
        self.fields.split_input_into_scenes.then_some(self.fields.split_input_duration_threshold)
    }

    /// The samples that previews are made of, at most 2.
    pub fn validation(&self) -> &[ValidationSample] {
        &self.fields.validation
    }

    /// What previews shall not show.
    pub fn validation_negative_prompt(&self) -> &str {
        &self.fields.validation_negative_prompt
    }

    /// Size and frame count of previews.
    pub fn validation_bucket(&self) -> Bucket {
        let Fields { validation_resolution, validation_aspect_ratio, validation_number_of_frames, .. } =
            &self.fields;
        let frames = validation_number_of_frames.used;
        self.bucket
            .unwrap_or_else(|| Bucket::preset(*validation_resolution, *validation_aspect_ratio, frames))
    }

    /// The rate of previews, 8 to 60 frames per second.
    pub fn validation_frame_rate(&self) -> FrameRate {
        self.fields.validation_frame_rate
    }

    /// The strength of spatio-temporal guidance in previews, 0 to 3.
    pub fn stg_scale(&self) -> f64 {
        self.fields.stg_scale
    }

    /// Whether the fitted clips and masks are written out for inspection.
    pub fn debug_dataset(&self) -> bool {
        self.fields.debug_dataset
    }

    /// The frame counts that were snapped down; none if a bucket replaces them.
    pub fn warnings(&self) -> Vec<FrameSnap> {
        let counts = [
            ("number_of_frames", self.fields.number_of_frames),
            ("validation_number_of_frames", self.fields.validation_number_of_frames),
        ];
        let snaps = counts.into_iter().filter_map(|(field, frames)| FrameSnap::of(field, frames));
        snaps.filter(|_| self.bucket.is_none()).collect()
    }

    /// What the training will cost if it finishes.
    pub fn estimated_units(&self) -> Units {
        billing::estimate(self.number_of_steps())
    }
}

impl From<Fields> for TrainRequest {
    fn from(fields: Fields) -> Self {
        Self { fields, bucket: None }
    }
}

impl Serialize for TrainRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Fails with all faults in one line.
impl<'de> Deserialize<'de> for TrainRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
