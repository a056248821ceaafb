//! The guide's example request is a request.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper fails its test")]

use std::{collections::BTreeSet, fs, path::Path};

use inpaint_trainer::{Draft, TrainOptions, TrainRequest};
use serde_json::Value;

fn guide() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md")).unwrap()
}

/// The content of every fenced block of a language.
fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    guide.split(opening.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn the_example_request_is_accepted_and_asks_for_what_the_guide_says() {
    let guide = guide();
    let [request] = blocks(&guide, "json")[..] else { panic!("the guide has one request") };
    let json: Value = serde_json::from_str(request).expect("it is JSON");
    let (request, options) = Draft::new(json).unwrap().check().unwrap();
    assert!(guide.contains(&format!("{} units", request.estimated_units())), "its price is told");
    assert!(guide.contains(&request.estimated_units().price().to_string()), "its price is told");
    assert_eq!(options, TrainOptions::default(), "options are set on the command line");
    assert!(!request.validation().is_empty(), "it has previews");
}

#[test]
fn every_field_and_option_that_the_guide_names_exists() {
    let names = |json: Value| json.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let request = TrainRequest::from_json(&serde_json::json!({ "training_data_url": "a.zip" })).unwrap();
    let known: BTreeSet<String> =
        names(request.to_json()).into_iter().chain(names(TrainOptions::default().to_json())).collect();
    let guide = guide();
    let set = blocks(&guide, "sh").into_iter().flat_map(|block| block.split("--set ").skip(1));
    let set: Vec<&str> = set.map(|rest| rest.split('=').next().unwrap()).collect();
    assert!(set.len() > 1, "the guide sets options");
    for name in set {
        assert!(known.contains(name), "--set {name}");
    }
}
