//! What the system says about the memory of this process.

/// The memory of this process, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// What it holds.
    pub held: u64,
    /// The most that it has held so far.
    pub peak: u64,
}

impl ProcessMemory {
    /// As it is now; none where the system does not tell, which is everywhere but on Linux.
    pub fn now() -> Option<Self> {
        Self::parsed(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parsed(status: &str) -> Option<Self> {
        let bytes = |field| {
            let value = status.lines().find_map(|line| line.strip_prefix(field))?;
            value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self { held: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_what_is_not_told_is_none() {
        let status = "Name:\ta\nVmPeak:\t 9 kB\nVmHWM:\t     7 kB\nVmRSS:\t    3 kB\nThreads:\t1\n";
        assert_eq!(ProcessMemory::parsed(status), Some(ProcessMemory { held: 3072, peak: 7168 }));
        for status in ["", "VmHWM:\t7 kB\n", "VmHWM:\t7 kB\nVmRSS:\t3\n"] {
            assert_eq!(ProcessMemory::parsed(status), None, "{status}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_holds_what_it_wrote_to() {
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let memory = ProcessMemory::now().unwrap();
        assert!(memory.held >= block.len() as u64 && memory.peak >= memory.held, "{memory:?}");
    }
}
