//! The reel: for every sample side by side its source, its mask, the result before training and the result now.

use std::path::Path;

use image::{Rgb, RgbImage, imageops};
use ndarray::{ArrayView3, Axis};
use tensor_batch::{FittedClip, FrameRate, Size};
use video_fit::{Frames, Limits, VideoError, write_mp4};

use super::files::{self, Names};
use crate::sheet::{text, tile};

/// Pixels of the longer side of a frame: four of them side by side stay within a full HD screen.
const LONG_SIDE: u32 = 468;
const GAP: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([24, 24, 28]);
const BRIGHT: Rgb<u8> = Rgb([236, 236, 236]);
const DIM: Rgb<u8> = Rgb([160, 160, 168]);
const COLUMNS: u32 = 4;

/// One sample.
pub(crate) struct Row<'a> {
    pub(crate) fitted: &'a FittedClip,
    /// From 1.
    pub(crate) number: usize,
    pub(crate) prompt: &'a str,
}

/// Writes the reel of the previews in `out` up to `step` of `steps`. It has the rate of the fastest sample, and lasts as
/// long as the longest; the others hold their frames.
pub(crate) fn write(
    out: &Path,
    rows: &[Row<'_>],
    step: u64,
    steps: u64,
    limits: &Limits,
) -> Result<(), VideoError> {
    let Some(rate) =
        rows.iter().map(|row| row.fitted.clip().rate()).max_by(|a, b| a.fps().total_cmp(&b.fps()))
    else {
        return Ok(());
    };
    let mut lanes = Vec::new();
    for row in rows {
        lanes.push(Lane::open(out, row, step, steps, limits)?);
    }
    let layout = Layout::new(&lanes);
    let count = lanes.iter().map(|lane| lane.lasts(rate)).max().unwrap_or(0);
    let mut canvas = layout.empty(&lanes);
    let mut failure = None;
    let frames = (0..count).map_while(|frame| {
        for (index, lane) in lanes.iter_mut().enumerate() {
            if let Err(error) = layout.draw(&mut canvas, index, lane, frame, rate) {
                failure = Some(error);
                return None;
            }
        }
        let shape = (canvas.height() as usize, canvas.width() as usize, 3);
        ArrayView3::from_shape(shape, canvas.as_raw()).ok().map(|view| view.to_owned())
    });
    // The file is not published if a frame is missing: a reel that ends early says something that is not so.
    let partial = out.join(".reel.mp4");
    let written = write_mp4(&partial, layout.size(), rate, frames);
    let published = match (written, failure) {
        (Err(error), _) | (Ok(()), Some(error)) => Err(error),
        (Ok(()), None) => std::fs::rename(&partial, out.join(files::REEL))
            .map_err(|source| VideoError::Io { what: "rename", source }),
    };
    if published.is_err() {
        // It is of no use to anyone, and the error says why.
        let _ = std::fs::remove_file(&partial);
    }
    published
}

/// One sample, being played.
struct Lane<'a> {
    row: &'a Row<'a>,
    tile: [u32; 2],
    labels: [String; COLUMNS as usize],
    before: Option<Player>,
    now: Option<Player>,
}

impl<'a> Lane<'a> {
    fn open(
        out: &Path,
        row: &'a Row<'a>,
        step: u64,
        steps: u64,
        limits: &Limits,
    ) -> Result<Self, VideoError> {
        let (_, height, width, _) = row.fitted.clip().pixels().dim();
        let tile = files::within(LONG_SIDE, [width as u32, height as u32]);
        let player = |step| Player::open(&out.join(Names::of(step, row.number).video), tile, limits);
        let latest = files::latest(out, row.number, step);
        let first = files::latest(out, row.number, 0);
        let now = match latest {
            Some(0) => "before training".to_owned(),
            Some(step) if step == steps => format!("after training: step {step}"),
            Some(step) => format!("step {step} of {steps}"),
            None => "no preview".to_owned(),
        };
        let before = if first.is_some() { "before training" } else { "no preview" };
        Ok(Self {
            row,
            tile,
            labels: ["source".to_owned(), "mask, cells".to_owned(), before.to_owned(), now],
            before: first.map(player).transpose()?,
            now: latest.map(player).transpose()?,
        })
    }

    fn frames(&self) -> usize {
        self.row.fitted.clip().pixels().len_of(Axis(0))
    }

    /// How many frames of `rate` this sample is long.
    fn lasts(&self, rate: FrameRate) -> usize {
        (self.frames() as f64 * rate.fps() / self.row.fitted.clip().rate().fps() - 1e-6).ceil() as usize
    }

