//! The samples that previews are made of.

use serde_json::{Value, json};
use tensor_batch::{Blame, Caption};

use super::{
    Checked, Location, LocationError,
    kind::{Kind, text},
    table::{Table, object, read_strictly, schema, table},
};
use crate::Detail;

table! {
    /// A clip with its mask and a prompt, for a preview.
    pub struct ValidationSample: "field of a validation sample" {
        /// What the masked region shall show. Not blank.
        pub prompt: Caption = Prompt;
        /// The clip: an http, https or file URL, or a path.
        pub video_url: Location = Place;
        /// The clip's mask, white where it is to be regenerated: an http, https or file URL, or a path.
        pub mask_url: Location = Place;
    }
}

/// A text that is required and not blank.
pub(crate) struct Prompt;

impl Kind for Prompt {
    type Value = Caption;

    fn default(&self) -> Option<Value> {
        None
    }

    fn read(&self, input: &Value) -> Checked<Caption> {
        let blank = || vec![Detail::new("value_error", "missing-field", "must not be blank").found(input)];
        Caption::new(text(input)?).ok_or_else(blank)
    }

    fn write(&self, value: &Caption) -> Value {
        json!(value.as_str())
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "\\S"})
    }
}

/// A required URL or path.
pub(crate) struct Place;

impl Kind for Place {
    type Value = Location;

    fn default(&self) -> Option<Value> {
        None
    }

    fn read(&self, input: &Value) -> Checked<Location> {
        let fault = |error: LocationError| Detail::new("value_error", error.kind(), error.to_string());
        text(input)?.parse().map_err(|error| vec![fault(error).found(input)])
    }

    fn write(&self, value: &Location) -> Value {
        json!(value.as_str())
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "\\S"})
    }
}

/// A list of at most `max` samples.
pub(crate) struct Samples {
    pub(crate) max: usize,
}

impl Kind for Samples {
    type Value = Vec<ValidationSample>;

    fn default(&self) -> Option<Value> {
        Some(json!([]))
    }

    fn read(&self, input: &Value) -> Checked<Vec<ValidationSample>> {
        let wrong_type = || vec![Detail::wrong_type("list_type", "a list", input)];
        let items = input.as_array().ok_or_else(wrong_type)?;
        let (mut samples, mut faults) = (Vec::new(), self.too_many(items.len()));
        for (index, item) in items.iter().take(self.max).enumerate() {
            match object(item).and_then(read_strictly::<ValidationSample, ValidationSample>) {
                Ok(sample) => samples.push(sample),
                Err(wrong) => faults.extend(wrong.into_iter().map(|fault| fault.within(index))),
            }
        }
        if faults.is_empty() { Ok(samples) } else { Err(faults) }
    }

    fn write(&self, value: &Vec<ValidationSample>) -> Value {
        value.iter().map(Table::write).collect()
    }

    fn schema(&self) -> Value {
        json!({"type": "array", "maxItems": self.max, "items": schema::<ValidationSample>()})
    }
}

impl Samples {
    fn too_many(&self, found: usize) -> Vec<Detail> {
        let msg = format!("must be at most {} samples, found {found}", self.max);
        let fault = Detail::new("too_long", "too-many-samples", msg);
        let fault = fault.with("max_length", self.max).with("actual_length", found);
        if found > self.max { vec![fault] } else { Vec::new() }
    }
}
