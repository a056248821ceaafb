//! How far two tensors are apart.

/// A measure of the difference between a result and its golden value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// The largest difference.
    Abs,
    /// The largest difference relative to its golden value.
    Rel,
    /// The root mean square of the difference, relative to that of the golden tensor.
    RelRms,
    /// The largest difference relative to the largest golden value.
    RelToMax,
    /// The root mean square of the difference over all tensors of one run.
    RmsOverRun,
    /// How many bytes differ.
    BytesEqual,
}

impl Metric {
    /// Every metric, in the order in which messages name them.
    pub const ALL: [Self; 6] =
        [Self::Abs, Self::Rel, Self::RelRms, Self::RelToMax, Self::RmsOverRun, Self::BytesEqual];

    /// The name in an index.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Rel => "rel",
            Self::RelRms => "rel_rms",
            Self::RelToMax => "rel_to_max",
            Self::RmsOverRun => "rms_over_run",
            Self::BytesEqual => "bytes_equal",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The error of numbers `ours` against `golden`, of equal length. NaN if any of them is NaN.
    /// `RmsOverRun` is given the numbers of the whole run, `BytesEqual` those of bytes.
    pub(super) fn error(self, ours: &[f64], golden: &[f64]) -> f64 {
        match self {
            Self::Abs => largest(differences(ours, golden)),
            Self::Rel => largest(differences(ours, golden).zip(golden).map(|(d, g)| ratio(d, g.abs()))),
            Self::RelRms => ratio(rms(differences(ours, golden)), rms(golden.iter().copied())),
            Self::RelToMax => {
                let top = largest(golden.iter().map(|value| value.abs()));
                ratio(largest(differences(ours, golden)), top)
            }
            Self::RmsOverRun => rms(differences(ours, golden)),
            Self::BytesEqual => {
                differences(ours, golden).filter(|difference| *difference != 0.0).count() as f64
            }
        }
    }
}

fn differences(ours: &[f64], golden: &[f64]) -> impl Iterator<Item = f64> {
    ours.iter().zip(golden).map(|(ours, golden)| (ours - golden).abs())
}

/// The maximum, which unlike `f64::max` does not lose a NaN.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |top: f64, value| if top.is_nan() || value <= top { top } else { value })
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value * value, count + 1));
    if count == 0 { 0.0 } else { (sum / f64::from(count)).sqrt() }
}

/// Nothing over nothing is nothing: two equal zeros agree.
fn ratio(difference: f64, scale: f64) -> f64 {
    if difference == 0.0 && scale == 0.0 { 0.0 } else { difference / scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [f64; 3] = [1.0, 2.5, -4.0];
    const GOLDEN: [f64; 3] = [1.0, 2.0, -5.0];

    #[test]
    fn each_metric_agrees_with_numbers_worked_by_hand() {
        let error = |metric: Metric| metric.error(&OURS, &GOLDEN);
        assert_eq!(error(Metric::Abs), 1.0);
        assert_eq!(error(Metric::Rel), 0.25);
        assert_eq!(error(Metric::RelToMax), 0.2);
        assert!((error(Metric::RelRms) - (1.25_f64 / 30.0).sqrt()).abs() < 1e-15);
        assert!((error(Metric::RmsOverRun) - (1.25_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(error(Metric::BytesEqual), 2.0);
    }

    #[test]
    fn a_nan_survives_every_metric_wherever_it_stands() {
        for metric in [Metric::Abs, Metric::Rel, Metric::RelRms, Metric::RelToMax, Metric::RmsOverRun] {
            for place in 0..3 {
                let mut broken = OURS;
                broken[place] = f64::NAN;
                assert!(metric.error(&broken, &GOLDEN).is_nan(), "{metric:?} at {place}, ours");
                assert!(metric.error(&OURS, &broken).is_nan(), "{metric:?} at {place}, golden");
            }
        }
    }

    #[test]
    fn a_difference_from_zero_is_infinite_and_no_difference_is_none() {
        assert_eq!(Metric::Rel.error(&[0.1], &[0.0]), f64::INFINITY);
        assert_eq!(Metric::RelToMax.error(&[0.0], &[0.0]), 0.0);
        assert_eq!(Metric::Abs.error(&[], &[]), 0.0);
    }

    #[test]
    fn names_lead_back_to_their_metrics() {
        assert!(Metric::ALL.into_iter().all(|metric| Metric::named(metric.name()) == Some(metric)));
        assert_eq!(Metric::named("note"), None);
    }
}
