//! The target `request`: requests and training options are read from JSON.

use inpaint_trainer::{Detail, LocPart, RequestError, TrainOptions, TrainRequest};
use serde_json::{Map, Number, Value, json};

use super::{
    bytes::havoc,
    judge::{self, Answer, Flaw, Verdict, holds},
    random::Random,
    target::{Input, Place, Target},
};

pub(super) struct RequestTarget;

impl Target for RequestTarget {
    fn good(&self) -> Vec<Input> {
        vec![Input::new("json", good().to_string())]
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        let mut document = good();
        for _ in 0..random.few(4) {
            spoil(&mut document, random);
        }
        let mut text = document.to_string().into_bytes();
        if random.chance(10) {
            havoc(&mut text, random);
        }
        Input::new("json", text)
    }

    fn run(&self, input: &Input, _at: &Place) -> Verdict {
        // What is no JSON does not get as far as here.
        let Ok(document) = serde_json::from_slice::<Value>(&input.bytes) else {
            return Ok(Answer::rejected("no-json"));
        };
        let request = TrainRequest::from_json(&document["request"]);
        let options = TrainOptions::from_json(&document["options"]);
        if let Ok(request) = &request {
            // Frame counts are snapped once: what is written is what is used.
            let (written, again) = (request.to_json(), TrainRequest::from_json(&request.to_json()));
            let same = again.as_ref().is_ok_and(|again| again.to_json() == written);
            holds(same, || format!("{written} is read back as {again:?}"))?;
        }
        if let Ok(options) = &options {
            let again = TrainOptions::from_json(&options.to_json());
            holds(again.as_ref() == Ok(options), || format!("{options:?} is read back as {again:?}"))?;
        }
        let faults = [request.err(), options.err()];
        faults.iter().flatten().try_for_each(told)?;
        let first = faults.iter().flatten().flat_map(RequestError::details).next();
        Ok(first.map_or(Answer::Accepted, |fault| Answer::rejected(fault.ctx.kind)))
    }
}

/// Judges every fault of a request, as a list for programs and in lines for people.
fn told(error: &RequestError) -> Result<(), Flaw> {
    holds(!error.details().is_empty(), || "a request was rejected without a fault".to_owned())?;
    error.details().iter().try_for_each(|detail| {
        fault(detail)?;
        let in_body = detail.loc.first() == Some(&LocPart::from("body"));
        holds(in_body, || format!("a fault lies outside the body: {detail:?}"))
    })
}

/// Judges one fault.
pub(super) fn fault(detail: &Detail) -> Result<(), Flaw> {
    judge::fault(detail.ctx.kind, &detail.msg)?;
    judge::shown(&detail.to_string())
}

/// Every field, with a value that it may have.
fn good() -> Value {
    let sample = json!({"prompt": "a red fox", "video_url": "fox.mp4", "mask_url": "https://host/fox.png"});
    let fields = json!({
        "training_data_url": "clips.zip", "trigger_phrase": "zebra", "rank": 16, "number_of_steps": 200,
        "learning_rate": 2e-4, "number_of_frames": 89, "frame_rate": 24, "resolution": "low",
        "aspect_ratio": "1:1", "auto_scale_input": true, "validation": [sample],
    });
    let whole = TrainRequest::from_json(&fields).map(|request| request.to_json());
    json!({"request": whole.unwrap_or(fields), "options": TrainOptions::default().to_json()})
}

/// Changes one value, or adds, renames or removes one.
fn spoil(document: &mut Value, random: &mut Random) {
    match inner(document, random) {
        Value::Object(fields) if random.chance(60) => fields_changed(fields, random),
        Value::Array(list) if random.chance(60) => {
            let element = list.first().cloned().unwrap_or_else(|| any_value(random));
            list.extend(vec![element; random.few(20)]);
        }
        value => *value = changed(value, random),
    }
}

/// A value somewhere in the document.
fn inner<'a>(value: &'a mut Value, random: &mut Random) -> &'a mut Value {
    let size = value.as_object().map(Map::len).or(value.as_array().map(Vec::len)).unwrap_or(0);
    if size == 0 || random.chance(10) {
        return value;
    }
    let chosen = random.below(size);
    let name = value.as_object().and_then(|fields| fields.keys().nth(chosen)).cloned();
    match name {
        Some(name) => inner(&mut value[name], random),
        None => inner(&mut value[chosen], random),
    }
}

fn fields_changed(fields: &mut Map<String, Value>, random: &mut Random) {
    let name = fields.keys().nth(random.below(fields.len())).cloned().unwrap_or_default();
    match random.below(4) {
        0 => drop(fields.remove(&name)),
        1 => drop(fields.insert(any_text(random), any_value(random))),
        2 => {
            let value = fields.remove(&name).unwrap_or_default();
            let mut name = name.into_bytes();
            havoc(&mut name, random);
            fields.insert(String::from_utf8_lossy(&name).into_owned(), value);
        }
        _ => drop(fields.insert(name, any_value(random))),
    }
}

/// A value like this one, at an edge or beyond it; or any other.
fn changed(value: &Value, random: &mut Random) -> Value {
    match value {
        Value::Number(number) if random.chance(60) => {
            let number = number.as_f64().unwrap_or_default();
            let factor = random.pick(&[0.0, 0.5, 0.999, 1.001, 2.0, -1.0, 1e9, 1e300]);
            json!(number * factor)
        }
        Value::String(text) if random.chance(60) => {
            let mut text = text.clone().into_bytes();
            havoc(&mut text, random);
            json!(String::from_utf8_lossy(&text))
        }
        Value::Bool(flag) if random.chance(60) => json!(!flag),
        _ => any_value(random),
    }
}

fn any_value(random: &mut Random) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => json!(random.chance(50)),
        2 => json!(random.number(8)),
        3 => json!(random.number(8) as i64),
        4 => Number::from_f64(f64::from_bits(random.bits())).map_or(json!(0.1), Value::Number),
        5 => json!([]),
        6 => json!({}),
        7 => nested(random.few(140), random),
        _ => json!(any_text(random)),
    }
}

/// Lists and objects inside each other.
fn nested(depth: usize, random: &mut Random) -> Value {
    (0..depth)
        .fold(Value::Null, |inner, _| if random.chance(50) { json!([inner]) } else { json!({"a": inner}) })
}

fn any_text(random: &mut Random) -> String {
    const TEXTS: [&str; 22] = [
        "",
        " ",
        "rnak",
        "medium",
        "16:9",
        "32",
        "089",
        "1e400",
        "NaN",
        "cover",
        "\u{1b}[2J\u{9b}0m",
        "\u{202e}gpj.exe",
        "a\0b",
        "e\u{301}",
        "file:///etc/passwd",
        "file://%00",
        "http://[::1",
        "https://user:pass@host:99999/a?b#c",
        "data:text/plain,x",
        "../../../../../etc/passwd",
        "{\"a\": 1}",
        "training_data_url",
    ];
    let text = random.pick(&TEXTS).to_owned();
    if random.chance(10) { text.repeat(random.few(30_000)) } else { text }
}
