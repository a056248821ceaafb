//! Sizes: the nine of the service, and any that the model can take.

use std::{fmt, str::FromStr};

use crate::{CELL_PIXELS, FrameCount, OutOfRange};

/// Width and height in pixels, both above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How large the fitted clips are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Resolution {
    Low,
    Medium,
    High,
}

/// Width to height of the fitted clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AspectRatio {
    /// 16:9.
    Wide,
    /// 1:1.
    Square,
    /// 9:16.
    Tall,
}

/// The one size that all clips of a run are fitted to: width and height multiples of 32, frames 8k+1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    size: Size,
    frames: FrameCount,
}

impl Bucket {
    /// A bucket of any size that the model can take.
    ///
    /// # Errors
    /// If width or height is 0, above 8192 or no multiple of 32.
    pub fn new(width: u32, height: u32, frames: FrameCount) -> Result<Self, OutOfRange> {
        for (what, pixels) in [("bucket width", width), ("bucket height", height)] {
            if pixels == 0 || pixels > 8192 || !pixels.is_multiple_of(CELL_PIXELS) {
                return Err(OutOfRange::new(what, pixels, "a multiple of 32, at most 8192"));
            }
        }
        Ok(Self { size: Size { width, height }, frames })
    }

    /// One of the nine sizes of the service.
    pub fn preset(resolution: Resolution, aspect: AspectRatio, frames: FrameCount) -> Self {
        use {AspectRatio as A, Resolution as R};
        let (width, height) = match (resolution, aspect) {
            (R::Low, A::Wide) => (512, 288),
            (R::Low, A::Square) => (512, 512),
            (R::Low, A::Tall) => (288, 512),
            (R::Medium, A::Wide) => (768, 448),
            (R::Medium, A::Square) => (768, 768),
            (R::Medium, A::Tall) => (448, 768),
            (R::High, A::Wide) => (960, 544),
            (R::High, A::Square) => (960, 960),
            (R::High, A::Tall) => (544, 960),
        };
        Self { size: Size { width, height }, frames }
    }

    /// The bucket for a clip of size `source` and `frames` frames, by the reference trainer's rule: of the buckets
    /// with no more frames than the clip, the one of the nearest aspect ratio, by the distance of the logarithms; of
    /// several the one with most frames, then the largest, then the first. None if every bucket has too many frames.
    pub fn nearest(buckets: &[Self], source: Size, frames: u32) -> Option<Self> {
        let aspect = |size: Size| (f64::from(size.width) / f64::from(size.height)).ln();
        let distance = |bucket: &Self| (aspect(source) - aspect(bucket.size)).abs();
        let area = |bucket: &Self| bucket.size.width * bucket.size.height;
        let filled = buckets.iter().copied().filter(|bucket| bucket.frames.get() <= frames);
        filled.min_by(|a, b| {
            let by_aspect = distance(a).total_cmp(&distance(b));
            by_aspect.then(b.frames.cmp(&a.frames)).then(area(b).cmp(&area(a)))
        })
    }

    /// Width and height in pixels.
    pub fn size(self) -> Size {
        self.size
    }

    /// Pixel frames.
    pub fn frames(self) -> FrameCount {
        self.frames
    }

    /// The latent cells of a clip in this bucket.
    pub fn latent_grid(self) -> LatentGrid {
        LatentGrid {
            frames: self.frames.latent().get() as usize,
            height: (self.size.height / CELL_PIXELS) as usize,
            width: (self.size.width / CELL_PIXELS) as usize,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.size, self.frames)
    }
}

impl FromStr for Bucket {
    type Err = OutOfRange;

    /// Reads `WxHxF`, as in `768x448x89`.
    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        let shape = || OutOfRange::new("bucket", text, "WIDTHxHEIGHTxFRAMES, as in 256x256x25");
        let numbers: Vec<u32> =
            text.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| shape())?;
        let [width, height, frames] = numbers[..] else { return Err(shape()) };
        Self::new(width, height, FrameCount::new(frames)?)
    }
}

/// The latent cells of a clip: one model token each, in frame, height, width order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LatentGrid {
    /// Latent frames.
    pub frames: usize,
    /// Cells down.
    pub height: usize,
    /// Cells across.
    pub width: usize,
}

impl LatentGrid {
    /// Cells, which are the model's tokens.
    pub fn tokens(self) -> usize {
        self.frames * self.height * self.width
    }

    /// `[frames, height, width]`.
    pub fn dims(self) -> [usize; 3] {
        [self.frames, self.height, self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_reads_what_it_prints() {
        let bucket: Bucket = "768x448x89".parse().unwrap();
        assert_eq!(bucket.to_string().parse(), Ok(bucket));
        assert_eq!(bucket.latent_grid().dims(), [12, 14, 24]);
    }

    #[test]
    fn sizes_that_the_model_cannot_take_are_refused() {
        for wrong in ["768x450x89", "768x448x88", "768x448", "0x32x9", "axbxc", "32x32x9x1", "32x9984x9"] {
            assert!(wrong.parse::<Bucket>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_bucket_agrees_in_aspect_then_in_frames_then_in_area() {
        let listed = ["64x64x9", "64x64x25", "96x96x25", "128x64x49", "64x128x49", "32x128x9"];
        let buckets = listed.map(|bucket| bucket.parse().unwrap());
        let nearest = |width, height, frames| {
            let nearest = Bucket::nearest(&buckets, Size { width, height }, frames);
            nearest.map(|bucket| bucket.to_string())
        };
        assert_eq!(nearest(50, 51, 60).as_deref(), Some("96x96x25"));
        assert_eq!(nearest(50, 51, 24).as_deref(), Some("64x64x9"));
        assert_eq!(nearest(1920, 1080, 49).as_deref(), Some("128x64x49"));
        assert_eq!(nearest(1920, 1080, 48).as_deref(), Some("96x96x25"));
        // 0.36 is nearer to 1:2 by logarithm, to 1:4 by quotient.
        assert_eq!(nearest(360, 1000, 49).as_deref(), Some("64x128x49"));
        assert_eq!(nearest(50, 50, 8), None);
    }

    #[test]
    fn of_equally_near_buckets_the_first_is_taken() {
        let [wide, tall]: [Bucket; 2] = ["128x64x9", "64x128x9"].map(|bucket| bucket.parse().unwrap());
        let square = Size { width: 100, height: 100 };
        assert_eq!(Bucket::nearest(&[wide, tall], square, 9), Some(wide));
        assert_eq!(Bucket::nearest(&[tall, wide], square, 9), Some(tall));
    }

    #[test]
    fn every_preset_is_a_valid_bucket() {
        for resolution in [Resolution::Low, Resolution::Medium, Resolution::High] {
            for aspect in [AspectRatio::Wide, AspectRatio::Square, AspectRatio::Tall] {
                let bucket = Bucket::preset(resolution, aspect, FrameCount::MIN);
                let Size { width, height } = bucket.size();
                assert_eq!(Bucket::new(width, height, FrameCount::MIN), Ok(bucket));
            }
        }
    }
}
