//! Memory that was freed goes back to the system.
//!
//! The C library keeps what is freed for what comes next, and what comes next is often of another size: a training would
//! hold what its previews needed, and previews what the encoders did. That is for a process to decide and not for a
//! library.

use inpaint_trainer::{Event, TrainEvent};

/// Gives back what is free where something large has just ended.
pub(crate) fn after(event: &Event) {
    let has_ended = match event {
        Event::Finished { .. } | Event::Rehearsed(_) | Event::Previewed(_) => true,
        // The reel is made before it, and steps come next.
        Event::Trained(TrainEvent::Evaluated(_)) => true,
        // The decoder comes next.
        Event::Sampling { done, total, .. } => done == total,
        _ => false,
    };
    if has_ended {
        give_back();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: it takes no pointer, and any thread may call it at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
