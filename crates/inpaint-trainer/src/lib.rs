//! From a training request to a LoRA: the stages composed, with events, cancellation and the outcome.

mod detail;
mod options;
mod request;

pub use detail::{Ctx, Detail, LocPart, RequestError};
pub use options::{Scheduler, TimestepSampler, TrainOptions};
pub use request::{Draft, FrameSnap, Location, LocationError, TrainRequest, ValidationSample};
