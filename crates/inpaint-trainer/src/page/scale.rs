//! Scales of charts: ranges, ticks, and fewer points than there are.

/// A range with round ends, and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// A scale for values from `low` to `high`, with about `ticks` ticks.
    pub(super) fn around(low: f64, high: f64, ticks: usize) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        // One value alone is shown from 0.
        let (low, high) = if high > low { (low, high) } else { (low.min(0.0), low.max(0.0)) };
        let (low, high) = if high > low { (low, high) } else { (0.0, 1.0) };
        let span = high - low;
        let step = round_step(span / ticks.max(1) as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let count = (last - first).clamp(1.0, 50.0) as usize;
        let ticks: Vec<f64> = (0..=count).map(|index| (first + index as f64) * step).collect();
        Self { from: first * step, to: (first + count as f64) * step, ticks }
    }

    /// A scale that ends at `to` exactly: the steps of a run.
    pub(super) fn up_to(to: f64, ticks: usize) -> Self {
        let to = to.max(1.0);
        let mut scale = Self::around(0.0, to, ticks);
        scale.ticks.retain(|tick| *tick <= to);
        Self { to, ..scale }
    }

    /// Where a value lies, 0 to 1; what is outside lies at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|round| *round >= step * 0.999)
        .unwrap_or(step)
}

/// At most about `most` points of a line: of every stretch, the lowest and the highest, so that peaks stay.
pub(super) fn thinned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most {
        return points.to_vec();
    }
    let length = points.len().div_ceil(most.max(2) / 2);
    let ends = |stretch: &[[f64; 2]]| {
        let by_value = |a: &&[f64; 2], b: &&[f64; 2]| a[1].total_cmp(&b[1]);
        let low = stretch.iter().min_by(by_value).copied();
        let high = stretch.iter().max_by(by_value).copied();
        let mut ends: Vec<[f64; 2]> = low.into_iter().chain(high).collect();
        ends.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]));
        ends.dedup();
        ends
    };
    points.chunks(length).flat_map(ends).collect()
}

/// The values below and above which one in a hundred lies.
pub(super) fn bulk(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([values[last / 100], values[last - last / 100]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let scale = Scale::around(0.93, 4.12, 4);
        assert_eq!((scale.from, scale.to, scale.ticks), (0.0, 5.0, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        let one = Scale::around(2e-4, 2e-4, 4);
        assert_eq!((one.from, one.to, one.ticks.len()), (0.0, 2e-4, 5), "one value is seen from 0");
        for (low, high) in [(0.0, 0.0), (7.0, 7.0), (-1e-9, 1e-9), (1e300, 1e301), (f64::NAN, 1.0)] {
            let scale = Scale::around(low, high, 4);
            assert!(scale.from < scale.to && scale.ticks.len() >= 2 && scale.ticks.len() < 52, "{scale:?}");
            assert!((0.0..=1.0).contains(&scale.place(high)), "{scale:?}");
        }
    }

    #[test]
    fn a_run_ends_at_the_edge() {
        let scale = Scale::up_to(2000.0, 5);
        assert_eq!((scale.to, scale.ticks.last()), (2000.0, Some(&2000.0)));
        assert_eq!(Scale::up_to(130.0, 5).ticks, [0.0, 50.0, 100.0]);
        assert_eq!(Scale::up_to(0.0, 5).to, 1.0);
    }

    #[test]
    fn a_peak_survives_thinning() {
        let points: Vec<[f64; 2]> = (0..20_000)
            .map(|step| [f64::from(step), if step == 777 { 9.0 } else { f64::from(step % 7) }])
            .collect();
        let thin = thinned(&points, 400);
        assert!(thin.len() <= 400 && thin.contains(&[777.0, 9.0]), "{}", thin.len());
        assert!(thin.is_sorted_by(|a, b| a[0] <= b[0]));
        assert_eq!(thinned(&points[..400], 400), points[..400]);
    }

    #[test]
    fn the_bulk_leaves_out_what_is_rare() {
        let values = (0..1000).map(|value| if value == 5 { 1e9 } else { f64::from(value) });
        let [low, high] = bulk(values).unwrap();
        assert!(low < 20.0 && high < 1000.0, "{low} {high}");
        assert_eq!(bulk([f64::NAN].into_iter()), None);
    }
}
