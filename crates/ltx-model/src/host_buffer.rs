//! Fresh memory of the host for what is read from a file.

/// `count` zeros, in large pages if they are many: the system takes longer to hand out a gigabyte in pages of 4 kB than
/// to read it.
pub(crate) fn zeros<E: Copy + Default>(count: usize) -> Vec<E> {
    let zeros = vec![E::default(); count];
    in_large_pages(&zeros);
    zeros
}

/// What a large page holds on most machines, bytes. Elsewhere nothing is lost but time.
#[cfg(target_os = "linux")]
const LARGE_PAGE: usize = 2 << 20;

/// Asks for large pages where a whole one fits in. Memory that was asked for as zeros and not touched has none yet.
#[cfg(target_os = "linux")]
fn in_large_pages<E>(memory: &[E]) {
    let bytes = memory.as_ptr_range();
    let begin = bytes.start.addr().next_multiple_of(LARGE_PAGE);
    let end = bytes.end.addr() / LARGE_PAGE * LARGE_PAGE;
    if begin < end {
        let start = bytes.start.with_addr(begin).cast_mut().cast();
        // SAFETY: the range lies within `memory`, and the advice changes nothing that can be read in it. A kernel that
        // does not know it refuses, which is as good as not having asked.
        let _ = unsafe { libc::madvise(start, end - begin, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages<E>(_memory: &[E]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_zeros() {
        for count in [0, 1, (2 << 20) + 7, (9 << 20) + 3] {
            let zeros = zeros::<u16>(count);
            assert!(zeros.len() == count && zeros.iter().all(|zero| *zero == 0), "{count}");
        }
    }
}
