//! How much memory there is.

use std::fs;

use ltx_model::{BasePrecision, Device};

use super::Held;

/// Bytes that may be taken; none where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Free {
    /// Of the device's memory; of no meaning on the CPU.
    pub device: Option<u64>,
    /// Of the host's.
    pub host: Option<u64>,
}

impl Free {
    /// Whether there is room for `held`.
    pub(super) fn holds(&self, held: &Held, unified: bool) -> bool {
        let within = |needed: u64, free: Option<u64>| free.is_none_or(|free| needed <= free);
        if unified {
            return within(held.device() + held.host, self.host);
        }
        within(held.device(), self.device) && within(held.host, self.host)
    }
}

/// Who knows how much memory may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Of the host's, bytes.
    pub host: fn() -> Option<u64>,
    /// Of a device's that is not the CPU, bytes.
    pub device: fn(&Device) -> Option<u64>,
}

impl Memory {
    /// What is free now for a job on `device`.
    pub fn free(&self, device: &Device) -> Free {
        let device = if on_cpu(device) { None } else { (self.device)(device) };
        Free { device, host: (self.host)() }
    }
}

impl Default for Memory {
    /// What the system says of the host, a container's limit included, and the driver of a GPU.
    fn default() -> Self {
        Self { host: available, device: ltx_model::device_memory }
    }
}

/// Whether what is computed on `device` is in the host's memory.
pub(crate) fn on_cpu(device: &Device) -> bool {
    BasePrecision::default_on(device) == BasePrecision::Float32
}

/// What Linux calls available; a container may be allowed less.
fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let system = kib(&meminfo, "MemAvailable:")?;
    Some(container().map_or(system, |left| left.min(system)))
}

fn kib(meminfo: &str, field: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the limit of this container leaves, if there is one. Pages of files, which the system takes back where memory
/// is short, do not count as taken.
fn container() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let taken: u64 = read("memory.current")?.trim().parse().ok()?;
    let statistics = read("memory.stat")?;
    let files = statistics.lines().find_map(|line| line.strip_prefix("file "))?.trim().parse().ok()?;
    Some(limit.saturating_sub(taken.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_in_bytes() {
        let meminfo = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(kib(meminfo, "MemAvailable:"), Some(20_480_000_000));
        assert_eq!(kib(meminfo, "SwapTotal:"), None);
        assert_eq!(kib("MemAvailable: many kB", "MemAvailable:"), None);
    }

    #[test]
    fn what_is_not_known_counts_as_enough() {
        let held = Held { weights: 10, host: 5, ..Held::default() };
        assert!(Free::default().holds(&held, false) && Free::default().holds(&held, true));
        assert!(Free { device: Some(10), host: Some(5) }.holds(&held, false));
        assert!(!Free { device: Some(9), host: Some(5) }.holds(&held, false));
        assert!(!Free { device: Some(10), host: Some(4) }.holds(&held, false));
        assert!(Free { device: None, host: Some(15) }.holds(&held, true));
        assert!(!Free { device: None, host: Some(14) }.holds(&held, true));
    }

    #[test]
    fn a_device_is_asked_only_where_it_is_not_the_host() {
        let memory = Memory { host: || Some(7), device: |_| Some(8) };
        assert_eq!(memory.free(&Device::flex()), Free { device: None, host: Some(7) });
    }
}
