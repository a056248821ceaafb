//! What was asked.

use serde_json::{Map, Value};

use crate::{TrainOptions, TrainRequest, publish::without_secrets};

use super::{Page, html::Html};

/// A name and its value.
type Field = (String, Value);

/// Letters of a value.
const VALUE: usize = 600;

pub(super) fn section(html: &mut Html, page: &Page<'_>) {
    html.raw("<section id=\"request\"><h2>Request</h2>");
    let (asked, options) = (without_secrets(page.request), page.options.to_json());
    let usual = usual(&asked);
    let fields = |json: &Value| json.as_object().cloned().unwrap_or_default();
    let (own, rest) = split(fields(&asked), &usual);
    let (own_options, rest_options) = split(fields(&options), &TrainOptions::default().to_json());
    list(html, own.into_iter().chain(own_options));
    html.raw("<details><summary>What was left at its default</summary>");
    list(html, rest.into_iter().chain(rest_options));
    html.raw("</details></section>");
}

/// What a request for the same data says that asks for nothing else.
fn usual(asked: &Value) -> Value {
    let url = serde_json::json!({ "training_data_url": asked["training_data_url"] });
    TrainRequest::from_json(&url).map(|request| request.to_json()).unwrap_or_default()
}

/// The fields that differ from the usual ones, with what was to be said anyway, and the others.
fn split(fields: Map<String, Value>, usual: &Value) -> (Vec<Field>, Vec<Field>) {
    const ALWAYS: [&str; 6] =
        ["training_data_url", "trigger_phrase", "rank", "number_of_steps", "learning_rate", "seed"];
    fields.into_iter().partition(|(name, value)| ALWAYS.contains(&name.as_str()) || usual[name] != *value)
}

fn list(html: &mut Html, fields: impl Iterator<Item = Field>) {
    html.raw("<dl class=\"fields\">");
    for (name, value) in fields {
        html.raw("<div><dt>").text(name).raw("</dt><dd>");
        match value {
            Value::String(text) if text.is_empty() => html.raw("<span class=\"note\">none</span>"),
            Value::String(text) => html.user(&text, VALUE),
            Value::Array(list) if list.is_empty() => html.raw("<span class=\"note\">none</span>"),
            Value::Array(list) => {
                html.raw("<ol>");
                list.iter().for_each(|sample| sample_of(html, sample));
                html.raw("</ol>")
            }
            other => html.text(other),
        };
        html.raw("</dd></div>");
    }
    html.raw("</dl>");
}

/// A validation sample.
fn sample_of(html: &mut Html, sample: &Value) {
    html.raw("<li>");
    for (index, name) in ["prompt", "video_url", "mask_url"].into_iter().enumerate() {
        if index > 0 {
            html.raw("<br>");
        }
        html.raw("<span class=\"note\">").raw(name).raw("</span> ");
        html.user(sample[name].as_str().unwrap_or_default(), VALUE);
    }
    html.raw("</li>");
}
