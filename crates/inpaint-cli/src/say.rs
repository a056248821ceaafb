//! What the program says. The one place that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is the job of a command line")]

use std::{
    io::{self, Write},
    process::ExitCode,
};

use inpaint_trainer::{Answer, RunError};
use serde::Serialize;

/// The exit code of a request at fault.
pub(crate) const REJECTED: u8 = 2;
/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// A line for people, on stderr.
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

/// A line of the result, on stdout. A reader that has gone away, as `head` does, is no error.
pub(crate) fn result(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The one JSON object, on stdout.
pub(crate) fn json(answer: &impl Serialize) {
    match serde_json::to_string(answer) {
        Ok(json) => result(&json),
        Err(error) => eprintln!("error: {error}"),
    }
}

/// Why there is no result, in the caller's form; gives the exit code.
pub(crate) fn error(error: &RunError, answer: Option<&Answer>) -> ExitCode {
    if let Some(answer) = answer {
        json(answer);
    } else {
        explain(error);
    }
    match error {
        RunError::Rejected { .. } => ExitCode::from(REJECTED),
        RunError::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}

fn explain(error: &RunError) {
    match error {
        RunError::Rejected { details, .. } => {
            eprintln!("the request cannot be accepted:");
            details.iter().for_each(|detail| eprintln!("  - {detail}"));
            eprintln!("nothing was billed");
        }
        error => {
            eprintln!("error: {error}");
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                eprintln!("  caused by: {cause}");
                source = cause.source();
            }
        }
    }
}

/// A mistake in the command line itself, before there is a request.
pub(crate) fn usage(message: &str, json: bool) -> ExitCode {
    if json {
        result(
            &serde_json::json!({
                "outcome": "reject", "examples": [], "dropped": [], "warnings": [], "billable_units": 0,
                "estimated_units": null,
                "lora_file": null, "config_file": null, "video": null, "debug_dataset": null,
                "detail": [{
                    "loc": ["body"], "msg": message, "type": "value_error", "ctx": { "kind": "unreadable-request" },
                }],
            })
            .to_string(),
        );
    } else {
        eprintln!("error: {message}");
    }
    ExitCode::from(REJECTED)
}

/// Something of the program's own is missing: not the request's fault.
pub(crate) fn failure(message: &str, json: bool) -> ExitCode {
    if json {
        result(
            &serde_json::json!({
                "outcome": "error", "examples": [], "dropped": [], "warnings": [], "detail": [],
                "error": message, "billable_units": 0, "estimated_units": null,
                "lora_file": null, "config_file": null, "video": null, "debug_dataset": null,
            })
            .to_string(),
        );
    } else {
        eprintln!("error: {message}");
    }
    ExitCode::FAILURE
}

/// Bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
