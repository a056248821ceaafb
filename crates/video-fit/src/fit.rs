//! A clip into the bucket.

use ndarray::Array4;
use tensor_batch::{Clip, FitPlan, ShapeMismatch, Size};

use crate::{Frame, VideoError, resize::Resizer};

/// Fits the frames that `plan` takes into its bucket, with one source frame in memory at a time. `frames` are all
/// frames of the clip, from the first on; those that the plan leaves out are passed over by `nth`. Values are clamped
/// and rounded to 8 bits.
///
/// # Errors
/// If a frame cannot be decoded, is not of the plan's source size, or is missing at the end.
pub fn fit(
    mut frames: impl Iterator<Item = Result<Frame, VideoError>>,
    plan: &FitPlan,
) -> Result<Clip, VideoError> {
    let Size { width, height } = plan.geometry.target;
    let indices = plan.frames.indices();
    let shape = [indices.len(), height as usize, width as usize, 3];
    let mut pixels = Vec::with_capacity(shape.iter().product());
    let mut resizer = Resizer::new(&plan.geometry);
    let mut passed = 0;
    for (i, &index) in indices.iter().enumerate() {
        if i > 0 && index == indices[i - 1] {
            pixels.extend_from_within(pixels.len() - pixels.len() / i..);
            continue;
        }
        let frame =
            frames.nth((index - passed) as usize).ok_or(VideoError::EndsEarly { missing: index })??;
        passed = index + 1;
        resizer.run(frame.pixels.view(), |row| append(row, &mut pixels))?;
    }
    let found = vec![pixels.len()];
    let pixels = Array4::from_shape_vec(shape, pixels).map_err(|_| ShapeMismatch {
        what: "clip",
        found,
        wanted: shape.to_vec(),
    })?;
    Ok(Clip::new(pixels, plan.rate)?)
}

fn append(row: &[f32], pixels: &mut Vec<u8>) {
    pixels.extend(row.iter().map(|level| to_byte(*level)));
}

/// The nearest of 256 levels, of two the even one. At 2^23 floats are whole numbers, and their last bits count them: a
/// sum is rounded to the nearest without a conversion, which compilers do one by one.
#[inline]
fn to_byte(level: f32) -> u8 {
    (level.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};
    use tensor_batch::{Bucket, FrameCount, FrameList, FrameRate};

    use super::*;

    fn plan(times: &[f64]) -> FitPlan {
        let (count, rate) = (FrameCount::MIN, FrameRate::DEFAULT);
        let frames = FrameList::at_rate(count, rate, times).unwrap();
        FitPlan::new(Size { width: 40, height: 32 }, Bucket::new(32, 32, count).unwrap(), frames, rate)
    }

    /// Frames that show their own number.
    fn numbered(count: u8) -> impl Iterator<Item = Result<Frame, VideoError>> {
        (0..count).map(|n| Ok(Frame { pixels: Array3::from_elem([32, 40, 3], n), time: 0.0 }))
    }

    #[test]
    fn the_frames_of_the_plan_are_taken_in_its_order() {
        for times in [vec![0.0, 1.0, 2.0], (0..60).map(|i| f64::from(i) / 60.0).collect()] {
            let plan = plan(&times);
            let clip = fit(numbered(times.len() as u8), &plan).unwrap();
            let shown: Vec<u32> =
                clip.pixels().axis_iter(Axis(0)).map(|frame| frame[[5, 5, 1]].into()).collect();
            assert_eq!(shown, plan.frames.indices());
        }
    }

    #[test]
    fn a_clip_shorter_than_its_plan_is_an_error() {
        let times: Vec<f64> = (0..9).map(|i| f64::from(i) / 24.0).collect();
        let error = fit(numbered(8), &plan(&times)).unwrap_err();
        assert!(matches!(error, VideoError::EndsEarly { missing: 8 }), "{error}");
    }

    #[test]
    fn values_are_rounded_and_clamped() {
        let levels = [-20.0, -0.1, 0.0, 0.4, 0.6, 1.5, 2.5, 254.4, 254.6, 255.0, 300.0].map(to_byte);
        assert_eq!(levels, [0, 0, 0, 0, 1, 2, 2, 254, 255, 255, 255]);
    }
}
