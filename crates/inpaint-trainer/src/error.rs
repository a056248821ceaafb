//! Why a run ended without a LoRA.

use std::{error::Error, io, path::PathBuf};

use tensor_batch::{Blame, Fault};

use crate::{Detail, FitReport, RequestError, Stage};

/// Why a run ended without a LoRA. It costs 0 units, whichever it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The request or its data must change.
    #[error("the request was rejected: {}", list(details))]
    Rejected {
        /// Every fault found, at least one.
        details: Vec<Detail>,
        /// What is known of the examples so far.
        report: Box<FitReport>,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The machine, the disk, the checkpoint or this code failed.
    #[error("failed while {}", stage.name())]
    Failed {
        /// What was being done.
        stage: Stage,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

fn list(details: &[Detail]) -> String {
    details.iter().map(Detail::to_string).collect::<Vec<_>>().join("; ")
}

impl RunError {
    /// The error of a stage, as a rejection or a failure by whose fault it is.
    pub(crate) fn of(stage: Stage, error: impl Blame + Send + Sync + 'static) -> Self {
        match error.fault() {
            Fault::Request => Self::rejected(vec![Detail::of(["body", "training_data_url"], &error)]),
            Fault::Service => Self::Failed { stage, source: Box::new(error) },
        }
    }

    pub(crate) fn rejected(details: Vec<Detail>) -> Self {
        Self::Rejected { details, report: Box::default() }
    }

    /// A rejection says what is known of the examples so far; other errors stay as they are.
    pub(crate) fn with_report(self, report: &FitReport) -> Self {
        match self {
            Self::Rejected { details, .. } => Self::Rejected { details, report: Box::new(report.clone()) },
            other => other,
        }
    }

    /// The failure of a file operation.
    pub(crate) fn io(stage: Stage, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Failed { stage, source: Box::new(FileError { path, source }) }
    }
}

impl From<RequestError> for RunError {
    fn from(error: RequestError) -> Self {
        Self::rejected(error.details().to_vec())
    }
}

impl Blame for RunError {
    fn fault(&self) -> Fault {
        match self {
            Self::Rejected { .. } => Fault::Request,
            Self::Interrupted | Self::Failed { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::Interrupted => "interrupted",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot access {}", path.display())]
struct FileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}
