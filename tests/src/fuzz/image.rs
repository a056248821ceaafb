//! The target `image`: mask images of every format are decoded and laid over a clip.

use std::{fs, io::Cursor};

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgba, RgbaImage};
use mask_norm::{Growth, ImageLimits, LatentRule};
use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, FrameRate, LatentMask, Size};

use super::{
    bmp, jpeg,
    judge::{self, Answer, Flaw, Verdict, holds},
    png,
    random::Random,
    seeds,
    target::{Input, Place, Target},
    tree::Format,
    webp,
};

/// Tight, so that they are met often.
pub(super) const LIMITS: ImageLimits = ImageLimits { max_side: 512, max_bytes: 8 << 20 };

pub(super) struct ImageTarget;

impl Target for ImageTarget {
    fn good(&self) -> Vec<Input> {
        let mut random = Random::new(0, "good", 0);
        let mut good = seeds::JPEGS.map(|bytes| Input::new("jpg", bytes)).to_vec();
        good.extend(seeds::WEBPS.map(|bytes| Input::new("webp", bytes)));
        good.extend(
            [0, 2, 3, 4, 6].map(|colour| Input::new("png", png::picture(40, 24, 8, colour, &mut random))),
        );
        good.push(Input::new("bmp", bmp::picture(40, 24, 0, (40, 24), &mut random)));
        good
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        spoilt(random)
    }

    fn run(&self, input: &Input, at: &Place) -> Verdict {
        let bytes = fs::read(&at.file)?;
        let plan = plan(&input.bytes).ok_or_else(|| Flaw::Broken("no plan can be made".to_owned()))?;
        for rule in [LatentRule::Cover(Growth { pixels: 2, frames: 1 }), LatentRule::Reference] {
            let mask = match rule.image(&bytes, &LIMITS, &plan) {
                Ok(mask) => mask,
                Err(error) => return judge::error(&error),
            };
            let Size { width, height } = mask.seen.size;
            holds(width.max(height) <= LIMITS.max_side, || format!("the mask is {width}x{height}"))?;
            let target = plan.geometry.target;
            let wanted = [plan.frames.indices().len(), target.height as usize, target.width as usize];
            let found = mask.pixels.dims();
            holds(found == wanted, || format!("the fitted mask is {found:?}, not {wanted:?}"))?;
            let (pixels, latent) = (mask.pixels.coverage(), LatentMask::new(mask.cells.into_keep()));
            let is_cover = rule != LatentRule::Reference;
            holds(!is_cover || latent.is_some() == (pixels > 0.0), || {
                format!("{pixels} of the pixels are white, and the cells are {latent:?}")
            })?;
        }
        Ok(Answer::Accepted)
    }
}

/// A spoilt image of any format.
pub(super) fn spoilt(random: &mut Random) -> Input {
    match random.below(10) {
        0..=3 => {
            let (file, other) = (any_png(random), any_png(random));
            mutated("png", &png::PNG, &file, &other, random)
        }
        4 | 5 => {
            let (file, other) = (any_jpeg(random), any_jpeg(random));
            mutated("jpg", &jpeg::JPEG, &file, &other, random)
        }
        6..=8 => {
            let (file, other) = (any_webp(random), any_webp(random));
            mutated("webp", &webp::WEBP, &file, &other, random)
        }
        _ => Input::new("bmp", bmp::mutated(random)),
    }
}

fn mutated(
    extension: &'static str,
    format: &Format,
    file: &[u8],
    other: &[u8],
    random: &mut Random,
) -> Input {
    Input::new(extension, format.mutate(file, other, random))
}

fn any_png(random: &mut Random) -> Vec<u8> {
    if random.chance(40) {
        return encoded(random, ImageFormat::Png);
    }
    let (depth, colour) = random.pick(&[
        (1, 0),
        (2, 0),
        (4, 0),
        (8, 0),
        (16, 0),
        (8, 2),
        (16, 2),
        (1, 3),
        (4, 3),
        (8, 3),
        (8, 4),
        (16, 4),
        (8, 6),
        (16, 6),
    ]);
    let (width, height) = (random.few(60) as u32, random.few(60) as u32);
    png::picture(width, height, depth, colour, random)
}

fn any_jpeg(random: &mut Random) -> Vec<u8> {
    match random.chance(30) {
        true => encoded(random, ImageFormat::Jpeg),
        false => random.pick(&seeds::JPEGS).to_vec(),
    }
}

fn any_webp(random: &mut Random) -> Vec<u8> {
    match random.chance(20) {
        true => encoded(random, ImageFormat::WebP),
        false => random.pick(&seeds::WEBPS).to_vec(),
    }
}

/// A picture as the image crate writes it; nothing, which is no image either, if it does not.
fn encoded(random: &mut Random, format: ImageFormat) -> Vec<u8> {
    let (width, height) = (random.few(80) as u32, random.few(60) as u32);
    let level = |x: u32, y: u32| (x * 7 + y * 13) as u8;
    let grey: DynamicImage = GrayImage::from_fn(width, height, |x, y| Luma([level(x, y)])).into();
    let colour = RgbaImage::from_fn(width, height, |x, y| Rgba([level(x, y), level(y, x), 200, level(x, 0)]));
    let picture = match (random.below(4), format) {
        (0, ImageFormat::Png) => DynamicImage::from(colour).to_luma_alpha16().into(),
        (1, ImageFormat::Png | ImageFormat::WebP) => colour.into(),
        (2, _) => DynamicImage::from(colour).to_rgb8().into(),
        _ => grey,
    };
    let mut bytes = Cursor::new(Vec::new());
    let written = picture.write_to(&mut bytes, format);
    written.map(|()| bytes.into_inner()).unwrap_or_default()
}

/// A plan for a clip of some shape, which the input decides, so that it is the same for the same input.
fn plan(bytes: &[u8]) -> Option<FitPlan> {
    let mut random = Random::new(super::bytes::crc32(bytes).into(), "plan", 0);
    let side = |random: &mut Random| 32 * random.few(3) as u32;
    let bucket = Bucket::new(side(&mut random), side(&mut random), FrameCount::MIN).ok()?;
    let source = Size { width: random.few(400) as u32, height: random.few(400) as u32 };
    let frames = FrameList::first(bucket.frames(), 9)?;
    Some(FitPlan::new(source, bucket, frames, FrameRate::DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::{super::tree::tests::check_format, *};

    #[test]
    fn pictures_are_written_as_they_were() {
        check_format(&jpeg::JPEG, &seeds::JPEGS.map(<[u8]>::to_vec));
        check_format(&webp::WEBP, &seeds::WEBPS.map(<[u8]>::to_vec));
        let encoded: Vec<_> =
            (0..4).map(|case| encoded(&mut Random::new(0, "", case), ImageFormat::Png)).collect();
        check_format(&png::PNG, &encoded);
    }
}