    /// Which of its own frames is shown in frame `index` at `rate`.
    fn shown(&self, index: usize, rate: FrameRate) -> usize {
        shown(index, rate, self.row.fitted.clip().rate(), self.frames())
    }
}

fn shown(index: usize, rate: FrameRate, own: FrameRate, frames: usize) -> usize {
    let at = (index as f64 * own.fps() / rate.fps() + 1e-6).floor() as usize;
    at.min(frames.saturating_sub(1))
}

/// A preview that is decoded as it is shown; its last frame is held.
struct Player {
    frames: Frames,
    next: usize,
    tile: [u32; 2],
    picture: RgbImage,
}

impl Player {
    fn open(path: &Path, tile: [u32; 2], limits: &Limits) -> Result<Self, VideoError> {
        let picture = RgbImage::from_pixel(tile[0], tile[1], BACKGROUND);
        Ok(Self { frames: Frames::open(path, limits)?, next: 0, tile, picture })
    }

    fn at(&mut self, index: usize) -> Result<&RgbImage, VideoError> {
        if index >= self.next
            && let Some(frame) = self.frames.nth(index - self.next)
        {
            self.picture = files::scaled(&files::picture(frame?.pixels.view()), self.tile);
            self.next = index + 1;
        }
        Ok(&self.picture)
    }
}

/// Where everything is put.
struct Layout {
    width: u32,
    /// The upper edge of every sample, and of what is below all.
    tops: Vec<u32>,
}

impl Layout {
    fn new(lanes: &[Lane<'_>]) -> Self {
        let width = lanes.iter().map(|lane| COLUMNS * (lane.tile[0] + GAP) + GAP).max().unwrap_or(0);
        let mut tops = vec![GAP];
        for lane in lanes {
            let top = tops.last().copied().unwrap_or(0);
            tops.push(top + 2 * text::HEIGHT + GAP + lane.tile[1] + GAP);
        }
        Self { width, tops }
    }

    /// Even, as video wants it.
    fn size(&self) -> Size {
        let even = |side: u32| side.next_multiple_of(2);
        Size { width: even(self.width), height: even(self.tops.last().copied().unwrap_or(0)) }
    }

    /// Everything but the frames.
    fn empty(&self, lanes: &[Lane<'_>]) -> RgbImage {
        let Size { width, height } = self.size();
        let mut canvas = RgbImage::from_pixel(width, height, BACKGROUND);
        for (lane, top) in lanes.iter().zip(&self.tops) {
            let fits = |pixels: u32| (pixels / text::WIDTH) as usize;
            let title = format!("sample {}: {}", lane.row.number, lane.row.prompt.replace('\n', " "));
            let title = text::shortened(&title, fits(self.width - 2 * GAP));
            text::draw(&mut canvas, [GAP, *top], &title, DIM);
            for (column, label) in (0u32..).zip(&lane.labels) {
                let at = [GAP + column * (lane.tile[0] + GAP), top + text::HEIGHT];
                text::draw(&mut canvas, at, &text::shortened(label, fits(lane.tile[0])), BRIGHT);
            }
        }
        canvas
    }

    /// Draws a sample as it is in frame `frame` at `rate`.
    fn draw(
        &self,
        canvas: &mut RgbImage,
        index: usize,
        lane: &mut Lane<'_>,
        frame: usize,
        rate: FrameRate,
    ) -> Result<(), VideoError> {
        let own = lane.shown(frame, rate);
        let y = self.tops[index] + 2 * text::HEIGHT + GAP;
        let mut put = |column: u32, picture: &RgbImage| {
            let x = GAP + column * (picture.width() + GAP);
            imageops::replace(canvas, picture, x.into(), y.into());
        };
        let fitted = lane.row.fitted;
        let source = files::picture(fitted.clip().pixels().index_axis(Axis(0), own));
        put(0, &files::scaled(&source, lane.tile));
        put(1, &tile::draw(fitted, own, lane.tile));
        for (column, player) in [(2, &mut lane.before), (3, &mut lane.now)] {
            if let Some(player) = player {
                put(column, player.at(own)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_sample_holds_its_frames_in_a_faster_reel() {
        let rate = |fps| FrameRate::new(fps).unwrap();
        let of = |own| (0..6).map(|i| shown(i, rate(24.0), rate(own), 4)).collect::<Vec<_>>();
        assert_eq!(of(24.0), [0, 1, 2, 3, 3, 3]);
        assert_eq!(of(12.0), [0, 0, 1, 1, 2, 2]);
        assert_eq!(of(16.0), [0, 0, 1, 2, 2, 3]);
    }
}
