//! Faults of a request, in the form of FastAPI's 422 bodies: one object a fault.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tensor_batch::{Blame, Fault, Stem};

/// One step of the way to a fault: a field's name or an element's index, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LocPart {
    /// A field.
    Name(String),
    /// An element of a list.
    Index(usize),
}

impl From<&str> for LocPart {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<usize> for LocPart {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// What programs read of a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ctx {
    /// The kind of the fault in kebab-case, such as `out-of-range`.
    pub kind: &'static str,
    /// What more is known, such as `ge`, `nearest` or the `name` of an example.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// One fault of a request or its data.
///
/// As JSON it is `{"loc": ["body", "rank"], "msg": "...", "type": "literal_error", "input": 48, "ctx": {"kind":
/// "not-a-choice", ...}}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    /// The way to the fault, from `body`.
    pub loc: Vec<LocPart>,
    /// What is wrong and what would be right.
    pub msg: String,
    /// The type of the fault in pydantic's words, such as `less_than_equal` or `value_error`.
    pub r#type: &'static str,
    /// The value at fault; left out where it is missing or long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The fault for programs.
    pub ctx: Ctx,
}

impl Detail {
    /// The fault that `error` reports, found at `loc`, such as `["body", "training_data_url"]`.
    pub fn of(loc: impl IntoIterator<Item = impl Into<LocPart>>, error: &(impl Blame + ?Sized)) -> Self {
        let mut msg = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            msg = format!("{msg}: {cause}");
            source = cause.source();
        }
        let detail = Self::new("value_error", error.kind(), one_line(&msg));
        Self { loc: loc.into_iter().map(Into::into).collect(), ..detail }
    }

    /// Adds a fact for programs, such as the `name` of the example at fault.
    #[must_use]
    pub fn with(mut self, fact: &str, value: impl Into<Value>) -> Self {
        self.ctx.facts.insert(fact.to_owned(), value.into());
        self
    }

    /// A fault whose place is not known yet.
    pub(crate) fn new(r#type: &'static str, kind: &'static str, msg: impl Into<String>) -> Self {
        Self { loc: Vec::new(), msg: msg.into(), r#type, input: None, ctx: Ctx { kind, facts: Map::new() } }
    }

    /// A value that is not of the wanted type.
    pub(crate) fn wrong_type(r#type: &'static str, wanted: &str, found: &Value) -> Self {
        Self::new(r#type, "wrong-type", format!("must be {wanted}")).found(found)
    }

    /// Shows the value at fault, unless it is long: an answer does not repeat an upload.
    pub(crate) fn found(mut self, value: &Value) -> Self {
        let short = match value {
            Value::String(text) => text.len() <= 256,
            Value::Array(_) | Value::Object(_) => false,
            _ => true,
        };
        self.input = short.then(|| value.clone());
        self
    }

    /// Moves the fault one step inwards: it was found within `part`.
    pub(crate) fn within(mut self, part: impl Into<LocPart>) -> Self {
        self.loc.insert(0, part.into());
        self
    }
}

/// Decoders may write several lines, with anything in them that a file says of itself.
fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Stem::new(lines.join(" ")).to_string()
}

/// One line for people, as in `validation[0].prompt: must be a string, found 7`. What the user wrote is escaped, so
/// that it cannot write to a terminal.
impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = String::new();
        for part in self.loc.iter().filter(|part| **part != LocPart::from("body")) {
            match part {
                LocPart::Index(index) => place.push_str(&format!("[{index}]")),
                LocPart::Name(name) if place.is_empty() => place.push_str(name),
                LocPart::Name(name) => place.push_str(&format!(".{name}")),
            }
        }
        if !place.is_empty() {
            write!(f, "{}: ", Stem::new(place))?;
        }
        write!(f, "{}", self.msg)?;
        match &self.input {
            Some(input) => write!(f, ", found {}", Stem::new(input.to_string())),
            None => Ok(()),
        }
    }
}

/// All faults of a request, at least one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("invalid request: {}", .0.iter().map(Detail::to_string).collect::<Vec<_>>().join("; "))]
pub struct RequestError(Vec<Detail>);

impl RequestError {
    /// The faults, in the order of the fields.
    pub fn details(&self) -> &[Detail] {
        &self.0
    }

    /// These faults, each found in the request's body.
    pub(crate) fn in_body(details: Vec<Detail>) -> Self {
        Self(details.into_iter().map(|detail| detail.within("body")).collect())
    }
}

impl Blame for RequestError {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        "invalid-request"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("clip `a` cannot be read")]
    struct Unreadable(#[source] std::fmt::Error);

    impl Blame for Unreadable {
        fn fault(&self) -> Fault {
            Fault::Request
        }

        fn kind(&self) -> &'static str {
            "unreadable-clip"
        }
    }

    #[test]
    fn any_error_with_blame_becomes_a_detail_with_its_causes() {
        let error: Box<dyn Blame> = Box::new(Unreadable(std::fmt::Error));
        let detail = Detail::of(["body", "training_data_url"], error.as_ref()).with("name", "a");
        let msg = format!("clip `a` cannot be read: {}", std::fmt::Error);
        assert_eq!(
            serde_json::to_value(&detail).unwrap(),
            json!({
                "loc": ["body", "training_data_url"], "msg": msg, "type": "value_error",
                "ctx": {"kind": "unreadable-clip", "name": "a"},
            }),
        );
    }

    #[test]
    fn what_a_decoder_says_is_one_line_without_control_characters() {
        assert_eq!(
            one_line("bad marker\n: two bytes, \u{1b}[2J found\r\n\n"),
            "bad marker : two bytes, \\u{1b}[2J found"
        );
    }

    #[test]
    fn a_line_names_the_place_and_the_value_and_escapes_both() {
        let detail = Detail::wrong_type("string_type", "a string", &json!(7)).within("prompt").within(0);
        let detail = detail.within("validation").within("body");
        assert_eq!(detail.to_string(), "validation[0].prompt: must be a string, found 7");
        let hostile = Detail::new("x", "x", "wrong").found(&json!("\u{9b}2J")).within("\u{1b}[2J");
        assert_eq!(hostile.to_string(), "\\u{1b}[2J: wrong, found \"\\u{9b}2J\"");
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let found = |value| Detail::new("x", "x", "wrong").found(&value).input;
        assert_eq!(found(json!("short")), Some(json!("short")));
        assert_eq!(found(json!(null)), Some(json!(null)));
        assert_eq!(found(json!("x".repeat(257))), None);
        assert_eq!(found(json!([1])), None);
    }
}
