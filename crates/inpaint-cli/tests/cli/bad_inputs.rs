//! The sample archives of the whole project, as their manifest says.

use std::{collections::BTreeSet, fs};

use serde_json::{Map, Value};

use crate::sandbox::{Sandbox, assert_rejected, bad_inputs, each, kinds};

fn manifest() -> Value {
    serde_json::from_slice(&fs::read(bad_inputs("manifest.json")).unwrap()).unwrap()
}

/// The names that a case lists under `key`.
fn wanted<'a>(case: &'a Value, key: &str) -> BTreeSet<&'a str> {
    case[key].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect()
}

fn check(case: &Value, defaults: &Map<String, Value>) -> (i32, Value) {
    let path = bad_inputs(case["file"].as_str().unwrap());
    let mut request = defaults.clone();
    request.extend(case["request"].as_object().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings: Vec<String> = request.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    let mut args = vec!["check", path.to_str().unwrap()];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    Sandbox::new().json(&args)
}

fn assert_accepted(case: &Value, (code, answer): &(i32, Value)) {
    assert_eq!((*code, &answer["outcome"]), (0, &"accept".into()), "{answer}");
    assert_eq!(BTreeSet::from_iter(each(answer, "examples", "name")), wanted(case, "examples"), "{answer}");
    let dropped = BTreeSet::from_iter(each(answer, "dropped", "name"));
    assert_eq!(dropped, wanted(case, "dropped"), "{answer}");
    assert!(dropped.is_subset(&BTreeSet::from_iter(each(answer, "warnings", "name"))), "{answer}");
    assert_eq!(answer["detail"], Value::Array(Vec::new()));
}

#[test]
fn every_sample_archive_gets_the_answer_that_its_manifest_says() {
    let manifest = manifest();
    let cases = manifest["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let found = check(case, manifest["default_request"].as_object().unwrap());
        match case["expected"].as_str().unwrap() {
            "accept" | "drop-clip-with-warning" => assert_accepted(case, &found),
            "reject-422" => {
                assert_rejected(&found);
                assert_eq!(kinds(&found.1), [case["reason"].as_str().unwrap()], "{case}: {}", found.1);
            }
            other => panic!("{other} is no known outcome"),
        }
        assert_eq!(found.1["billable_units"], 0, "{case}");
        assert_eq!(found.1["estimated_units"], 2000, "{case}");
    }
}

#[test]
fn the_manifest_lists_every_sample_archive() {
    let manifest = manifest();
    let listed: BTreeSet<String> = each(&manifest, "cases", "file").into_iter().map(str::to_owned).collect();
    let files =
        fs::read_dir(bad_inputs("")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(listed, files.filter(|name| name.ends_with(".zip")).collect());
}

#[test]
fn an_example_says_what_is_taken_of_it() {
    let case = serde_json::json!({
        "file": "two-good-pairs.zip",
        "request": {"trigger_phrase": "SPARK", "number_of_frames": 9, "resolution": "low"},
    });
    let (_, answer) = check(&case, &Map::new());
    let kinds_of_mask = each(&answer, "examples", "mask");
    assert_eq!(kinds_of_mask, ["image", "video"]);
    let [first, second] = answer["examples"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert!(first["caption"].as_str().unwrap().starts_with("SPARK "), "{first}");
    assert_eq!(second["caption"], "SPARK", "it has no caption of its own");
    assert_eq!((&first["frames"], &second["frames"]), (&9.into(), &9.into()));
}
