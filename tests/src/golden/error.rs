//! What can be wrong with golden data, or with what is compared to it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a golden case could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file is not in the safetensors format.
    #[error("{} is not a safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A folder, an index or a tolerance says something that has no meaning here.
    #[error("{}: found {found}, wanted {wanted}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        wanted: String,
    },
    /// A case lacks what its kind needs.
    #[error("`{name}` is missing in the case, or is not {wanted}")]
    Missing {
        /// The tensor or JSON pointer.
        name: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A result has another shape than the golden one.
    #[error("`{name}` has shape {found:?}, the golden one {wanted:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Our shape.
        found: Vec<usize>,
        /// The golden shape.
        wanted: Vec<usize>,
    },
    /// Every golden tensor must be produced, and this one was not.
    #[error("`{name}` was not produced")]
    NotProduced {
        /// The tensor.
        name: String,
    },
    /// Nothing that was produced has a golden counterpart and a tolerance.
    #[error("nothing was compared: produced {produced}")]
    NothingCompared {
        /// The names of what was produced.
        produced: String,
    },
}

impl GoldenError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        |source| Self::Json { path: path.to_owned(), source }
    }

    pub(super) fn safetensors(path: &Path) -> impl FnOnce(safetensors::SafeTensorError) -> Self {
        |source| Self::Safetensors { path: path.to_owned(), source }
    }

    pub(super) fn format(path: &Path, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), found: found.into(), wanted: wanted.into() }
    }
}
