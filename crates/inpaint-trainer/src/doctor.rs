//! What is worth saying of a dataset as a whole, before anyone pays for a run.

use crate::{ExampleReport, FitReport, TrainOptions, TrainRequest, Warning};

/// Fewer examples than this are said to be too few for a region to be learnt and not remembered.
const FEW: usize = 10;
/// A mean coverage above this looks like masks drawn the other way round.
const MOSTLY_WHITE: f64 = 0.6;
/// How many examples are named where several share a warning.
const NAMED: usize = 5;

/// How often the steps go over each of `examples`.
pub(crate) fn passes(request: &TrainRequest, options: &TrainOptions, examples: usize) -> f64 {
    let samples = f64::from(request.number_of_steps()) * f64::from(options.accumulation());
    samples / examples.max(1) as f64
}

/// What there is to say about all examples together, and about the prompts of the validation samples.
pub(crate) fn examine(request: &TrainRequest, report: &FitReport) -> Vec<Warning> {
    let examples = &report.examples;
    let dataset = |kind, message| Warning::new("dataset", kind, message);
    [
        few(examples).map(|message| dataset("few-examples", message)),
        mostly_white(examples).map(|message| dataset("mostly-white", message)),
        captions(request.trigger_phrase(), examples).map(|message| dataset("captions-missing", message)),
        trigger_twice(request.trigger_phrase(), examples)
            .map(|message| dataset("trigger-in-captions", message)),
        trigger_nowhere(request).map(|message| Warning::new("validation", "trigger-not-in-prompt", message)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn few(examples: &[ExampleReport]) -> Option<String> {
    let found = examples.len();
    (found < FEW)
        .then(|| format!("{}: at least {FEW} are advised, or the LoRA repeats them", count(found, "example")))
}

fn mostly_white(examples: &[ExampleReport]) -> Option<String> {
    let mean =
        examples.iter().map(|example| example.mask_coverage).sum::<f64>() / examples.len().max(1) as f64;
    (mean > MOSTLY_WHITE).then(|| {
        format!(
            "{:.0} % of all pixels are white, which means regenerate: are the masks drawn the other way round?",
            100.0 * mean
        )
    })
}

fn captions(trigger: &str, examples: &[ExampleReport]) -> Option<String> {
    let missing = names(examples, |example| !example.captioned);
    if missing.is_empty() {
        None
    } else if missing.len() < examples.len() {
        Some(format!(
            "{} of {} have no caption: {}",
            missing.len(),
            count(examples.len(), "example"),
            list(&missing)
        ))
    } else if trigger.trim().is_empty() {
        Some("there are no captions and there is no trigger phrase: every prompt is empty".to_owned())
    } else {
        None
    }
}

fn trigger_twice(trigger: &str, examples: &[ExampleReport]) -> Option<String> {
    let trigger = trigger.trim();
    if trigger.is_empty() {
        return None;
    }
    // The prompt begins with the trigger phrase; what matters is whether the caption after it has it, too.
    let repeats = |example: &ExampleReport| {
        let rest = example.caption.strip_prefix(trigger).unwrap_or(&example.caption);
        contains(rest, trigger)
    };
    let found = names(examples, repeats);
    (!found.is_empty()).then(|| {
        format!("the trigger phrase is put before every caption, and is in these already: {}", list(&found))
    })
}

fn trigger_nowhere(request: &TrainRequest) -> Option<String> {
    let trigger = request.trigger_phrase().trim();
    let lacking: Vec<String> = (request.validation().iter().enumerate())
        .filter(|(_, sample)| !contains(sample.prompt.as_str(), trigger))
        .map(|(index, _)| (index + 1).to_string())
        .collect();
    (!trigger.is_empty() && !lacking.is_empty()).then(|| {
        format!(
            "the trigger phrase is not in the prompt of sample {}: prompts of samples are taken as they are",
            lacking.join(" and ")
        )
    })
}

/// Whether `text` has `phrase` in it as whole words, in any case.
fn contains(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (text.to_lowercase(), phrase.to_lowercase());
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(&phrase).any(|(at, found)| {
        is_edge(text[..at].chars().next_back()) && is_edge(text[at + found.len()..].chars().next())
    })
}

fn names(examples: &[ExampleReport], is_meant: impl Fn(&ExampleReport) -> bool) -> Vec<&str> {
    examples.iter().filter(|example| is_meant(example)).map(|example| example.name.as_str()).collect()
}

fn list(names: &[&str]) -> String {
    let named = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn example(name: &str, caption: &str, captioned: bool, coverage: f64) -> ExampleReport {
        ExampleReport {
            name: name.to_owned(),
            caption: caption.to_owned(),
            captioned,
            frames: 9,
            source_frames: 30,
            source_frame_rate: 25.0,
            source_size: [64, 64],
            scene: None,
            frame_rate: 25.0,
            cropped: 0.0,
            mask: "image",
            mask_size: [64, 64],
            mask_grey: 0.0,
            mask_coverage: coverage,
            latent_coverage: coverage,
            warnings: Vec::new(),
        }
    }

    fn request(trigger: &str, prompts: &[&str]) -> TrainRequest {
        let sample = |prompt| json!({"prompt": prompt, "video_url": "a.mp4", "mask_url": "a.png"});
        let samples: Vec<Value> = prompts.iter().map(sample).collect();
        let body = json!({"training_data_url": "a.zip", "trigger_phrase": trigger, "validation": samples});
        TrainRequest::from_json(&body).unwrap()
    }

    /// Kinds and messages for ten examples after `change`.
    fn found(
        trigger: &str,
        prompts: &[&str],
        change: impl Fn(&mut Vec<ExampleReport>),
    ) -> Vec<(&'static str, String)> {
        let mut examples: Vec<_> = (0..FEW)
            .map(|i| example(&format!("clip{i}"), format!("{trigger} a fox").trim(), true, 0.3))
            .collect();
        change(&mut examples);
        let report = FitReport { examples, ..FitReport::default() };
        examine(&request(trigger, prompts), &report).into_iter().map(|w| (w.kind, w.message)).collect()
    }

    fn only(found: &[(&'static str, String)], kind: &str, part: &str) {
        assert!(found.len() == 1 && found[0].0 == kind && found[0].1.contains(part), "{found:?}");
    }

    #[test]
    fn ten_captioned_examples_need_no_word() {
        assert_eq!(found("SPARK", &["a SPARK in the dark", "spark!"], |_| ()), []);
        assert_eq!(found("", &["a fox"], |_| ()), []);
    }

    #[test]
    fn nine_are_few() {
        only(&found("", &[], |examples| drop(examples.pop())), "few-examples", "9 examples");
        only(&found("", &[], |examples| examples.truncate(1)), "few-examples", "1 example:");
    }

    #[test]
    fn a_dataset_mostly_white_may_be_the_other_way_round() {
        let white = |share: f64| {
            move |examples: &mut Vec<ExampleReport>| {
                examples.iter_mut().for_each(|example| example.mask_coverage = share);
            }
        };
        assert_eq!(found("", &[], white(0.6)), []);
        only(&found("", &[], white(0.61)), "mostly-white", "61 %");
    }

    #[test]
    fn missing_captions_are_named_unless_none_has_one() {
        let without = |n: usize| {
            move |examples: &mut Vec<ExampleReport>| {
                examples.iter_mut().take(n).for_each(|example| example.captioned = false);
            }
        };
        only(
            &found("SPARK", &[], without(1)),
            "captions-missing",
            "1 of 10 examples have no caption: `clip0`",
        );
        only(&found("SPARK", &[], without(7)), "captions-missing", "`clip4` and 2 more");
        assert_eq!(found("SPARK", &[], without(10)), [], "a trigger phrase alone is a way to train");
        only(&found("", &[], without(10)), "captions-missing", "every prompt is empty");
    }

    #[test]
    fn a_trigger_phrase_is_not_said_twice() {
        let twice = |caption: &'static str| {
            move |examples: &mut Vec<ExampleReport>| {
                examples[3].caption = format!("SPARK {caption}");
            }
        };
        only(&found("SPARK", &[], twice("a spark, red")), "trigger-in-captions", "`clip3`");
        assert_eq!(found("SPARK", &[], twice("a sparkling fox")), [], "part of a word is none");
    }

    #[test]
    fn prompts_of_samples_should_have_the_trigger_phrase() {
        only(&found("SPARK", &["a fox", "a SPARK"], |_| ()), "trigger-not-in-prompt", "sample 1:");
        only(&found("SPARK", &["a fox", "a hare"], |_| ()), "trigger-not-in-prompt", "sample 1 and 2:");
    }

    #[test]
    fn passes_are_samples_over_examples() {
        let request = request("", &[]);
        let options = TrainOptions::from_json(&json!({"accumulation": 3})).unwrap();
        assert_eq!(passes(&request, &options, 40), 150.0);
    }
}
