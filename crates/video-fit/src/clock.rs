//! The deadline of one pass over a clip.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Counts the time spent in FFmpeg, and not that of whoever takes the frames. It runs from its creation on.
pub(crate) struct Clock {
    left: Duration,
    resumed: Instant,
    alarm: Alarm,
}

impl Clock {
    /// A clock that rings after `seconds`.
    pub(crate) fn start(seconds: u64) -> Self {
        let alarm =
            Alarm { epoch: Instant::now(), due: Arc::new(AtomicU64::new(seconds.saturating_mul(1000))) };
        Self { left: Duration::from_secs(seconds), resumed: alarm.epoch, alarm }
    }

    /// The alarm, for FFmpeg to ask while it reads.
    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// Stops the clock.
    pub(crate) fn pause(&mut self) {
        self.left = self.left.saturating_sub(self.resumed.elapsed());
    }

    /// Lets the clock run on.
    pub(crate) fn resume(&mut self) {
        self.resumed = Instant::now();
        let due = self.alarm.epoch.elapsed().saturating_add(self.left);
        self.alarm.due.store(due.as_millis() as u64, Relaxed);
    }
}

/// Tells whether time is up.
#[derive(Clone)]
pub(crate) struct Alarm {
    epoch: Instant,
    /// Milliseconds from `epoch` to the deadline.
    due: Arc<AtomicU64>,
}

impl Alarm {
    /// Whether time is up.
    pub(crate) fn rings(&self) -> bool {
        self.epoch.elapsed().as_millis() as u64 >= self.due.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outside_the_clock_does_not_count() {
        let mut clock = Clock::start(1);
        clock.pause();
        let left = clock.left;
        std::thread::sleep(Duration::from_millis(20));
        clock.resume();
        assert_eq!(clock.left, left);
        assert!(!clock.alarm().rings());
        assert!(Clock::start(0).alarm().rings());
    }
}
