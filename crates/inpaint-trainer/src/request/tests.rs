//! What requests are accepted, and what is said of the others.

use proptest::prelude::*;
use serde_json::{Value, json};
use tensor_batch::{Blame, Fault};

use super::*;
use crate::Detail;

pub(super) const URL: &str = "https://host/clips.zip";

pub(super) fn request(name: &str, value: Value) -> Result<TrainRequest, Box<Detail>> {
    let mut body = json!({"training_data_url": URL});
    body[name] = value;
    TrainRequest::from_json(&body).map_err(|error| {
        assert_eq!(error.details().len(), 1, "{error}");
        Box::new(error.details()[0].clone())
    })
}

#[test]
fn ranks_are_numbers_or_strings_and_no_others_exist() {
    for rank in [json!(64), json!("64"), json!(64.0)] {
        assert_eq!(request("rank", rank).unwrap().rank(), Rank::R64);
    }
    for wrong in [json!(48), json!(32.5), json!("032"), json!("+8"), json!(""), json!(-8), json!(1e300)] {
        let detail = request("rank", wrong.clone()).unwrap_err();
        assert_eq!((detail.r#type, detail.ctx.kind), ("literal_error", "not-a-choice"), "{wrong}");
    }
}

#[test]
fn a_whole_number_may_be_written_as_a_float_and_nothing_else() {
    assert_eq!(request("number_of_steps", json!(300.0)).unwrap().number_of_steps(), 300);
    let wrong = [
        (json!(300.5), "int_from_float"),
        (json!("300"), "int_type"),
        (json!(true), "int_type"),
        (json!(-1), "greater_than_equal"),
        (json!(1e300), "less_than_equal"),
        (json!(-1e300), "greater_than_equal"),
        (json!(u64::MAX), "less_than_equal"),
    ];
    for (value, r#type) in wrong {
        assert_eq!(request("number_of_steps", value.clone()).unwrap_err().r#type, r#type, "{value}");
    }
}

#[test]
fn booleans_are_strict_and_floats_are_numbers() {
    for wrong in [json!(1), json!("true"), json!(0.0)] {
        assert_eq!(request("debug_dataset", wrong).unwrap_err().r#type, "bool_type");
    }
    for wrong in [json!("NaN"), json!("0.1"), json!(true), json!(f64::NAN), json!(f64::INFINITY)] {
        assert_eq!(request("learning_rate", wrong).unwrap_err().r#type, "float_type");
    }
    assert_eq!(request("learning_rate", json!(1)).unwrap().learning_rate(), 1.0);
}

#[test]
fn a_snapped_frame_count_is_reported_with_both_counts() {
    let request = request("number_of_frames", json!(96)).unwrap();
    assert_eq!(request.bucket().to_string(), "768x768x89");
    let warnings = request.warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].asked, warnings[0].used.get()), (96, 89));
    assert_eq!(warnings[0].to_string(), "number_of_frames 96 is snapped down to 89: a clip has 8k+1 frames");
}

#[test]
fn sizes_follow_resolution_and_aspect_ratio() {
    let body = json!({
        "training_data_url": URL, "resolution": "low", "aspect_ratio": "16:9", "number_of_frames": 25,
        "validation_aspect_ratio": "9:16", "validation_number_of_frames": 20,
    });
    let request = TrainRequest::from_json(&body).unwrap();
    assert_eq!(request.bucket().to_string(), "512x288x25");
    assert_eq!(request.validation_bucket().to_string(), "544x960x17");

    let small: Bucket = "64x32x9".parse().unwrap();
    let request = request.with_bucket(small);
    assert_eq!((request.bucket(), request.validation_bucket()), (small, small));
    assert_eq!(request.warnings(), []);
}

#[test]
fn clips_are_cut_into_scenes_above_a_threshold_and_only_if_asked() {
    let above = |name, value| request(name, value).unwrap().scenes_above();
    assert_eq!(above("split_input_duration_threshold", json!(12.5)), None);
    assert_eq!(above("split_input_into_scenes", json!(true)), Some(30.0));
}

#[test]
fn data_must_be_somewhere() {
    let kind = |body| TrainRequest::from_json(&body).unwrap_err().details()[0].clone();
    let missing = kind(json!({}));
    assert_eq!((missing.r#type, missing.ctx.kind, missing.input), ("missing", "missing-field", None));
    assert_eq!(kind(json!({"training_data_url": " "})).ctx.kind, "missing-field");
    assert_eq!(kind(json!({"training_data_url": "ftp://host/a.zip"})).ctx.kind, "bad-url");
    for wrong in [json!(null), json!([]), json!("text"), json!(1)] {
        assert_eq!(kind(wrong).ctx.kind, "wrong-type");
    }
}

#[test]
fn all_faults_are_reported_together() {
    let body = json!({
        "rank": 48, "number_of_steps": 99, "learning_rate": 2, "frame_rate": "24", "rnak": 8,
        "validation": [{"prompt": " ", "mask": "m.png", "video_url": "gopher://host"}, 7, {}],
    });
    let error = TrainRequest::from_json(&body).unwrap_err();
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "invalid-request"));
    let lines: Vec<String> = error.details().iter().map(Detail::to_string).collect();
    assert_eq!(
        lines,
        [
            "rnak: unknown field of the request, the nearest known name is `rank`",
            "training_data_url: field required",
            "rank: must be one of 8, 16, 32, 64, 128, found 48",
            "number_of_steps: must be at least 100, found 99",
            "learning_rate: must be at most 1.0, found 2",
            "frame_rate: must be a whole number, found \"24\"",
            "validation: must be at most 2 samples, found 3",
            "validation[0].mask: unknown field of a validation sample, the nearest known name is `mask_url`",
            "validation[0].prompt: must not be blank, found \" \"",
            "validation[0].video_url: must be an http, https or file URL or a path, the scheme `gopher` is not \
             supported, found \"gopher://host\"",
            "validation[0].mask_url: field required",
            "validation[1]: must be an object, found 7",
        ],
    );
    assert_eq!(error.to_string(), format!("invalid request: {}", lines.join("; ")));
}

#[test]
fn a_fault_looks_like_one_of_fastapi() {
    let body = json!({"training_data_url": URL, "validation": [{}, {}], "number_of_steps": 20_001});
    let error = TrainRequest::from_json(&body).unwrap_err();
    assert_eq!(
        serde_json::to_value(&error.details()[..2]).unwrap(),
        json!([
            {
                "loc": ["body", "number_of_steps"], "msg": "must be at most 20000", "type": "less_than_equal",
                "input": 20_001, "ctx": {"kind": "out-of-range", "le": 20_000},
            },
            {
                "loc": ["body", "validation", 0, "prompt"], "msg": "field required", "type": "missing",
                "ctx": {"kind": "missing-field"},
            },
        ]),
    );
}

#[test]
fn a_request_reads_what_it_writes() {
    let body = json!({
        "training_data_url": "file:///my%20clips.zip", "trigger_phrase": "zebra ", "rank": "128",
        "number_of_steps": 100, "learning_rate": 1e-6, "number_of_frames": 120, "frame_rate": 8.0,
        "resolution": "low", "aspect_ratio": "9:16", "auto_scale_input": true,
        "validation": [{"prompt": "a fox", "video_url": "https://host/a.mp4", "mask_url": "a.png"}],
        "validation_resolution": "low", "stg_scale": 0, "debug_dataset": true,
    });
    let written = serde_json::to_string(&TrainRequest::from_json(&body).unwrap()).unwrap();
    let read: TrainRequest = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
    assert_eq!(read.training_data_url().as_str(), "/my clips.zip");
    assert_eq!(read.bucket().to_string(), "288x512x113");
    assert_eq!(read.validation()[0].mask_url.as_str(), "a.png");
    assert!(serde_json::from_str::<TrainRequest>("{}").is_err());
}

#[test]
fn units_are_the_steps() {
    assert_eq!(request("number_of_steps", json!(150)).unwrap().estimated_units().get(), 150);
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "(http|https|file|C):/{0,3}[%@:. a-z0-9/]{0,8}".prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 24, 6, |inner| {
        let key = prop_oneof!["\\PC{0,12}", proptest::sample::select(Fields::NAMES).prop_map(str::to_owned)];
        let nested = proptest::sample::select(ValidationSample::NAMES).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner.clone(), 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            proptest::collection::btree_map(nested, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_is_a_panic_and_every_rejection_has_a_reason(body in any_json()) {
        if let Err(error) = TrainRequest::from_json(&body) {
            prop_assert!(!error.details().is_empty());
            prop_assert!(error.details().iter().all(|detail| detail.loc[0] == "body".into()));
        }
    }

    #[test]
    fn what_one_field_accepts_is_written_and_read_again(
        name in proptest::sample::select(Fields::NAMES),
        value in any_json(),
        pair in "\\PC{0,30}",
    ) {
        let mut body = json!({"training_data_url": URL});
        body[name] = value;
        if let Ok(request) = TrainRequest::from_json(&body) {
            let written = request.to_json();
            prop_assert_eq!(TrainRequest::from_json(&written).unwrap().to_json(), written);
        }
        let mut draft = Draft::new(body).unwrap();
        draft.set(&pair);
        let _ = draft.check();
    }
}
