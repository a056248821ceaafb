//! Whose fault an error is, and the two errors of this crate.

/// Whose fault an error is. The edge answers with it (exit code, HTTP status); both cost 0 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request or its data must change.
    Request,
    /// The request may be right; the machine, the disk or this code failed.
    Service,
}

/// What every error of the workspace answers: whose fault, and which kind.
pub trait Blame: std::error::Error {
    /// Whose fault this error is.
    fn fault(&self) -> Fault;
    /// A stable name in kebab-case for programs, such as `missing-mask`.
    fn kind(&self) -> &'static str;
}

/// A number outside the range of its type.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} is {found}, expected {wanted}")]
pub struct OutOfRange {
    /// What the number stands for.
    pub what: &'static str,
    /// The number as given.
    pub found: String,
    /// The range that holds.
    pub wanted: &'static str,
}

impl OutOfRange {
    pub(crate) fn new(what: &'static str, found: impl ToString, wanted: &'static str) -> Self {
        Self { what, found: found.to_string(), wanted }
    }
}

/// Two things that should agree in shape and do not. Always a mistake of the code that built them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} has shape {found:?}, expected {wanted:?}")]
pub struct ShapeMismatch {
    /// What has the wrong shape.
    pub what: &'static str,
    /// Its shape.
    pub found: Vec<usize>,
    /// The shape that fits.
    pub wanted: Vec<usize>,
}

impl ShapeMismatch {
    /// Fails if `what` is not of the shape that is wanted.
    ///
    /// # Errors
    /// The mismatch.
    pub fn check(what: &'static str, found: &[usize], wanted: &[usize]) -> Result<(), Self> {
        if found == wanted {
            return Ok(());
        }
        Err(Self { what, found: found.to_vec(), wanted: wanted.to_vec() })
    }
}

impl Blame for ShapeMismatch {
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        "shape-mismatch"
    }
}
