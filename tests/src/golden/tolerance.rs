//! How far a result may be from its golden value, as an index says it.
//!
//! A tolerance is an object of metrics, `{"abs": 1e-5}`, or of patterns that lead to such objects:
//! `{"grad/*": {"rel_rms": 1e-4}, "default": {"abs": 1e-5}}`. A pattern lists alternatives with `|`, and `*` stands
//! for anything.

use std::path::Path;

use serde_json::{Map, Value};

use super::{GoldenError, Metric, Values};

/// Patterns that stand for every tensor that no other pattern names.
const FALLBACKS: [&str; 2] = ["default", "all"];

/// One metric with the largest error that passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The metric.
    pub metric: Metric,
    /// The largest error that passes.
    pub tolerance: f64,
}

/// The limits that a tensor must keep, all of them.
pub type Rule = Vec<Limit>;

/// The tolerance of a case: patterns and their rules. The empty pattern stands for a rule without one.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerance(Vec<(String, Rule)>);

impl Tolerance {
    /// Reads the `tolerance` of an index entry; without one, results must be equal. `index` is named in errors.
    pub fn read(value: Option<&Value>, index: &Path) -> Result<Self, GoldenError> {
        let wrong = |found: &Value| GoldenError::format(index, found.to_string(), "a tolerance as an object");
        let Some(value) = value else {
            return Ok(Self(vec![(String::new(), vec![Limit { metric: Metric::Abs, tolerance: 0.0 }])]));
        };
        let object = value.as_object().ok_or_else(|| wrong(value))?;
        if object.keys().any(|key| Metric::named(key).is_some()) {
            return Ok(Self(vec![(String::new(), rule(object, index)?)]));
        }
        let pair = |(pattern, value): (&String, &Value)| {
            let metrics = value.as_object().ok_or_else(|| wrong(value))?;
            Ok((pattern.clone(), rule(metrics, index)?))
        };
        Ok(Self(object.iter().map(pair).collect::<Result<_, _>>()?))
    }

    /// The pattern that applies to a tensor, and its rule: the most literal pattern that fits the name, else one
    /// that names the type, else a fallback, else the only rule there is; none if the tensor is not compared.
    pub fn rule(&self, name: &str, golden: &Values) -> Option<(&str, &[Limit])> {
        let named = self.0.iter().filter_map(|pair| Some((fit(&pair.0, name)?, pair)));
        let named = named.max_by_key(|(literal, _)| *literal).map(|(_, pair)| pair);
        let one_of = |words: &[&str]| self.0.iter().find(|(pattern, _)| words.contains(&pattern.as_str()));
        let found = named.or_else(|| one_of(golden.type_names())).or_else(|| one_of(&FALLBACKS));
        let (pattern, rule) = found.or_else(|| self.0.first().filter(|_| self.0.len() == 1))?;
        Some((pattern, rule))
    }
}

fn rule(metrics: &Map<String, Value>, index: &Path) -> Result<Rule, GoldenError> {
    let known = Metric::ALL.map(Metric::name).join(", ");
    let mut limits = Rule::new();
    for (name, value) in metrics.iter().filter(|(_, value)| !value.is_string()) {
        let metric = Metric::named(name);
        let tolerance = value.as_f64().or_else(|| (value == &Value::Bool(true)).then_some(0.0));
        let (Some(metric), Some(tolerance)) = (metric, tolerance) else {
            let found = format!("the tolerance `{name}`: {value}");
            return Err(GoldenError::format(index, found, format!("a number for one of {known}")));
        };
        limits.push(Limit { metric, tolerance });
    }
    if limits.is_empty() {
        return Err(GoldenError::format(index, "a tolerance without a metric", format!("one of {known}")));
    }
    Ok(limits)
}

