//! The files of a preview.

use std::{
    io,
    path::{Path, PathBuf},
};

use image::{Rgb, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use lora_train::write_whole;
use ndarray::{ArrayView3, ArrayView4, Axis};
use tensor_batch::{FittedClip, Size};
use video_fit::{Sound, VideoError, write_mp4_with_sound};

use crate::{Limits, example::Surveyed, sheet::tile};

/// The folder of previews, in that of the results.
pub(crate) const FOLDER: &str = "previews";
/// The side-by-side video.
pub(crate) const REEL: &str = "validation.mp4";

/// Pixels of the longer side of a frame in a still.
const LONG_SIDE: u32 = 320;
const GAP: u32 = 4;
const QUALITY: u8 = 90;

/// Paths of a preview's files, relative to the folder of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) video: String,
    pub(crate) plain: String,
    pub(crate) still: String,
}

impl Names {
    /// Of a sample, counted from 1, after so many steps.
    pub(crate) fn of(step: u64, sample: usize) -> Self {
        let stem = format!("{FOLDER}/step-{step:06}-sample-{sample}");
        Self {
            video: format!("{stem}.mp4"),
            plain: format!("{stem}-plain.mp4"),
            still: format!("{stem}.jpg"),
        }
    }
}

/// The step of the last preview of a sample, counted from 1, that lies in `out` and is of no later step than this.
pub(crate) fn latest(out: &Path, sample: usize, step: u64) -> Option<u64> {
    let entries = std::fs::read_dir(out.join(FOLDER)).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let step_of = |name: String| {
        let number = name.strip_prefix("step-")?.strip_suffix(&format!("-sample-{sample}.mp4"))?;
        number.parse::<u64>().ok()
    };
    names.filter_map(step_of).filter(|found| *found <= step).max()
}

/// Writes frames `[F, H, W, 3]` with the sound of the clip that they come from.
pub(crate) fn write_video(
    path: &Path,
    frames: ArrayView4<'_, u8>,
    of: &Surveyed,
    limits: &Limits,
) -> Result<Sound, VideoError> {
    let (_, height, width, _) = frames.dim();
    let size = Size { width: width as u32, height: height as u32 };
    write_mp4_with_sound(path, size, of.plan().rate, frames.outer_iter(), of.clip(), &limits.video)
}

/// Writes first, middle and last frame of `[F, H, W, 3]` side by side.
pub(crate) fn write_still(path: &Path, frames: ArrayView4<'_, u8>) -> io::Result<()> {
    let (_, height, width, _) = frames.dim();
    let [width, height] = within(LONG_SIDE, [width as u32, height as u32]);
    let picture = |f| scaled(&picture(frames.index_axis(Axis(0), f)), [width, height]);
    write_jpeg(path, &side_by_side(chosen(frames.len_of(Axis(0))).map(picture)))
}

/// Writes the same frames of a clip as they are, and with their masks laid over: `source` and `mask`, if they are not there
/// yet.
pub(crate) fn write_source_stills(out: &Path, sample: usize, fitted: &FittedClip) -> io::Result<()> {
    let path = |what: &str| out.join(format!("{FOLDER}/sample-{sample}-{what}.jpg"));
    let pixels = fitted.clip().pixels();
    if !path("source").exists() {
        write_still(&path("source"), pixels.view())?;
    }
    if !path("mask").exists() {
        let (frames, height, width, _) = pixels.dim();
        let size = within(LONG_SIDE, [width as u32, height as u32]);
        let masked = |f| tile::draw(fitted, f, size);
        write_jpeg(&path("mask"), &side_by_side(chosen(frames).map(masked)))?;
    }
    Ok(())
}

fn chosen(frames: usize) -> [usize; 3] {
    [0, frames / 2, frames.saturating_sub(1)]
}

/// The size with its longer side at most `long`, in proportion; sides are even, as video wants them.
pub(crate) fn within(long: u32, [width, height]: [u32; 2]) -> [u32; 2] {
    let longer = width.max(height).max(1);
    let side = |side: u32| if longer <= long { side } else { (side * long / longer).max(2) };
    [width, height].map(|length| side(length) / 2 * 2)
}

/// A frame `[H, W, 3]` as a picture.
pub(crate) fn picture(frame: ArrayView3<'_, u8>) -> RgbImage {
    let (height, width, _) = frame.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([0, 1, 2].map(|channel| frame[[y as usize, x as usize, channel]]))
    })
}

pub(crate) fn scaled(picture: &RgbImage, [width, height]: [u32; 2]) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    imageops::resize(picture, width, height, imageops::FilterType::Triangle)
}

fn side_by_side(pictures: [RgbImage; 3]) -> RgbImage {
    let [first, ..] = &pictures;
    let (width, height) = first.dimensions();
    let mut strip = RgbImage::new(3 * width + 2 * GAP, height);
    for (place, picture) in (0u32..).zip(&pictures) {
        imageops::replace(&mut strip, picture, (place * (width + GAP)).into(), 0);
    }
    strip
}

fn write_jpeg(path: &Path, picture: &RgbImage) -> io::Result<()> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    picture.write_with_encoder(encoder).map_err(io::Error::other)?;
    write_whole(path, &bytes)
}

/// The path beside `path` for the decoder's own output.
pub(crate) fn plain_beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-plain.mp4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_preview_is_that_of_its_sample_and_of_no_later_step() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(latest(dir.path(), 1, 9), None);
        std::fs::create_dir(dir.path().join(FOLDER)).unwrap();
        for (step, sample) in [(0, 1), (100, 1), (200, 1), (300, 2)] {
            let names = Names::of(step, sample);
            for name in [names.video, names.plain, names.still] {
                std::fs::write(dir.path().join(name), "").unwrap();
            }
        }
        std::fs::write(dir.path().join("previews/.step-000150-sample-1.mp4.partial"), "").unwrap();
        let found = [99, 100, 199, 1000].map(|step| latest(dir.path(), 1, step));
        assert_eq!(found, [Some(0), Some(100), Some(100), Some(200)]);
        assert_eq!((latest(dir.path(), 2, 1000), latest(dir.path(), 3, 1000)), (Some(300), None));
    }

    #[test]
    fn pictures_are_scaled_down_in_proportion_and_never_up() {
        assert_eq!(within(320, [256, 128]), [256, 128]);
        assert_eq!(within(320, [960, 544]), [320, 180]);
        assert_eq!(within(320, [544, 960]), [180, 320]);
        assert_eq!(within(320, [960, 2]), [320, 2]);
    }

    #[test]
    fn the_plain_file_lies_beside() {
        assert_eq!(plain_beside(Path::new("a/b.c.mp4")), Path::new("a/b.c-plain.mp4"));
    }
}
