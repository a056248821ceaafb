//! Comparing what a kind produced with the golden values of its case.

use std::collections::BTreeMap;

use super::{Case, GoldenError, Metric, Produced, Tensor, Tolerance};

/// One tensor, or all tensors of one run, measured against one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The case's name in the index.
    pub case: String,
    /// The tensor's name, or that of the run.
    pub tensor: String,
    /// The metric.
    pub metric: Metric,
    /// The error found; NaN if a value is.
    pub error: f64,
    /// The largest error that passes.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the error is within the tolerance. NaN never is.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }

    /// The error in units of the tolerance, to find the worst of several: infinite for a NaN and for any error
    /// where none is allowed.
    pub fn ratio(&self) -> f64 {
        match self.error / self.tolerance {
            _ if self.error == 0.0 => 0.0,
            ratio if ratio.is_nan() => f64::INFINITY,
            ratio => ratio,
        }
    }
}

/// The numbers of one run, ours and golden, gathered from all its tensors.
#[derive(Default)]
struct Pooled {
    ours: Vec<f64>,
    golden: Vec<f64>,
    tolerance: f64,
}

/// Measures every result that has a golden value and a rule. At least one must have both.
pub(super) fn compare(
    case: &Case,
    produced: &[Produced],
    tolerance: &Tolerance,
) -> Result<Vec<Comparison>, GoldenError> {
    let mut comparisons = Vec::new();
    let mut runs: BTreeMap<(String, String), Pooled> = BTreeMap::new();
    for result in produced {
        let name = &result.name;
        let Some(golden) = result.expected.clone().or_else(|| case.golden(name)) else { continue };
        let Some((pattern, rule)) = tolerance.rule(name, &golden.values) else { continue };
        check_shape(result, &golden)?;
        for limit in rule {
            let (ours, golden) = numbers(&result.tensor, &golden, limit.metric);
            if limit.metric == Metric::RmsOverRun {
                let run = name.split_once('/').map_or("", |(run, _)| run);
                let pooled = runs.entry((pattern.to_owned(), run.to_owned())).or_default();
                pooled.ours.extend(ours);
                pooled.golden.extend(golden);
                pooled.tolerance = limit.tolerance;
            } else {
                let error = limit.metric.error(&ours, &golden);
                comparisons.push(comparison(case, name, limit.metric, error, limit.tolerance));
            }
        }
    }
    for ((pattern, run), pooled) in runs {
        let error = Metric::RmsOverRun.error(&pooled.ours, &pooled.golden);
        let name = if run.is_empty() { &pattern } else { &run };
        comparisons.push(comparison(case, name, Metric::RmsOverRun, error, pooled.tolerance));
    }
    check_complete(case, produced, tolerance)?;
    if comparisons.is_empty() {
        let names: Vec<&str> = produced.iter().map(|result| result.name.as_str()).collect();
        return Err(GoldenError::NothingCompared { produced: names.join(", ") });
    }
    Ok(comparisons)
}

fn comparison(case: &Case, tensor: &str, metric: Metric, error: f64, tolerance: f64) -> Comparison {
    Comparison { case: case.name().to_owned(), tensor: tensor.to_owned(), metric, error, tolerance }
}

fn check_shape(result: &Produced, golden: &Tensor) -> Result<(), GoldenError> {
    let tensor = &result.tensor;
    let length = tensor.numbers().map_or(1, |numbers| numbers.len());
    // A shape that does not hold its own values is told as a list of them.
    let whole = length == tensor.shape.iter().product::<usize>();
    let found = if whole { tensor.shape.clone() } else { vec![length] };
    if whole && found == golden.shape {
        return Ok(());
    }
    Err(GoldenError::Shape { name: result.name.clone(), found, wanted: golden.shape.clone() })
}

/// The two as lists of numbers: bytes where bytes are compared. Texts are equal or infinitely far apart.
fn numbers(ours: &Tensor, golden: &Tensor, metric: Metric) -> (Vec<f64>, Vec<f64>) {
    let bytes = |tensor: &Tensor| tensor.bytes().into_iter().map(f64::from).collect::<Vec<_>>();
    let different = (vec![f64::INFINITY], vec![0.0]);
    match (ours.numbers(), golden.numbers()) {
        (Some(_), Some(_)) if metric == Metric::BytesEqual => {
            let (ours, golden) = (bytes(ours), bytes(golden));
            if ours.len() == golden.len() { (ours, golden) } else { different }
        }
        (Some(ours), Some(golden)) => (ours, golden),
        _ if ours.values == golden.values => (Vec::new(), Vec::new()),
        _ => different,
    }
}

