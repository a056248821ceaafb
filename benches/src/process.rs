//! What the system says about this process. Linux only; elsewhere every figure is 0.

use std::fs;

/// The most memory that this process has held since it began or since [`reset_peak`], bytes.
pub fn peak() -> u64 {
    status("VmHWM:")
}

/// The memory that this process holds, bytes.
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// The bytes that this process has read from files so far, from the disk or not.
pub fn read() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let rchar = counters.lines().find_map(|line| line.strip_prefix("rchar:")).unwrap_or("0");
    rchar.trim().parse().unwrap_or(0)
}

/// Lets [`peak`] begin again at what is held now.
pub fn reset_peak() {
    // Where this is refused, the peak covers the loading of the model too, and is too large: no figure gets better.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0 kB");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
