//! Fields whose numbers have a meaning of their own: rank, frame count, frame rate.

use std::fmt;

use serde_json::{Value, json};
use tensor_batch::{FrameCount, FrameRate, OutOfRange, Rank};

use super::{
    Checked,
    kind::{Int, Kind, no_choice, whole},
};
use crate::Detail;

/// A rank, as a number or as a string.
pub(crate) struct Ranks {
    pub(crate) default: Rank,
}

impl Kind for Ranks {
    type Value = Rank;

    fn default(&self) -> Option<Value> {
        Some(self.write(&self.default))
    }

    fn read(&self, input: &Value) -> Checked<Rank> {
        let asked = match input {
            Value::String(text) => text.clone(),
            Value::Number(_) => whole(input).map_err(|_| no_choice(Rank::ALL.iter(), input))?.to_string(),
            _ => return Err(vec![Detail::wrong_type("int_type", "a whole number", input)]),
        };
        let rank = Rank::ALL.into_iter().find(|rank| rank.to_string() == asked);
        rank.ok_or_else(|| no_choice(Rank::ALL.iter(), input))
    }

    fn write(&self, value: &Rank) -> Value {
        json!(value.get())
    }

    fn schema(&self) -> Value {
        let numbers = Rank::ALL.iter().map(|rank| json!(rank.get()));
        let texts = Rank::ALL.iter().map(|rank| json!(rank.to_string()));
        json!({"enum": numbers.chain(texts).collect::<Vec<_>>()})
    }
}

/// A count of frames as asked for, and the one it is snapped down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) asked: u32,
    pub(crate) used: FrameCount,
}

/// A count of frames, which is snapped down to 8k+1.
pub(crate) struct FrameCounts(pub(crate) Int<u32>);

impl Kind for FrameCounts {
    type Value = Frames;

    fn default(&self) -> Option<Value> {
        self.0.default()
    }

    fn read(&self, input: &Value) -> Checked<Frames> {
        let asked = self.0.read(input)?;
        let used = FrameCount::snapped(asked).map_err(|error| out_of_range(&error, input))?;
        Ok(Frames { asked, used })
    }

    /// The count that is used.
    fn write(&self, value: &Frames) -> Value {
        json!(value.used.get())
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

/// Whole frames per second.
pub(crate) struct FrameRates(pub(crate) Int<u32>);

impl Kind for FrameRates {
    type Value = FrameRate;

    fn default(&self) -> Option<Value> {
        self.0.default()
    }

    fn read(&self, input: &Value) -> Checked<FrameRate> {
        let fps = self.0.read(input)?;
        FrameRate::new(f64::from(fps)).map_err(|error| out_of_range(&error, input))
    }

    fn write(&self, value: &FrameRate) -> Value {
        json!(value.fps() as u32)
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

fn out_of_range(error: &OutOfRange, input: &Value) -> Vec<Detail> {
    vec![Detail::new("value_error", "out-of-range", format!("must be {}", error.wanted)).found(input)]
}

/// A count of frames that was not of the form 8k+1 and has been snapped down to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSnap {
    /// The request's field.
    pub field: &'static str,
    /// The count as asked for.
    pub asked: u32,
    /// The count that is used.
    pub used: FrameCount,
}

impl FrameSnap {
    /// The kind of this warning.
    pub const KIND: &'static str = "frames-snapped";

    pub(crate) fn of(field: &'static str, Frames { asked, used }: Frames) -> Option<Self> {
        (asked != used.get()).then_some(Self { field, asked, used })
    }
}

impl fmt::Display for FrameSnap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, asked, used } = self;
        write!(f, "{field} {asked} is snapped down to {used}: a clip has 8k+1 frames")
    }
}
