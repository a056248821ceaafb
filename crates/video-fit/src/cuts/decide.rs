//! Which gaps are cuts.

/// The least gap of a cut.
const THRESHOLD: f64 = 0.13;

/// How many times as large as its surroundings it is.
const PROMINENCE: f64 = 3.0;

/// Frames of the shortest scene; the surroundings of a gap are what is nearer than that.
const SHORTEST: usize = 8;

/// The frames that begin a scene, ascending, in a clip of `frames`. `gaps` holds the gap before each frame, 0 to 1; it
/// may end before the clip does.
pub(crate) fn cuts(gaps: &[f64], frames: u32) -> Vec<u32> {
    // A cut leaves a whole scene on either side.
    let end = (frames as usize + 1).saturating_sub(SHORTEST).min(gaps.len());
    (SHORTEST..end).filter(|frame| is_cut(gaps, *frame, end)).map(|frame| frame as u32).collect()
}

/// Whether there is a cut before `frame`, where there may be cuts from [`SHORTEST`] to `end`.
fn is_cut(gaps: &[f64], frame: usize, end: usize) -> bool {
    let gap = gaps[frame];
    let (from, to) = (frame + 1 - SHORTEST, (frame + SHORTEST).min(gaps.len()));
    let (before, after) = (&gaps[from..frame], &gaps[frame + 1..to]);
    let rivals_before = &gaps[from.max(SHORTEST)..frame.max(SHORTEST)];
    let rivals_after = &gaps[frame + 1..to.min(end)];
    gap >= THRESHOLD
        && gap >= PROMINENCE * second_largest(before.iter().chain(after))
        && rivals_before.iter().all(|rival| *rival < gap)
        && rivals_after.iter().all(|rival| *rival <= gap)
}

/// The second largest of values that are not negative; 0 if there are fewer than two.
fn second_largest<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let (_, second) = values.fold((0.0, 0.0), |(first, second): (f64, f64), value| {
        (first.max(*value), second.max(value.min(first)))
    });
    second
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cuts of a clip of 40 frames with small gaps, but for `gaps`.
    fn found(gaps: &[(usize, f64)]) -> Vec<u32> {
        let mut all = [0.01; 40];
        for (frame, gap) in gaps {
            all[*frame] = *gap;
        }
        cuts(&all, 40)
    }

    #[test]
    fn a_gap_is_a_cut_from_the_threshold_on() {
        assert_eq!(found(&[(20, 0.129)]), []);
        assert_eq!(found(&[(20, 0.13)]), [20]);
        assert_eq!(found(&[(20, 1.0)]), [20]);
    }

    #[test]
    fn a_cut_is_three_times_its_surroundings() {
        // The largest of the others may be a cut; the second largest counts.
        for (around, wanted) in [(0.14, vec![20]), (0.16, vec![])] {
            assert_eq!(found(&[(20, 0.45), (14, 0.3), (25, around)]), wanted, "{around}");
            assert_eq!(found(&[(20, 0.45), (19, around), (21, around)]), wanted, "{around}");
            assert_eq!(found(&[(20, 0.45), (13, around), (27, around)]), wanted, "{around}");
        }
        assert_eq!(
            found(&[(20, 0.45), (12, 0.3), (28, 0.3)]),
            [12, 20, 28],
            "eight frames off is another scene"
        );
    }

    #[test]
    fn motion_and_fades_have_many_like_gaps() {
        assert_eq!(cuts(&[0.3; 40], 40), []);
        let fade: Vec<f64> = (0..40_i32).map(|i| 0.4 - f64::from((20 - i).abs()) * 0.02).collect();
        assert_eq!(cuts(&fade, 40), []);
    }

    #[test]
    fn no_scene_is_shorter_than_eight_frames() {
        assert_eq!(found(&[(7, 0.5)]), []);
        assert_eq!(found(&[(8, 0.5)]), [8]);
        assert_eq!(found(&[(32, 0.5)]), [32]);
        assert_eq!(found(&[(33, 0.5)]), []);
        assert_eq!(found(&[(12, 0.4), (20, 0.5)]), [12, 20]);
    }

    #[test]
    fn of_gaps_too_near_the_largest_is_the_cut() {
        assert_eq!(found(&[(12, 0.4), (19, 0.5)]), [19]);
        assert_eq!(found(&[(12, 0.5), (19, 0.4)]), [12]);
        assert_eq!(found(&[(7, 0.9), (12, 0.5)]), [12], "where no cut may be there is no rival");
        assert_eq!(found(&[(28, 0.5), (33, 0.9)]), [28], "where no cut may be there is no rival");
        assert_eq!(found(&[(20, 0.2), (21, 0.2)]), [20], "smeared over a frame: the first");
    }

    #[test]
    fn few_frames_have_no_cut() {
        for frames in 0..16 {
            assert_eq!(cuts(&vec![0.9; frames], frames as u32), []);
        }
        assert_eq!(cuts(&[0.0; 4], 1), []);
    }
}
