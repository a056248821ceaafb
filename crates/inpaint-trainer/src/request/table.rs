//! One table of fields: from it come reading, defaults, writing, the schema and the nearest name.

use serde_json::{Map, Value, json};

use super::kind::Kind;
use crate::Detail;

/// A value, or every fault of it: at least one, with their places relative to the value.
pub(crate) type Checked<T> = Result<T, Vec<Detail>>;

/// A struct whose fields are those of a JSON object. Made by [`table!`].
pub(crate) trait Table: Sized {
    /// What a field is called in messages.
    const WHAT: &'static str;
    /// The fields' names.
    const NAMES: &'static [&'static str];

    /// Reads the fields, a missing one as its default, and passes over unknown ones.
    fn read(object: &Map<String, Value>) -> Checked<Self>;

    /// Every field, defaults too.
    fn write(&self) -> Map<String, Value>;

    /// The JSON Schema of each field.
    fn properties() -> Map<String, Value>;
}

/// Declares a struct with its table: `name: Type = how it is read`, described by its documentation.
macro_rules! table {
    ($(#[$meta:meta])* $vis:vis struct $name:ident: $what:literal {
        $($(#[doc = $about:literal])+ $field_vis:vis $field:ident: $type:ty = $kind:expr;)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $about])+ $field_vis $field: $type,)+
        }

        impl $crate::request::Table for $name {
            const WHAT: &'static str = $what;
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            fn read(object: &serde_json::Map<String, serde_json::Value>) -> $crate::request::Checked<Self> {
                let mut faults = Vec::new();
                $(let $field = $crate::request::field(object, stringify!($field), &$kind, &mut faults);)+
                let whole = || Some(Self { $($field: $field?,)+ });
                whole().ok_or(faults)
            }

            fn write(&self) -> serde_json::Map<String, serde_json::Value> {
                use $crate::request::Kind;
                let fields = [$((stringify!($field), $kind.write(&self.$field)),)+];
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }

            fn properties() -> serde_json::Map<String, serde_json::Value> {
                let fields = [$(
                    (stringify!($field), $crate::request::described::<$type, _>(&$kind, concat!($($about),+))),
                )+];
                fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
            }
        }
    };
}
pub(crate) use table;

/// Reads one field, or its default; adds to `faults` if it gives none.
pub(crate) fn field<K: Kind>(
    object: &Map<String, Value>,
    name: &str,
    kind: &K,
    faults: &mut Vec<Detail>,
) -> Option<K::Value> {
    let missing = || vec![Detail::new("missing", "missing-field", "field required")];
    let value = object.get(name).cloned().or_else(|| kind.default()).ok_or_else(missing);
    let read = value.and_then(|value| kind.read(&value));
    read.map_err(|found| faults.extend(found.into_iter().map(|fault| fault.within(name)))).ok()
}

/// The schema of one field with its default and what is said about it.
pub(crate) fn described<T, K: Kind<Value = T>>(kind: &K, about: &str) -> Value {
    let mut schema = kind.schema();
    schema["description"] = json!(about.trim());
    if let Some(default) = kind.default() {
        schema["default"] = default;
    }
    schema
}

/// Reads a whole object and refuses unknown fields, each with the nearest name in `T` or, if they may have been meant
/// for it, in `Beside`.
pub(crate) fn read_strictly<T: Table, Beside: Table>(object: &Map<String, Value>) -> Checked<T> {
    let is_unknown = |name: &&String| !T::NAMES.contains(&name.as_str());
    let mut faults: Vec<Detail> =
        object.keys().filter(is_unknown).map(|name| unknown::<T, Beside>(name)).collect();
    match T::read(object) {
        Ok(read) if faults.is_empty() => Ok(read),
        Ok(_) => Err(faults),
        Err(others) => {
            faults.extend(others);
            Err(faults)
        }
    }
}

/// The object that `value` is.
pub(crate) fn object(value: &Value) -> Checked<&Map<String, Value>> {
    let wrong = || vec![Detail::wrong_type("model_attributes_type", "an object", value)];
    value.as_object().ok_or_else(wrong)
}

/// The JSON Schema of an object with exactly the fields of `T`; those without a default are required.
pub(crate) fn schema<T: Table>() -> Value {
    let properties = T::properties();
    let required: Vec<&String> = properties
        .iter()
        .filter(|(_, schema)| schema.get("default").is_none())
        .map(|(name, _)| name)
        .collect();
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

/// Letters of an unknown name that are looked at and told: an answer does not repeat an upload.
const LONGEST_NAME: usize = 64;

fn unknown<T: Table, Beside: Table>(name: &str) -> Detail {
    let name = &match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    };
    let nearest = nearest(name, T::NAMES.iter().chain(Beside::NAMES)).unwrap_or_default();
    let msg = if nearest == name {
        format!("a {}, not a {}", Beside::WHAT, T::WHAT)
    } else {
        format!("unknown {}, the nearest known name is `{nearest}`", T::WHAT)
    };
    Detail::new("extra_forbidden", "unknown-field", msg).with("nearest", nearest).within(name.as_str())
}

/// The name most like `asked`: one that contains it as a whole, or shares the most letters in order.
fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a &'static str>) -> Option<&'static str> {
    let likeness = |name: &str| {
        let contained = f64::from(u8::from(asked.len() > 2 && name.contains(asked)));
        let typed = strsim::normalized_damerau_levenshtein(asked, name);
        contained + typed.max(strsim::sorensen_dice(asked, name))
    };
    names.copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{options::OptionFields, request::Fields};

    #[test]
    fn an_unknown_name_is_not_repeated_at_length() {
        let told = |name: &str| unknown::<Fields, OptionFields>(name).loc;
        assert_eq!(told(&"é".repeat(64)), ["é".repeat(64).as_str().into()]);
        assert_eq!(told(&"é".repeat(9000)), [format!("{}...", "é".repeat(64)).as_str().into()]);
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let names = Fields::NAMES;
        let meant = [
            ("rnak", "rank"),
            ("steps", "number_of_steps"),
            ("frames", "number_of_frames"),
            ("num_frames", "number_of_frames"),
            ("learning-rate", "learning_rate"),
            ("Resolution", "resolution"),
            ("fps_rate", "frame_rate"),
            ("trigger_word", "trigger_phrase"),
            ("negative_prompt", "validation_negative_prompt"),
            ("training_data", "training_data_url"),
        ];
        for (asked, name) in meant {
            assert_eq!(nearest(asked, names.iter()), Some(name), "{asked}");
        }
    }
}