/// How many literal characters the best alternative that fits has, none if no alternative fits.
fn fit(pattern: &str, name: &str) -> Option<usize> {
    let fitting = pattern.split('|').filter(|alternative| matches(alternative, name));
    fitting.map(|alternative| alternative.chars().filter(|c| *c != '*').count()).max()
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Tolerance, GoldenError> {
        Tolerance::read(Some(&value), Path::new("index.json"))
    }

    fn limit_of(tolerance: &Tolerance, name: &str) -> Option<f64> {
        tolerance.rule(name, &Values::F32(Vec::new())).map(|(_, rule)| rule[0].tolerance)
    }

    #[test]
    fn globs_match_any_run_of_characters() {
        assert!(matches("cos_*", "cos_tiny"));
        assert!(matches("*/final/*", "linear/final/blocks.0/a"));
        assert!(matches("*_step0", "cond_step0"));
        assert!(matches("a*b*c", "a--b--b--c"));
        assert!(matches("*", ""));
        assert!(!matches("cos_*", "acos_tiny"));
        assert!(!matches("*_step0", "cond_step01"));
        assert!(!matches("loss", "loss_mask"));
    }

    #[test]
    fn a_direct_tolerance_holds_for_every_tensor() {
        let tolerance = read(json!({"rel_to_max": 1e-4, "note": "text"})).unwrap();
        let (pattern, rule) = tolerance.rule("anything", &Values::U8(Vec::new())).unwrap();
        assert_eq!((pattern, rule), ("", [Limit { metric: Metric::RelToMax, tolerance: 1e-4 }].as_slice()));
    }

    #[test]
    fn the_most_literal_pattern_wins_over_globs_and_fallbacks() {
        let tolerance = read(json!({
            "default": {"abs": 1.0}, "grad*": {"abs": 2.0}, "grad/*|other": {"abs": 3.0}, "grad_norm": {"rel": 4.0}
        }))
        .unwrap();
        assert_eq!(limit_of(&tolerance, "pred"), Some(1.0));
        assert_eq!(limit_of(&tolerance, "gradient"), Some(2.0));
        assert_eq!(limit_of(&tolerance, "grad/a"), Some(3.0));
        assert_eq!(limit_of(&tolerance, "other"), Some(3.0));
        assert_eq!(limit_of(&tolerance, "grad_norm"), Some(4.0));
    }

    #[test]
    fn a_rule_may_name_the_type() {
        let tolerance = read(json!({"uint8": {"abs": 2}, "float": {"abs": 0.02}})).unwrap();
        assert_eq!(limit_of(&tolerance, "pixels"), Some(0.02));
        let (_, rule) = tolerance.rule("frame0", &Values::U8(Vec::new())).unwrap();
        assert_eq!(rule[0].tolerance, 2.0);
        assert_eq!(tolerance.rule("ids", &Values::I64(Vec::new())), None);
    }

    #[test]
    fn the_only_rule_holds_for_tensors_that_it_does_not_name_but_one_of_several_does_not() {
        let only = read(json!({"resized|final": {"abs": 2e-5}})).unwrap();
        assert_eq!(limit_of(&only, "pixels"), Some(2e-5));
        let several = read(json!({"mu": {"abs": 1.0}, "sigma*": {"abs": 2.0}})).unwrap();
        assert_eq!(limit_of(&several, "mean"), None);
    }

    #[test]
    fn no_tolerance_means_equality_and_all_stands_for_every_tensor() {
        let exact = Tolerance::read(None, Path::new("index.json")).unwrap();
        assert_eq!(limit_of(&exact, "anything"), Some(0.0));
        let all = read(json!({"all": {"bytes_equal": true}})).unwrap();
        assert_eq!(limit_of(&all, "anything"), Some(0.0));
    }

    #[test]
    fn a_tolerance_without_meaning_is_an_error() {
        for value in [
            json!(1e-4),
            json!({"a": 1}),
            json!({"a": {}}),
            json!({"abs": 1, "abz": 2}),
            json!({"abs": null}),
        ] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }
}
