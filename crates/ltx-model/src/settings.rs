//! Reading a configuration section: unknown keys are ignored, every unusable value is noted.

use serde_json::Value;

use crate::Setting;

/// One section of a checkpoint's configuration, read key by key.
pub(crate) struct Settings<'a> {
    section: String,
    values: &'a Value,
    faults: Vec<Setting>,
}

impl<'a> Settings<'a> {
    pub(crate) fn new(section: impl Into<String>, values: &'a Value) -> Self {
        Self { section: section.into(), values, faults: Vec::new() }
    }

    /// The value of `key`, where `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Notes that `key` should be something else.
    pub(crate) fn refuse(&mut self, key: &str, wanted: impl ToString) {
        let found = self.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
        self.note(key, found, wanted);
    }

    /// Notes that what was `found` at `key` should be something else.
    pub(crate) fn note(&mut self, key: &str, found: impl ToString, wanted: impl ToString) {
        let key = format!("{}.{key}", self.section);
        self.faults.push(Setting { key, found: found.to_string(), wanted: wanted.to_string() });
    }

    /// Adds what was noted elsewhere.
    pub(crate) fn extend(&mut self, faults: Vec<Setting>) {
        self.faults.extend(faults);
    }

    /// True or false.
    pub(crate) fn flag(&mut self, key: &str, absent: bool) -> bool {
        let Some(value) = self.get(key) else { return absent };
        value.as_bool().unwrap_or_else(|| {
            self.refuse(key, "true or false");
            absent
        })
    }

    /// A number above 0 and at most `2^20`; 1000 and 1000.0 are the same.
    pub(crate) fn count(&mut self, key: &str, absent: usize) -> usize {
        let Some(value) = self.get(key) else { return absent };
        match value.as_f64() {
            Some(number) if number.fract() == 0.0 && (1.0..=1_048_576.0).contains(&number) => number as usize,
            _ => {
                self.refuse(key, "a whole number above 0");
                absent.max(1)
            }
        }
    }

    /// A finite number above 0.
    pub(crate) fn positive(&mut self, key: &str, absent: f64) -> f64 {
        let Some(value) = self.get(key) else { return absent };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => number,
            _ => {
                self.refuse(key, "a number above 0");
                absent
            }
        }
    }

    /// A list of `N` numbers above 0.
    pub(crate) fn positives<const N: usize>(&mut self, key: &str, absent: [f64; N]) -> [f64; N] {
        let Some(value) = self.get(key) else { return absent };
        let numbers: Option<Vec<f64>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        match numbers.filter(|list| list.iter().all(|n| *n > 0.0)).and_then(|list| list.try_into().ok()) {
            Some(numbers) => numbers,
            None => {
                self.refuse(key, format!("a list of {N} numbers above 0"));
                absent
            }
        }
    }

    /// `key` must be `wanted`; `absent` says what its absence means.
    pub(crate) fn require(&mut self, key: &str, wanted: impl Into<Value>, absent: impl Into<Value>) {
        let (wanted, absent) = (wanted.into(), absent.into());
        let found = self.get(key).unwrap_or(&absent);
        if !same(found, &wanted) {
            self.refuse(key, wanted);
        }
    }

    /// Everything that was refused.
    pub(crate) fn faults(self) -> Vec<Setting> {
        self.faults
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_may_be_whole_or_float() {
        let values = json!({"a": 1000.0, "b": 1000, "c": 1.5, "d": -1, "e": [20, 2048.0], "f": null});
        let mut settings = Settings::new("transformer", &values);
        assert_eq!((settings.count("a", 1), settings.count("b", 1)), (1000, 1000));
        assert_eq!(settings.positives("e", [1.0, 1.0]), [20.0, 2048.0]);
        assert_eq!(settings.count("f", 7), 7);
        settings.count("c", 1);
        settings.count("d", 1);
        settings.positives("e", [1.0; 3]);
        let refused: Vec<_> = settings.faults().into_iter().map(|fault| fault.key).collect();
        assert_eq!(refused, ["transformer.c", "transformer.d", "transformer.e"]);
    }

    #[test]
    fn an_absent_key_has_a_meaning() {
        let values = json!({});
        let mut settings = Settings::new("transformer", &values);
        settings.require("ff_bias", true, true);
        settings.require("apply_gated_attention", true, false);
        let faults = settings.faults();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_string(), "transformer.apply_gated_attention is absent, expected true");
    }
}
