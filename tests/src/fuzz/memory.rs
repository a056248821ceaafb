//! What a process takes of memory.

use std::fs;

/// The most that this process ever held, in KiB; 0 where the system does not tell.
pub(crate) fn peak() -> u64 {
    field("self", "VmHWM:")
}

/// What a process holds now, in KiB.
pub(crate) fn resident(process: u32) -> u64 {
    field(&process.to_string(), "VmRSS:")
}

/// So many MB in KiB.
pub(crate) fn kib(mb: u64) -> u64 {
    mb.saturating_mul(1_000_000) / 1024
}

/// So many KiB in MB.
pub(crate) fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

fn field(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_when_memory_is_given_back() {
        let before = peak();
        drop(std::hint::black_box(vec![1u8; 64 << 20]));
        assert!(peak() >= before.max(64 << 10), "{before} then {}", peak());
        assert!(resident(std::process::id()) > 0);
        assert_eq!(resident(u32::MAX), 0);
    }
}
