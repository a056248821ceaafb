//! Where scenes begin: a content detector on histograms of luma and hue.
//!
//! 1. Every frame is brought to 64x64 pixels, whatever its shape. Of each quarter of it two histograms are taken:
//!    luma in 16 bins, and hue in 12, to which a pixel counts as much as it is colourful.
//! 2. Two frames are as far apart as the share of their histograms that differs, 0 to 1: half of the sum of absolute
//!    differences, averaged over luma and hue and over the quarters.
//! 3. The gap before a frame is the least distance between one of the 4 frames before it and one of the 4 from it
//!    on. A flash of up to 3 frames, after which the picture is what it was, leaves no gap.
//! 4. A scene begins where the gap is at least 0.13, and at least 3 times the second largest of those less than 8
//!    frames away. Pans, shaking cameras, dissolves and fades have many gaps of like size, and are not cut. The largest
//!    does not count, because it may be a cut, too, or the other half of a cut that is smeared over a frame.
//! 5. A scene has at least 8 frames, the first and the last one, too: of cuts that are nearer, the largest gap is
//!    taken.
//!
//! The numbers were chosen on real clips: within a scene, what stands out by 3 times came to 0.05 at most (0.1 where
//! every frame is shown many times); at cuts, the gap was 0.16 and more for one and the same scene framed anew, and 0.3
//! and more for unlike scenes. What this cannot see is a cut to a picture of the same colours in the same quarters, such
//! as a jump in time before a still camera. What it takes for a cut is light that grows or falls by a fifth from one frame
//! to the next, and stays.

mod decide;
mod histogram;

use std::{collections::VecDeque, path::Path};

use tensor_batch::Size;

use self::histogram::Histograms;
use crate::{Limits, VideoError, convert::RgbConverter, decode::Decoder, display::Orientation};

/// The size at which frames are compared. It is even, so that there are quarters.
const SIZE: Size = Size { width: 64, height: 64 };

/// How many frames on either side of a gap are compared.
const REACH: usize = 4;

/// The frames of the clip at `path` that begin a new scene: indices of decoded frames in presentation order,
/// ascending, and never 0. Scenes are at least 8 frames long. It decodes the whole clip, with one frame in memory at a
/// time.
///
/// Hard cuts are found; dissolves and fades, flashes of up to 3 frames, and motion of any speed are no cuts.
///
/// # Errors
/// As for [`probe`](crate::probe).
pub fn find_cuts(path: &Path, limits: &Limits) -> Result<Vec<u32>, VideoError> {
    let mut decoder = Decoder::open(path, limits)?;
    let mut converter = RgbConverter::new(SIZE, Orientation::default());
    let mut gaps = Gaps::default();
    let mut frames = 0_u32;
    while decoder.advance()? {
        let picture = converter.convert(decoder.picture());
        let picture = picture.map_err(|error| decoder.container().unreadable(error))?;
        gaps.push(Histograms::of(picture.view()));
        frames += 1;
    }
    if frames == 0 {
        return Err(VideoError::NoFrames);
    }
    Ok(decide::cuts(&gaps.found, frames))
}

/// The gaps of a clip, found while its frames pass by.
struct Gaps {
    /// The last frames, at most [`REACH`] on either side of a gap.
    recent: VecDeque<Histograms>,
    /// The gap before each frame. Those before the first [`REACH`] are not looked for: no scene is that short.
    found: Vec<f64>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { recent: VecDeque::with_capacity(2 * REACH), found: vec![0.0; REACH] }
    }
}

impl Gaps {
    fn push(&mut self, frame: Histograms) {
        if self.recent.len() == 2 * REACH {
            self.recent.pop_front();
        }
        self.recent.push_back(frame);
        if self.recent.len() == 2 * REACH {
            let distances =
                self.recent.iter().take(REACH).flat_map(|before| {
                    self.recent.iter().skip(REACH).map(move |after| before.distance(after))
                });
            self.found.push(distances.fold(1.0, f64::min));
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// The gaps of a clip of plain grey frames.
    fn gaps(levels: &[u8]) -> Vec<f64> {
        let mut gaps = Gaps::default();
        for level in levels {
            gaps.push(Histograms::of(Array3::from_elem([4, 4, 3], *level).view()));
        }
        gaps.found
    }

    #[test]
    fn a_gap_stands_before_the_frame_that_is_unlike_all_before_it() {
        let mut levels = [10; 20];
        levels[9..].fill(250);
        let mut wanted = vec![0.0; 17];
        // Luma moves to another bin altogether; grey stays grey.
        wanted[9] = 0.5;
        assert_eq!(gaps(&levels), wanted);
    }

    #[test]
    fn what_comes_back_within_reach_leaves_no_gap() {
        for length in 1..=3 {
            let mut levels = [10; 20];
            levels[9..9 + length].fill(250);
            assert_eq!(gaps(&levels), vec![0.0; 17], "{length}");
        }
        let mut levels = [10; 20];
        levels[8..12].fill(250);
        assert_eq!(gaps(&levels)[8], 0.5);
        assert_eq!(gaps(&levels)[12], 0.5);
    }
}
