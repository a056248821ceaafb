//! What may come out of a case: an acceptance, or a rejection that says why in words that can be shown.

use std::{fs, io, path::Path};

use inpaint_trainer::Detail;
use tensor_batch::{Blame, Fault};

/// How a case ended where nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// For a fault of this kind.
    Rejected(String),
}

impl Answer {
    pub(crate) fn rejected(kind: &str) -> Self {
        Self::Rejected(kind.to_owned())
    }
}

/// What must not happen, and yet did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// An error that blames the service, has no known kind, or cannot be shown.
    Untyped(String),
    /// A promise that was not kept, such as a file outside the work folder.
    Broken(String),
}

pub(crate) type Verdict = Result<Answer, Flaw>;

/// The machine failed where only the input may.
impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("the file system failed: {error}"))
    }
}

/// Every kind of fault that may be answered to a request.
const FAULTS: [&str; 30] = [
    "bad-caption",
    "bad-entry-name",
    "bad-url",
    "contradiction",
    "corrupt-entry",
    "download-failed",
    "duplicate-name",
    "encrypted-entry",
    "image-too-large",
    "missing-field",
    "missing-mask",
    "no-clips",
    "no-usable-clips",
    "not-a-choice",
    "not-a-zip",
    "not-allowed",
    "out-of-range",
    "overlapping-entries",
    "symlink-entry",
    "too-few-frames",
    "too-large",
    "too-many-entries",
    "too-many-samples",
    "unknown-field",
    "unprobeable-clip",
    "unreadable-clip",
    "unreadable-mask",
    "unsafe-path",
    "unsupported-entry",
    "wrong-type",
];
/// Every kind of warning.
const WARNINGS: [&str; 19] = [
    "captions-missing",
    "clip-too-short",
    "cut-into-scenes",
    "few-examples",
    "frame-rate-differs",
    "frames-snapped",
    "grey-mask",
    "mask-aspect",
    "mask-cut",
    "mask-held",
    "mostly-white",
    "no-cut-found",
    "nothing-kept",
    "nothing-to-regenerate",
    "orphan-caption",
    "orphan-mask",
    "trigger-in-captions",
    "trigger-not-in-prompt",
    "unknown-file",
];
/// The longest message: a few names of 255 characters, each of which may be escaped.
const MESSAGE_BYTES: usize = 16 << 10;

/// Judges an error by whose fault it is, its kind, its own words, and the words that users get, causes included.
pub(crate) fn error(error: &dyn Blame) -> Verdict {
    shown(&error.to_string())?;
    let text = Detail::of(["body"], error).msg;
    if error.fault() == Fault::Service {
        return Err(Flaw::Untyped(format!("the service is blamed ({}): {text}", error.kind())));
    }
    fault(error.kind(), &text).map(|()| Answer::rejected(error.kind()))
}

/// Judges a fault as it is told.
pub(crate) fn fault(kind: &str, text: &str) -> Result<(), Flaw> {
    told(kind, text, &FAULTS)
}

/// Judges a warning.
pub(crate) fn warning(kind: &str, name: &str, text: &str) -> Result<(), Flaw> {
    shown(name)?;
    told(kind, text, &WARNINGS)
}

fn told(kind: &str, text: &str, known: &[&str]) -> Result<(), Flaw> {
    if !known.contains(&kind) {
        return Err(Flaw::Untyped(format!("the kind `{kind}` is unknown: {text}")));
    }
    if text.trim().is_empty() {
        return Err(Flaw::Untyped(format!("`{kind}` has no message")));
    }
    shown(text)
}

/// Judges a text that may be written to a terminal.
pub(crate) fn shown(text: &str) -> Result<(), Flaw> {
    if text.contains(|c: char| c.is_control()) {
        return Err(Flaw::Untyped(format!("a control character is shown: {text:?}")));
    }
    if text.len() > MESSAGE_BYTES {
        let start: String = text.chars().take(200).collect();
        return Err(Flaw::Untyped(format!("a message has {} bytes: {start}...", text.len())));
    }
    Ok(())
}

/// A promise that must hold.
pub(crate) fn holds(promise: bool, broken: impl FnOnce() -> String) -> Result<(), Flaw> {
    if promise { Ok(()) } else { Err(Flaw::Broken(broken())) }
}

/// The names of what is in a folder.
pub(crate) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(folder)?.map(name).collect()
}

#[cfg(test)]
mod tests {
    use tensor_batch::ShapeMismatch;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Complaint(&'static str, &'static str);

    impl Blame for Complaint {
        fn fault(&self) -> Fault {
            Fault::Request
        }

        fn kind(&self) -> &'static str {
            self.1
        }
    }

    #[test]
    fn an_error_that_can_be_answered_is_a_rejection() {
        assert_eq!(
            error(&Complaint("`a\\n` has no mask", "missing-mask")),
            Ok(Answer::rejected("missing-mask"))
        );
    }

    #[test]
    fn an_error_that_cannot_is_a_flaw() {
        for (text, kind) in [
            ("a message", "some-kind"),
            (" ", "no-clips"),
            ("it writes \u{1b}[2J", "no-clips"),
            ("two\nlines", "no-clips"),
            ("C1: \u{9b}2J", "no-clips"),
        ] {
            assert!(matches!(error(&Complaint(text, kind)), Err(Flaw::Untyped(_))), "{text:?}");
        }
        let ours = ShapeMismatch { what: "clip", found: vec![1], wanted: vec![2] };
        assert!(matches!(error(&ours), Err(Flaw::Untyped(_))));
        assert!(fault("no-clips", &"x".repeat(MESSAGE_BYTES + 1)).is_err());
    }
}
