//! Numbers, for people.

/// About four figures, without zeros that say nothing.
pub(super) fn figures(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    if !(1e-3..1e7).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", without_zeros(digits));
    }
    let places = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    without_zeros(&format!("{value:.places$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A share of 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A time from seconds.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 if seconds < 0.95 => format!("{:.0} ms", 1000.0 * seconds.max(0.0)),
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The middle of some values; none of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_figures_that_say_something() {
        for (value, wanted) in [
            (2.40171, "2.402"),
            (0.25, "0.25"),
            (0.00021, "2.1e-4"),
            (5e-5, "5e-5"),
            (0.0213, "0.0213"),
            (1234.5, "1234"),
            (0.0, "0"),
            (-3.0, "-3"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(figures(value), wanted);
        }
    }

    #[test]
    fn times_and_sizes_have_fitting_units() {
        let times = [0.0004, 0.5, 2.34, 61.0, 3725.0].map(time);
        assert_eq!(times, ["0 ms", "500 ms", "2.3 s", "1 min 01 s", "1 h 02 min"]);
        let sizes = [9999, 532_700, 12_000_000, 64_000_000_000].map(bytes);
        assert_eq!(sizes, ["9999 B", "532.7 kB", "12.0 MB", "64.0 GB"]);
    }
}
