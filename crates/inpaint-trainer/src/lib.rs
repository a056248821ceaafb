//! From a training request to a LoRA: the stages composed, with events, cancellation and the outcome.

#![forbid(unsafe_code)]

mod answer;
mod clips;
mod debug_dataset;
mod detail;
mod disk;
mod doctor;
mod encode;
mod error;
mod event;
mod example;
mod fetch;
mod identity;
mod limits;
mod memory;
mod metrics;
mod options;
mod out;
mod page;
mod preview;
mod preview_loras;
mod process_memory;
mod publish;
mod report;
mod request;
mod run;
mod sheet;
mod stored;
mod timings;
mod training;
mod unfinished;
mod validation;

pub use answer::{Answer, OutFile, OutFiles, Results};
pub use detail::{Ctx, Detail, LocPart, RequestError};
pub use disk::{Disk, DiskError};
pub use error::RunError;
pub use event::{Cancel, Event, Stage, Watch};
pub use example::ExampleError;
pub use fetch::{FetchError, Fetcher, Reach, RedirectError};
pub use limits::Limits;
pub use lora_train::inspect;
pub use lora_train::{Evaluation, Largest, Losses, Rehearsal, StepReport, TrainEvent, memory::StepMemory};
pub use ltx_model::{BasePrecision, Device};
pub use memory::{Cuts, Free, Held, Job, Memory, MemoryError, MemoryPlan, Purpose, StageMemory};
pub use options::{Scheduler, TimestepSampler, TrainOptions};
pub use preview::{Preview, PreviewNumbers, PreviewReport, preview};
pub use process_memory::ProcessMemory;
pub use report::{ExampleReport, FitReport, Scene, Warning};
pub use request::{Draft, FrameSnap, Location, LocationError, TrainRequest, ValidationSample};
pub use run::{Outcome, Settings, Survey, check, run};
pub use unfinished::is_unfinished;

/// The example of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
