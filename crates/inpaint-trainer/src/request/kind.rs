//! How the value of one field is read, written and described.

use std::fmt::Display;

use serde_json::{Value, json};

use super::Checked;
use crate::Detail;

/// How the value of one field is read, written and described.
pub(crate) trait Kind {
    /// What the field holds.
    type Value;

    /// What stands for a missing field; none: the field is required.
    fn default(&self) -> Option<Value>;

    /// Reads and checks a value.
    fn read(&self, input: &Value) -> Checked<Self::Value>;

    /// The value in JSON; [`read`](Self::read) gives it back.
    fn write(&self, value: &Self::Value) -> Value;

    /// The JSON Schema, without default and description.
    fn schema(&self) -> Value;
}

/// Any text.
pub(crate) struct Text {
    pub(crate) default: &'static str,
}

impl Kind for Text {
    type Value = String;

    fn default(&self) -> Option<Value> {
        Some(json!(self.default))
    }

    fn read(&self, input: &Value) -> Checked<String> {
        Ok(text(input)?.to_owned())
    }

    fn write(&self, value: &String) -> Value {
        json!(value)
    }

    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
}

/// True or false, and nothing that is like it.
pub(crate) struct Flag {
    pub(crate) default: bool,
}

impl Kind for Flag {
    type Value = bool;

    fn default(&self) -> Option<Value> {
        Some(json!(self.default))
    }

    fn read(&self, input: &Value) -> Checked<bool> {
        input.as_bool().ok_or_else(|| vec![Detail::wrong_type("bool_type", "true or false", input)])
    }

    fn write(&self, value: &bool) -> Value {
        json!(value)
    }

    fn schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

/// A whole number from `min` to `max`.
pub(crate) struct Int<T> {
    pub(crate) default: T,
    pub(crate) min: T,
    pub(crate) max: T,
}

impl<T: Copy + Into<u64> + TryFrom<u64>> Kind for Int<T> {
    type Value = T;

    fn default(&self) -> Option<Value> {
        Some(self.write(&self.default))
    }

    fn read(&self, input: &Value) -> Checked<T> {
        let (min, max): (u64, u64) = (self.min.into(), self.max.into());
        let number = whole(input)?;
        if number < i128::from(min) {
            return Err(below(min, input));
        }
        let number = u64::try_from(number).ok().filter(|number| *number <= max);
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| above(max, input))
    }

    fn write(&self, value: &T) -> Value {
        let number: u64 = (*value).into();
        json!(number)
    }

    fn schema(&self) -> Value {
        json!({"type": "integer", "minimum": self.min.into(), "maximum": self.max.into()})
    }
}

/// A finite number from `min` to `max`, which may be infinite: no bound.
pub(crate) struct Float {
    pub(crate) default: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Kind for Float {
    type Value = f64;

    fn default(&self) -> Option<Value> {
        Some(json!(self.default))
    }

    fn read(&self, input: &Value) -> Checked<f64> {
        match input.as_f64().filter(|number| number.is_finite()) {
            None => Err(vec![Detail::wrong_type("float_type", "a number", input)]),
            Some(number) if number < self.min => Err(below(self.min, input)),
            Some(number) if number > self.max => Err(above(self.max, input)),
            Some(number) => Ok(number),
        }
    }

    fn write(&self, value: &f64) -> Value {
        json!(value)
    }

    fn schema(&self) -> Value {
        let mut schema = json!({"type": "number", "minimum": self.min});
        if self.max.is_finite() {
            schema["maximum"] = json!(self.max);
        }
        schema
    }
}

/// One of a few names.
pub(crate) struct Choice<T: 'static> {
    pub(crate) default: T,
    pub(crate) of: &'static [(&'static str, T)],
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn default(&self) -> Option<Value> {
        Some(self.write(&self.default))
    }

    fn read(&self, input: &Value) -> Checked<T> {
        let asked = text(input)?;
        let choice = self.of.iter().find(|(name, _)| *name == asked);
        choice.map(|(_, value)| *value).ok_or_else(|| no_choice(self.of.iter().map(|(name, _)| name), input))
    }

    fn write(&self, value: &T) -> Value {
        json!(self.of.iter().find(|(_, known)| known == value).map(|(name, _)| name))
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "enum": self.of.iter().map(|(name, _)| *name).collect::<Vec<_>>()})
    }
}

/// The text that `input` is.
pub(crate) fn text(input: &Value) -> Result<&str, Vec<Detail>> {
    input.as_str().ok_or_else(|| vec![Detail::wrong_type("string_type", "a string", input)])
}

/// The whole number that `input` is, also if it is written as `32.0`; far outside every range it saturates.
pub(crate) fn whole(input: &Value) -> Checked<i128> {
    let Value::Number(number) = input else {
        return Err(vec![Detail::wrong_type("int_type", "a whole number", input)]);
    };
    match (number.as_i128(), number.as_f64()) {
        (Some(whole), _) => Ok(whole),
        (None, Some(float)) if float.fract() == 0.0 => Ok(float as i128),
        _ => Err(vec![Detail::wrong_type("int_from_float", "a whole number", input)]),
    }
}

/// A choice that does not exist.
pub(crate) fn no_choice(names: impl Iterator<Item = impl Display>, input: &Value) -> Vec<Detail> {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    let wanted = names.join(", ");
    vec![
        Detail::new("literal_error", "not-a-choice", format!("must be one of {wanted}"))
            .with("expected", names)
            .found(input),
    ]
}

fn below(min: impl Into<Value>, input: &Value) -> Vec<Detail> {
    out_of_range("greater_than_equal", "at least", "ge", min.into(), input)
}

fn above(max: impl Into<Value>, input: &Value) -> Vec<Detail> {
    out_of_range("less_than_equal", "at most", "le", max.into(), input)
}

fn out_of_range(r#type: &'static str, words: &str, fact: &str, bound: Value, input: &Value) -> Vec<Detail> {
    let msg = format!("must be {words} {bound}");
    vec![Detail::new(r#type, "out-of-range", msg).with(fact, bound).found(input)]
}
