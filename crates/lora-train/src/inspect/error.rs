//! Why a file cannot be looked into.

use std::{
    io,
    path::{Path, PathBuf},
};

use tensor_batch::{Blame, Fault};

/// Why a file cannot be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no `.safetensors` file, or a damaged one.
    #[error("{} is no intact .safetensors file: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a `.safetensors` file without a LoRA.
    #[error(
        "{} holds no LoRA: none of its {tensors} tensors is a low-rank factor (lora_A, lora_B, lora_down, lora_up)",
        path.display()
    )]
    NoLora {
        /// The file.
        path: PathBuf,
        /// How many tensors it has.
        tensors: usize,
    },
}

impl InspectError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn no_lora(path: &Path, tensors: usize) -> Self {
        Self::NoLora { path: path.to_owned(), tensors }
    }
}

impl Blame for InspectError {
    fn fault(&self) -> Fault {
        match self {
            // Whoever names a file that is not there has made the mistake; a disk that fails is nobody's.
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Fault::Request,
            Self::Io { .. } => Fault::Service,
            Self::Damaged { .. } | Self::NoLora { .. } => Fault::Request,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "lora-io",
            Self::Damaged { .. } => "lora-damaged",
            Self::NoLora { .. } => "no-lora",
        }
    }
}
