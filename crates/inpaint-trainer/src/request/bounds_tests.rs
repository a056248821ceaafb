//! The schema against the parser: defaults, bounds and choices.

use serde_json::{Map, Value, json};

use super::{
    NEGATIVE_PROMPT, TrainRequest,
    tests::{URL, request},
};
use crate::Detail;

/// Walks a schema: defaults, bounds and choices are accepted, and what lies one step beyond is refused for that reason.
pub(crate) fn check_bounds<T: std::fmt::Debug>(
    properties: &Map<String, Value>,
    read: impl Fn(&str, Value) -> Result<T, Box<Detail>>,
) {
    for (name, field) in properties {
        assert!(field["description"].is_string(), "{name}");
        for accepted in ["default", "minimum", "maximum"].iter().filter_map(|key| field.get(*key)) {
            assert!(read(name, accepted.clone()).is_ok(), "{name} = {accepted}");
        }
        for choice in field["enum"].as_array().into_iter().flatten() {
            assert!(read(name, choice.clone()).is_ok(), "{name} = {choice}");
        }
        for (beyond, r#type) in just_beyond(field) {
            let detail = read(name, beyond.clone()).unwrap_err();
            assert_eq!(detail.r#type, r#type, "{name} = {beyond}");
            assert_eq!(detail.loc, ["body".into(), name.as_str().into()]);
        }
    }
}

fn just_beyond(field: &Value) -> Vec<(Value, &'static str)> {
    let mut beyond = vec![(json!(null), ""), (json!({}), "")];
    let is_integer = field["type"] == "integer";
    let step = |bound: &Value, by: i128| match bound.as_number().and_then(serde_json::Number::as_i128) {
        Some(whole) if is_integer => serde_json::from_str(&(whole + by).to_string()).unwrap(),
        _ => json!(bound.as_f64().unwrap() * (1.0 + 1e-9 * by as f64) + 1e-12 * by as f64),
    };
    beyond.extend(field.get("minimum").map(|bound| (step(bound, -1), "greater_than_equal")));
    beyond.extend(field.get("maximum").map(|bound| (step(bound, 1), "less_than_equal")));
    beyond.extend(field.get("enum").map(|_| (json!("none such"), "literal_error")));
    let wrong_type = match field["type"].as_str() {
        Some("integer") => "int_type",
        Some("number") => "float_type",
        Some("boolean") => "bool_type",
        Some("string") => "string_type",
        Some("array") => "list_type",
        _ => "int_type",
    };
    for (_, r#type) in beyond.iter_mut().filter(|(_, r#type)| r#type.is_empty()) {
        *r#type = wrong_type;
    }
    beyond
}

#[test]
fn the_schema_says_what_the_parser_does() {
    let schema = TrainRequest::json_schema();
    let properties = schema["properties"].as_object().unwrap();
    let bounded = properties.values().filter(|field| field.get("minimum").is_some()).count();
    assert_eq!((properties.len(), bounded), (20, 8));
    assert_eq!(schema["required"], json!(["training_data_url"]));
    assert_eq!(schema["additionalProperties"], json!(false));
    check_bounds(properties, request);
}

#[test]
fn missing_fields_have_the_defaults_of_the_schema_and_these() {
    let written = TrainRequest::from_json(&json!({"training_data_url": URL})).unwrap().to_json();
    let schema = TrainRequest::json_schema();
    for (name, field) in schema["properties"].as_object().unwrap() {
        assert_eq!(written[name], *field.get("default").unwrap_or(&json!(URL)), "{name}");
    }
    let expected = json!({
        "training_data_url": URL, "trigger_phrase": "", "rank": 32, "number_of_steps": 2000,
        "learning_rate": 0.0002, "number_of_frames": 89, "frame_rate": 24, "resolution": "medium",
        "aspect_ratio": "1:1", "auto_scale_input": false, "split_input_into_scenes": false,
        "split_input_duration_threshold": 30.0, "validation": [], "validation_negative_prompt": NEGATIVE_PROMPT,
        "validation_number_of_frames": 89, "validation_frame_rate": 24, "validation_resolution": "high",
        "validation_aspect_ratio": "1:1", "stg_scale": 1.0, "debug_dataset": false,
    });
    assert_eq!(written, expected);
}

#[test]
fn the_ranges_are_the_services() {
    let ranges = [
        ("number_of_steps", 100.0, 20_000.0),
        ("learning_rate", 1e-6, 1.0),
        ("number_of_frames", 9.0, 121.0),
        ("frame_rate", 8.0, 60.0),
        ("split_input_duration_threshold", 1.0, 60.0),
        ("validation_number_of_frames", 9.0, 121.0),
        ("validation_frame_rate", 8.0, 60.0),
        ("stg_scale", 0.0, 3.0),
    ];
    for (name, min, max) in ranges {
        let field = &TrainRequest::json_schema()["properties"][name];
        assert_eq!((field["minimum"].as_f64(), field["maximum"].as_f64()), (Some(min), Some(max)), "{name}");
    }
}