/// Where bytes are compared, the golden file is an output as a whole: none of its tensors may be missing.
fn check_complete(case: &Case, produced: &[Produced], tolerance: &Tolerance) -> Result<(), GoldenError> {
    let whole = |name: &&str| {
        let golden = case.golden(name);
        let rule =
            golden.and_then(|golden| tolerance.rule(name, &golden.values).map(|(_, rule)| rule.to_vec()));
        rule.is_some_and(|rule| rule.iter().any(|limit| limit.metric == Metric::BytesEqual))
    };
    let absent = |name: &&str| produced.iter().all(|result| result.name != **name);
    match case.names().filter(whole).find(absent) {
        Some(name) => Err(GoldenError::NotProduced { name: name.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Folder, Values};
    use half::bf16;
    use serde_json::{Value, json};
    use std::fs;
    use std::path::Path;

    const CONTENT: &str = r#"{"a": [1, 2], "b": 3, "run/x": 1, "word": "fox", "rows": [{"p": "q"}]}"#;

    /// Compares with a case in JSON that holds `CONTENT`.
    fn compared(tolerance: Value, produced: &[Produced]) -> Result<Vec<Comparison>, GoldenError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("index.json"), "{}").unwrap();
        fs::write(path.join("case.json"), CONTENT).unwrap();
        let folder = Folder::open(dir.path(), "text").unwrap().unwrap();
        let case = Case::load(&folder, "case.json", folder.index(), &path.join("case.json")).unwrap();
        compare(&case, produced, &Tolerance::read(Some(&tolerance), Path::new("index.json")).unwrap())
    }

    #[test]
    fn results_are_compared_with_the_golden_value_of_their_name() {
        let produced = [Produced::f32("a", vec![1.0, 2.5], [2]), Produced::number("b", 3.0)];
        let comparisons = compared(json!({"abs": 0.1}), &produced).unwrap();
        let told: Vec<_> = comparisons.iter().map(|c| (c.tensor.as_str(), c.error, c.passed())).collect();
        assert_eq!(told, [("a", 0.5, false), ("b", 0.0, true)]);
        assert_eq!(comparisons[0].ratio(), 5.0);
    }

    #[test]
    fn a_name_that_the_file_lacks_is_skipped_but_something_must_remain() {
        let stray = Produced::number("stray", 1.0);
        let comparisons = compared(json!({"abs": 0}), &[stray.clone(), Produced::number("b", 3.0)]).unwrap();
        assert_eq!(comparisons.len(), 1);
        let error = compared(json!({"abs": 0}), &[stray]).unwrap_err();
        assert!(matches!(error, GoldenError::NothingCompared { produced } if produced == "stray"));
    }

    #[test]
    fn another_shape_is_an_error_even_if_the_values_agree() {
        let error = compared(json!({"abs": 9}), &[Produced::f32("a", vec![1.0, 2.0], [2, 1])]).unwrap_err();
        assert!(matches!(error, GoldenError::Shape { found, .. } if found == [2, 1]));
        let error = compared(json!({"abs": 9}), &[Produced::f32("a", vec![1.0], [2])]).unwrap_err();
        assert!(matches!(error, GoldenError::Shape { found, .. } if found == [1]));
    }

    #[test]
    fn a_nan_fails_under_any_tolerance() {
        let comparisons = compared(json!({"abs": 1e30}), &[Produced::number("b", f64::NAN)]).unwrap();
        assert!(!comparisons[0].passed());
        assert_eq!(comparisons[0].ratio(), f64::INFINITY);
    }

    #[test]
    fn texts_are_equal_or_fail() {
        let compared = |text: &str| compared(json!({"abs": 1e30}), &[Produced::text("word", text)]).unwrap();
        assert!(compared("fox")[0].passed());
        assert!(!compared("fix")[0].passed());
    }

    #[test]
    fn a_name_may_point_into_json_and_an_own_expectation_replaces_the_golden_value() {
        let expected = Tensor { shape: Vec::new(), values: Values::Text("r".to_owned()) };
        let produced = [Produced::text("rows/0/p", "q"), Produced::text("word", "r").against(expected)];
        assert!(compared(json!({"abs": 0}), &produced).unwrap().iter().all(Comparison::passed));
    }

    #[test]
    fn the_error_over_a_run_pools_its_tensors() {
        let one = |name: &str, ours, golden| {
            let golden = Tensor { shape: Vec::new(), values: Values::F64(vec![golden]) };
            Produced::number(name, ours).against(golden)
        };
        let produced = [one("one/x", 1.0, 4.0), one("one/y", 4.0, 8.0), one("two/x", 1.0, 1.0)];
        let comparisons = compared(json!({"*/x|*/y": {"rms_over_run": 1.0}}), &produced).unwrap();
        let told: Vec<_> = comparisons.iter().map(|c| (c.tensor.as_str(), c.error)).collect();
        assert_eq!(told, [("one", 12.5_f64.sqrt()), ("two", 0.0)]);
    }

    #[test]
    fn bytes_are_compared_with_their_type() {
        let golden = Tensor { shape: vec![2], values: Values::Bf16(vec![bf16::ONE, bf16::ZERO]) };
        let error = |produced: Produced| {
            compared(json!({"all": {"bytes_equal": true}}), &[produced.against(golden.clone())]).unwrap()[0]
                .error
        };
        assert_eq!(error(Produced::bf16("w", vec![bf16::ONE, bf16::ZERO], [2])), 0.0);
        assert_eq!(error(Produced::bf16("w", vec![bf16::ONE, bf16::NEG_ZERO], [2])), 1.0);
        assert_ne!(error(Produced::f32("w", vec![1.0, 0.0], [2])), 0.0);
    }
}
