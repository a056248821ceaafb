//! Strips of examples: three frames each, as small pictures.

use image::{Rgb, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use tensor_batch::{Bucket, ClipSource, FittedClip};

use crate::{RunError, Stage, Watch, clips::FittedClips, sheet::tile};

/// Examples that are shown; the page says how many are not.
const MOST: usize = 24;
/// Pixels of the longer side of a frame.
const LONG_SIDE: u32 = 176;
const GAP: u32 = 4;
const BETWEEN: Rgb<u8> = Rgb([128, 128, 132]);
/// 1 to 100.
const QUALITY: u8 = 78;

/// JPEG pictures of the first examples, in their order: first, middle and last frame with the mask laid over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strips(pub(super) Vec<Vec<u8>>);

impl Strips {
    /// Draws them. One clip at a time is in memory.
    pub(crate) fn of(clips: &FittedClips, bucket: Bucket, watch: &mut Watch<'_>) -> Result<Self, RunError> {
        let shown = clips.len().min(MOST);
        watch.stage(Stage::Sheet, shown, |watch| {
            let mut strips = Vec::new();
            for index in 0..shown {
                let fitted = clips.get(index).map_err(|e| RunError::of(Stage::Sheet, e))?;
                strips.push(
                    jpeg(&strip(&fitted, bucket))
                        .map_err(|source| RunError::Failed { stage: Stage::Sheet, source: source.into() })?,
                );
                watch.done(index + 1)?;
            }
            Ok(Self(strips))
        })
    }
}

fn strip(fitted: &FittedClip, bucket: Bucket) -> RgbImage {
    let size = bucket.size();
    let long = size.width.max(size.height);
    let [width, height] = [size.width, size.height].map(|side| (side * LONG_SIDE / long).max(1));
    let mut strip = RgbImage::from_pixel(3 * width + 2 * GAP, height, BETWEEN);
    let frames = fitted.clip().pixels().dim().0;
    for (place, frame) in (0i64..).zip([0, frames / 2, frames - 1]) {
        let frame = tile::draw(fitted, frame, [width, height]);
        imageops::replace(&mut strip, &frame, place * i64::from(width + GAP), 0);
    }
    strip
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
    let mut jpeg = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(jpeg)
}
