//! What a call says to programs: one JSON object.

use std::{fs, path::Path};

use billing::{CompletedSteps, Units};
use serde::Serialize;

use crate::{Detail, FitReport, Outcome, RunError, Warning, report::ExampleReport};

/// A file that a run made, in the form of hosted services.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutFile {
    /// A file URL.
    pub url: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its name without folder.
    pub file_name: String,
    /// Its size in bytes.
    pub file_size: u64,
}

impl OutFile {
    pub(crate) fn of(path: &Path, content_type: &'static str) -> std::io::Result<Self> {
        let whole = fs::canonicalize(path)?;
        let file_name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let url = format!("file://{}", escaped(&whole.to_string_lossy()));
        Ok(Self { url, content_type, file_name, file_size: fs::metadata(path)?.len() })
    }
}

/// Percent-encodes what may not stand in the path of a URL.
fn escaped(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The files of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutFiles {
    /// The adapters.
    pub lora_file: OutFile,
    /// What they were trained with.
    pub config_file: OutFile,
    /// Loss, sigma and rate of every step.
    pub metrics_file: OutFile,
    /// The run on one page, for people.
    pub report_file: OutFile,
    /// The adapters as they were at previews before the last, if they were to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preview_loras: Vec<OutFile>,
    /// The previews side by side, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<OutFile>,
    /// The preprocessed data, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_dataset: Option<OutFile>,
}

/// The files that hosted services give, under the names that they give them. None where there is no such file, for
/// instance because nothing was trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Results {
    /// The adapters.
    pub lora_file: Option<OutFile>,
    /// What they were trained with.
    pub config_file: Option<OutFile>,
    /// The previews side by side.
    pub video: Option<OutFile>,
    /// The preprocessed data.
    pub debug_dataset: Option<OutFile>,
}

impl From<&OutFiles> for Results {
    fn from(files: &OutFiles) -> Self {
        Self {
            lora_file: Some(files.lora_file.clone()),
            config_file: Some(files.config_file.clone()),
            video: files.video.clone(),
            debug_dataset: files.debug_dataset.clone(),
        }
    }
}

/// The one JSON object that a call prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// `accept`, `reject`, `error` or `interrupted`.
    pub outcome: &'static str,
    /// The examples that are, or would be, trained on.
    pub examples: Vec<ExampleReport>,
    /// The clips that are not.
    pub dropped: Vec<Warning>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// How often the steps asked for go over each example; none if the data were not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<f64>,
    /// The faults of a rejected request.
    pub detail: Vec<Detail>,
    /// What failed, for an `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What this call costs.
    pub billable_units: u32,
    /// What a finished training of this request costs; none if the request could not be read.
    pub estimated_units: Option<u32>,
    /// What a finished training made: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<OutFiles>,
    /// The same in the form of hosted services, null where there is nothing.
    #[serde(flatten)]
    pub results: Results,
}

impl Answer {
    fn new(outcome: &'static str, report: FitReport) -> Self {
        let FitReport { examples, dropped, warnings, passes } = report;
        Self {
            outcome,
            examples,
            dropped,
            warnings,
            passes,
            detail: Vec::new(),
            error: None,
            billable_units: CompletedSteps::NONE.units().get(),
            estimated_units: None,
            files: None,
            results: Results::default(),
        }
    }

    /// The answer to a check that found `report`.
    pub fn of_check(result: Result<&FitReport, &RunError>, estimate: Units) -> Self {
        let answer = match result {
            Ok(report) => Self::new("accept", report.clone()),
            Err(error) => Self::of_error(error),
        };
        Self { estimated_units: Some(estimate.get()), ..answer }
    }

    /// The answer to a training.
    pub fn of_run(result: &Result<Outcome, RunError>, estimate: Units) -> Self {
        let answer = match result {
            Ok(outcome) => Self {
                billable_units: outcome.completed.units().get(),
                results: Results::from(&outcome.files),
                files: Some(outcome.files.clone()),
                ..Self::new("accept", outcome.report.clone())
            },
            Err(error) => Self::of_error(error),
        };
        Self { estimated_units: Some(estimate.get()), ..answer }
    }

