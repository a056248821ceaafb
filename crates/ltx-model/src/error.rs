//! What can be wrong with a checkpoint.

use std::{fmt, path::PathBuf};

use tensor_batch::{Blame, Fault};

/// A setting of a checkpoint that this crate does not implement, or cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, with its section: `transformer.num_layers`.
    pub key: String,
    /// The value in the file; `absent` where there is none.
    pub found: String,
    /// What is implemented.
    pub wanted: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.key, self.found, self.wanted)
    }
}

/// What is wrong with the tensors of a file, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightFaults {
    /// Keys that the configuration asks for and the file lacks.
    pub missing: Vec<String>,
    /// Keys whose shape is not the one that the configuration implies: key, found, wanted.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Keys whose dtype cannot be read: key, found.
    pub wrong_dtype: Vec<(String, String)>,
    /// Keys of a family that was read, which the configuration does not account for.
    pub leftover: Vec<String>,
}

impl WeightFaults {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_dtype.is_empty()
            && self.leftover.is_empty()
    }
}

impl fmt::Display for WeightFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.missing.iter().map(|key| format!("{key} is missing")).collect();
        for (key, found, wanted) in &self.wrong_shape {
            lines.push(format!("{key} has shape {found:?}, expected {wanted:?}"));
        }
        for (key, found) in &self.wrong_dtype {
            lines.push(format!("{key} has dtype {found}, expected BF16, F16 or F32"));
        }
        lines.extend(self.leftover.iter().map(|key| format!("{key} is not part of the configured model")));
        f.write_str(&lines.join("; "))
    }
}

/// Why a model could not be loaded, or not where it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The device cannot be used.
    #[error("the device cannot be used: {0}")]
    Device(String),
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no safetensors file, or a JSON file beside it is broken.
    #[error("{} is not readable: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's metadata has no such section.
    #[error("{} has no `{section}` section in its configuration", path.display())]
    NoSection {
        /// The file.
        path: PathBuf,
        /// The section that was looked for.
        section: &'static str,
    },
    /// The file holds another model, or another generation of this one.
    #[error("{} is no model that this version can use: {}", path.display(), join(settings))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Every setting that differs.
        settings: Vec<Setting>,
    },
    /// The file's tensors do not fit its own configuration.
    #[error("the weights of {} do not fit its configuration: {faults}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        faults: WeightFaults,
    },
}

fn join(settings: &[Setting]) -> String {
    settings.iter().map(Setting::to_string).collect::<Vec<_>>().join("; ")
}

impl Blame for ModelError {
    /// The operator chooses the checkpoint, not the request.
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Io { .. } => "model-unreadable",
            Self::Malformed { .. } | Self::NoSection { .. } => "model-malformed",
            Self::Unsupported { .. } => "model-unsupported",
            Self::Weights { .. } => "model-weights",
        }
    }
}
