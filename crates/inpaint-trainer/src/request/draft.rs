//! A request and training options under construction, as a command line gives them.

use serde_json::{Map, Value};

use super::{Fields, Table, TrainRequest, table};
use crate::{
    Detail, RequestError,
    options::{OptionFields, TrainOptions},
};

/// A request and the training options beyond it, not yet checked: a JSON request, then settings `KEY=VALUE`.
///
/// ```
/// use inpaint_trainer::Draft;
///
/// let mut draft = Draft::new(serde_json::json!({"training_data_url": "clips.zip"}))?;
/// draft.set("rank=16");
/// draft.set("scheduler=linear");
/// let (request, options) = draft.check()?;
/// assert_eq!(request.rank().get(), 16);
/// # Ok::<(), inpaint_trainer::RequestError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Draft {
    request: Map<String, Value>,
    options: Map<String, Value>,
    faults: Vec<Detail>,
}

impl Draft {
    /// Starts from a request in JSON, which need not be complete.
    ///
    /// # Errors
    /// If `request` is no object.
    pub fn new(request: Value) -> Result<Self, RequestError> {
        let request = table::object(&request).map_err(RequestError::in_body)?.clone();
        Ok(Self { request, ..Self::default() })
    }

    /// Sets a field of the request or a training option, as in `rank=16`; the last one counts.
    ///
    /// The value is taken as JSON if it is JSON and the field is no text, and as text otherwise. What is wrong with it
    /// is reported by [`check`](Self::check), together with everything else.
    pub fn set(&mut self, pair: &str) {
        let Some((key, value)) = pair.split_once('=') else {
            let msg = "must have the form KEY=VALUE, as in `rank=16`";
            self.faults.push(Detail::new("value_error", "bad-setting", msg).within(pair));
            return;
        };
        let is_option = OptionFields::NAMES.contains(&key);
        let object = if is_option { &mut self.options } else { &mut self.request };
        object.insert(key.to_owned(), if is_text(key) { value.into() } else { json_or_text(value) });
    }

    /// Checks request and options.
    ///
    /// # Errors
    /// All faults of both.
    pub fn check(&self) -> Result<(TrainRequest, TrainOptions), RequestError> {
        let mut faults = self.faults.clone();
        let request = table::read_strictly::<Fields, OptionFields>(&self.request);
        let options =
            table::read_strictly::<OptionFields, Fields>(&self.options).and_then(TrainOptions::checked);
        match (request, options) {
            (Ok(request), Ok(options)) if faults.is_empty() => Ok((request.into(), options)),
            (request, options) => {
                faults.extend(request.err().into_iter().chain(options.err()).flatten());
                Err(RequestError::in_body(faults))
            }
        }
    }
}

fn is_text(key: &str) -> bool {
    let of_type = |fields: Map<String, Value>| fields.get(key).is_some_and(|field| field["type"] == "string");
    of_type(Fields::properties()) || of_type(OptionFields::properties())
}

fn json_or_text(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::options::Scheduler;

    fn draft(settings: &[&str]) -> Draft {
        let mut draft = Draft::new(json!({"training_data_url": "a.zip", "rank": 8})).unwrap();
        settings.iter().for_each(|pair| draft.set(pair));
        draft
    }

    #[test]
    fn settings_override_the_request_and_the_last_one_counts() {
        let settings = ["rank=64", "rank=16", "learning_rate=1e-3", "training_data_url=b=c.zip", "seed=7"];
        let (request, options) = draft(&settings).check().unwrap();
        assert_eq!(request.rank().get(), 16);
        assert_eq!(request.learning_rate(), 1e-3);
        assert_eq!(request.training_data_url().as_str(), "b=c.zip");
        assert_eq!(options.seed(), 7);
    }

    #[test]
    fn a_text_field_takes_what_looks_like_json_as_text() {
        let (request, options) =
            draft(&["trigger_phrase=123", "scheduler=cosine", "auto_scale_input=true"]).check().unwrap();
        assert_eq!(request.trigger_phrase(), "123");
        assert_eq!(options.scheduler(), Scheduler::Cosine);
        assert!(request.auto_scale_input());
    }

    #[test]
    fn lists_are_set_as_json() {
        let sample = r#"validation=[{"prompt": "a fox", "video_url": "a.mp4", "mask_url": "a.png"}]"#;
        let (request, _) = draft(&[sample]).check().unwrap();
        assert_eq!(request.validation().len(), 1);
    }

    #[test]
    fn faults_of_settings_request_and_options_are_reported_together() {
        let error =
            draft(&["rank", "rank=7", "accumulation=0", "sed=1", "learning_rate=NaN"]).check().unwrap_err();
        let lines: Vec<String> = error.details().iter().map(Detail::to_string).collect();
        assert_eq!(
            lines,
            [
                "rank: must have the form KEY=VALUE, as in `rank=16`",
                "sed: unknown field of the request, the nearest known name is `seed`",
                "rank: must be one of 8, 16, 32, 64, 128, found 7",
                "learning_rate: must be a number, found \"NaN\"",
                "accumulation: must be at least 1, found 0",
            ],
        );
    }

    #[test]
    fn a_training_option_is_no_field_of_the_request() {
        let error = TrainRequest::from_json(&json!({"training_data_url": "a", "seed": 1})).unwrap_err();
        assert_eq!(error.details()[0].msg, "a training option, not a field of the request");
        assert!(Draft::new(json!([])).is_err());
    }
}