    /// The answer to a call that ended before there was a request.
    pub fn of_error(error: &RunError) -> Self {
        match error {
            RunError::Rejected { details, report } => {
                Self { detail: details.clone(), ..Self::new("reject", (**report).clone()) }
            }
            RunError::Interrupted => Self::new("interrupted", FitReport::default()),
            RunError::Failed { .. } => {
                Self { error: Some(chain(error)), ..Self::new("error", FitReport::default()) }
            }
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Stage;

    fn report() -> FitReport {
        let short = Warning::new("a", "clip-too-short", "too short");
        FitReport {
            dropped: vec![short.clone()],
            warnings: vec![short],
            passes: Some(50.0),
            ..FitReport::default()
        }
    }

    /// The answer to a training of 200 steps.
    fn of_run(result: Result<Outcome, RunError>) -> Value {
        serde_json::to_value(Answer::of_run(&result, billing::estimate(200))).unwrap()
    }

    fn finished(debug_dataset: Option<OutFile>) -> Outcome {
        let file =
            OutFile { url: "file:///a".into(), content_type: "a/b", file_name: "a".into(), file_size: 7 };
        let files = OutFiles {
            lora_file: file.clone(),
            config_file: file.clone(),
            metrics_file: file.clone(),
            preview_loras: Vec::new(),
            report_file: file,
            video: None,
            debug_dataset,
        };
        Outcome { report: report(), completed: CompletedSteps::finished(200), files, set_aside: None }
    }

    #[test]
    fn a_finished_training_has_its_files_and_its_price() {
        let answer = of_run(Ok(finished(None)));
        let warning = json!({"name": "a", "kind": "clip-too-short", "message": "too short"});
        let file = json!({"url": "file:///a", "content_type": "a/b", "file_name": "a", "file_size": 7});
        assert_eq!(
            answer,
            json!({
                "outcome": "accept", "examples": [], "dropped": [warning], "warnings": [warning], "detail": [],
                "passes": 50.0, "billable_units": 200, "estimated_units": 200,
                "files": {"lora_file": file, "config_file": file, "metrics_file": file, "report_file": file},
                "lora_file": file, "config_file": file, "video": null, "debug_dataset": null,
            })
        );
        let Outcome { files: OutFiles { lora_file, .. }, .. } = finished(None);
        let answer = of_run(Ok(finished(Some(lora_file))));
        assert_eq!([&answer["files"]["debug_dataset"], &answer["debug_dataset"]], [&file, &file]);
    }

    #[test]
    fn a_check_costs_nothing() {
        let answer = Answer::of_check(Ok(&report()), billing::estimate(200));
        assert_eq!((answer.outcome, answer.billable_units, answer.estimated_units), ("accept", 0, Some(200)));
        assert_eq!(
            (answer.dropped, answer.files, answer.results),
            (report().dropped, None, Results::default())
        );
    }

    #[test]
    fn a_rejection_has_its_faults_and_what_was_found_until_then() {
        let details = vec![Detail::new("value_error", "no-clips", "no clips").within("body")];
        let answer = of_run(Err(RunError::Rejected { details: details.clone(), report: Box::new(report()) }));
        assert_eq!((&answer["outcome"], &answer["billable_units"]), (&json!("reject"), &json!(0)));
        assert_eq!(answer["detail"], json!(details));
        assert_eq!((&answer["dropped"][0]["name"], answer.get("error")), (&json!("a"), None));
    }

    #[test]
    fn a_failure_names_its_causes_and_an_interruption_does_not_fail() {
        let source = RunError::io(Stage::Train, "/a/b")(std::io::Error::other("disk on fire"));
        let answer = of_run(Err(source));
        assert_eq!((&answer["outcome"], &answer["billable_units"]), (&json!("error"), &json!(0)));
        assert_eq!(answer["error"], "failed while training: cannot access /a/b: disk on fire");
        let answer = of_run(Err(RunError::Interrupted));
        assert_eq!((&answer["outcome"], &answer["billable_units"]), (&json!("interrupted"), &json!(0)));
        assert_eq!((&answer["estimated_units"], answer.get("error")), (&json!(200), None));
    }

    #[test]
    fn a_file_is_described_by_its_url_name_and_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b.zip");
        fs::write(&path, "seven b").unwrap();
        let file = OutFile::of(&path, "application/zip").unwrap();
        assert_eq!((file.file_name.as_str(), file.file_size), ("a b.zip", 7));
        assert!(file.url.starts_with("file:///") && file.url.ends_with("/a%20b.zip"), "{}", file.url);
        assert!(OutFile::of(&dir.path().join("nowhere"), "a/b").is_err());
    }

    #[test]
    fn a_file_url_has_no_raw_spaces() {
        assert_eq!(escaped("/a b/ü.zip"), "/a%20b/%C3%BC.zip");
    }
}
