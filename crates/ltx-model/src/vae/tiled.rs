//! Encoding and decoding tile by tile, where the whole does not fit into memory.

use std::ops::Range;

use burn::tensor::Tensor;
use tensor_batch::{CELL_FRAMES, CELL_PIXELS};

use super::{
    Interval, Tile, Tiling, TilingError, VideoDecoder, VideoEncoder,
    blend::{OverlapAdd, Span, spans},
};

const FRAMES: usize = 2;
const HEIGHT: usize = 3;
const WIDTH: usize = 4;

impl VideoEncoder {
    /// [`encode`](VideoEncoder::encode) in tiles along all axes.
    ///
    /// # Errors
    /// If tiles overlap by less than 16 frames or 64 pixels.
    ///
    /// # Panics
    /// As [`encode`](VideoEncoder::encode).
    pub fn encode_tiled(&self, pixels: Tensor<5>, tiling: &Tiling) -> Result<Tensor<5>, TilingError> {
        tiling.check_for_encoding()?;
        let [frames, height, width] = latent_sizes(&pixels);
        let layout = Layout::of_encoding([
            Interval::temporal(frames, tiling.frames),
            Interval::spatial(height, tiling.height),
            Interval::spatial(width, tiling.width),
        ]);
        Ok(Tensor::cat(layout.blend(pixels, |tile| self.encode(tile)).collect(), FRAMES))
    }

    /// [`encode`](VideoEncoder::encode) in square tiles of all frames, as training data is prepared where it must
    /// be: 512 pixels with an overlap of 128 are usual.
    ///
    /// # Errors
    /// If the tile's size or overlap is no multiple of 32.
    ///
    /// # Panics
    /// As [`encode`](VideoEncoder::encode).
    pub fn encode_tiled_spatially(&self, pixels: Tensor<5>, tile: Tile) -> Result<Tensor<5>, TilingError> {
        let [frames, height, width] = latent_sizes(&pixels);
        let layout = Layout::of_encoding([
            Interval::temporal(frames, None),
            Interval::on_grid(height, tile)?,
            Interval::on_grid(width, tile)?,
        ]);
        Ok(Tensor::cat(layout.blend(pixels, |tile| self.encode(tile)).collect(), FRAMES))
    }
}

impl VideoDecoder {
    /// [`decode`](VideoDecoder::decode) in tiles: the chunks' concatenation over frames is the video. A chunk is
    /// made when asked for, so that one group of frames at a time is in memory.
    ///
    /// 80 frames with an overlap of 24 and 768 pixels with 64 are usual; for previews 48 with 24 and 384 with 192.
    pub fn decode_chunks(&self, latents: Tensor<5>, tiling: &Tiling) -> impl Iterator<Item = Tensor<5>> {
        let [_, _, frames, height, width] = latents.dims();
        let layout = Layout::of_decoding([
            Interval::temporal(frames, tiling.frames),
            Interval::spatial(height, tiling.height),
            Interval::spatial(width, tiling.width),
        ]);
        layout.blend(latents, |tile| self.decode(tile))
    }

    /// All of [`decode_chunks`](VideoDecoder::decode_chunks) together.
    pub fn decode_tiled(&self, latents: Tensor<5>, tiling: &Tiling) -> Tensor<5> {
        Tensor::cat(self.decode_chunks(latents, tiling).collect(), FRAMES)
    }
}

/// The tiles of each axis.
struct Layout {
    frames: Vec<Span>,
    height: Vec<Span>,
    width: Vec<Span>,
}

impl Layout {
    /// From pixels to the latents of `intervals`, blended there.
    fn of_encoding([frames, height, width]: [Vec<Interval>; 3]) -> Self {
        let space = |latents: Vec<Interval>| {
            let pixels = latents.iter().map(|interval| interval.to_pixels());
            spans(pixels, &latents, Interval::spatial_weights)
        };
        let pixel_frames = frames.iter().map(|interval| interval.to_frames());
        Self {
            frames: spans(pixel_frames, &frames, Interval::temporal_weights),
            height: space(height),
            width: space(width),
        }
    }

    /// From the latents of `intervals` to pixels, blended there.
    fn of_decoding([frames, height, width]: [Vec<Interval>; 3]) -> Self {
        let space = |latents: Vec<Interval>| {
            let pixels: Vec<Interval> = latents.iter().map(|interval| interval.to_pixels()).collect();
            spans(latents.into_iter(), &pixels, Interval::spatial_weights)
        };
        let pixel_frames: Vec<Interval> = frames.iter().map(|interval| interval.to_frames()).collect();
        Self {
            frames: spans(frames.into_iter(), &pixel_frames, Interval::temporal_weights),
            height: space(height),
            width: space(width),
        }
    }

    /// The result, in groups of finished frames.
    fn blend(self, x: Tensor<5>, tile: impl Fn(Tensor<5>) -> Tensor<5>) -> impl Iterator<Item = Tensor<5>> {
        OverlapAdd::new(FRAMES, self.frames, move |frames| {
            let group = slice(&x, FRAMES, frames);
            let row = |rows| {
                let row = slice(&group, HEIGHT, rows);
                OverlapAdd::new(WIDTH, self.width.clone(), |columns| tile(slice(&row, WIDTH, columns)))
                    .whole()
            };
            OverlapAdd::new(HEIGHT, self.height.clone(), row).whole()
        })
    }
}

/// Frames, height and width of the latents of `pixels`.
fn latent_sizes(pixels: &Tensor<5>) -> [usize; 3] {
    let [_, _, frames, height, width] = pixels.dims();
    [(frames - 1) / CELL_FRAMES as usize + 1, height / CELL_PIXELS as usize, width / CELL_PIXELS as usize]
}

fn slice(x: &Tensor<5>, axis: usize, range: Range<usize>) -> Tensor<5> {
    x.clone().narrow(axis, range.start, range.len())
}
