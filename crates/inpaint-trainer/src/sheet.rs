//! The contact sheet: every example at a glance, with what its mask regenerates.

pub(crate) mod text;
pub(crate) mod tile;

use std::{
    io::{self, Cursor},
    path::Path,
};

use image::{ImageFormat, Rgb, RgbImage, imageops};
use lora_train::write_whole;
use tensor_batch::{Bucket, ClipSource, FittedClip};

use crate::{ExampleReport, FitReport, RunError, Stage, Watch, clips::FittedClips};

/// Examples one below the other.
const PER_COLUMN: usize = 64;
/// With [`PER_COLUMN`], this bounds a sheet to about 150 MB of pixels.
const COLUMNS: usize = 4;
/// Pixels of the longer side of a frame.
const LONG_SIDE: u32 = 256;
const GAP: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([24, 24, 28]);
const BRIGHT: Rgb<u8> = Rgb([236, 236, 236]);
const DIM: Rgb<u8> = Rgb([160, 160, 168]);

/// Draws the sheet of `clips`, whose reports are in the same order, and writes it to `path`.
pub(crate) fn write(
    clips: &FittedClips,
    report: &FitReport,
    bucket: Bucket,
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<(), RunError> {
    if clips.is_empty() {
        let msg = "the examples come encoded: there are no pictures of them";
        let detail = crate::Detail::new("value_error", "no-pictures", msg);
        return Err(RunError::rejected(vec![detail.within("training_data_url").within("body")]));
    }
    let layout = Layout::new(bucket, clips.len());
    watch.stage(Stage::Sheet, layout.shown, |watch| {
        let mut sheet = layout.empty(clips.len());
        for (index, about) in report.examples.iter().enumerate().take(layout.shown) {
            let fitted = clips.get(index).map_err(|e| RunError::of(Stage::Sheet, e))?;
            layout.draw(&mut sheet, index, about, &fitted);
            watch.done(index + 1)?;
        }
        png(&sheet).and_then(|bytes| write_whole(path, &bytes)).map_err(RunError::io(Stage::Sheet, path))
    })
}

/// The sheet of one example, as PNG.
pub(crate) fn one(about: &ExampleReport, fitted: &FittedClip, bucket: Bucket) -> io::Result<Vec<u8>> {
    let layout = Layout::new(bucket, 1);
    let mut sheet = layout.empty(1);
    layout.draw(&mut sheet, 0, about, fitted);
    png(&sheet)
}

fn png(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(png.into_inner())
}

/// Where everything is put.
struct Layout {
    bucket: Bucket,
    tile: [u32; 2],
    columns: u32,
    rows: u32,
    shown: usize,
}

impl Layout {
    fn new(bucket: Bucket, examples: usize) -> Self {
        let size = bucket.size();
        let long = size.width.max(size.height);
        let tile = [size.width, size.height].map(|side| (side * LONG_SIDE / long).max(1));
        let shown = examples.min(PER_COLUMN * COLUMNS);
        let columns = shown.div_ceil(PER_COLUMN).max(1);
        Self { bucket, tile, columns: columns as u32, rows: shown.div_ceil(columns) as u32, shown }
    }

    /// Width and height of an example: two lines of text above three frames.
    fn block(&self) -> [u32; 2] {
        let [width, height] = self.tile;
        [3 * width + 3 * GAP, 2 * text::HEIGHT + height + 3 * GAP]
    }

    fn head(&self) -> u32 {
        2 * text::HEIGHT + 3 * GAP
    }

    fn empty(&self, examples: usize) -> RgbImage {
        let [width, height] = self.block();
        let mut sheet = RgbImage::from_pixel(
            (self.columns * width + GAP).max(480),
            self.head() + self.rows * height + GAP,
            BACKGROUND,
        );
        let hidden = match examples - self.shown {
            0 => String::new(),
            more => format!(", {more} more are not shown"),
        };
        let examples = if examples == 1 { "1 example".to_owned() } else { format!("{examples} examples") };
        text::draw(&mut sheet, [GAP, GAP], &format!("{examples} in {}{hidden}", self.bucket), BRIGHT);
        let legend =
            "first, middle, last frame; red: white in the mask; outlined: latent cells to regenerate";
        text::draw(&mut sheet, [GAP, GAP + text::HEIGHT], legend, DIM);
        sheet
    }

    fn draw(&self, sheet: &mut RgbImage, index: usize, about: &ExampleReport, fitted: &FittedClip) {
        let [width, height] = self.block();
        let (column, row) = (index as u32 / self.rows.max(1), index as u32 % self.rows.max(1));
        let (left, top) = (GAP + column * width, self.head() + row * height);
        let columns = (width - GAP) / text::WIDTH;
        let line = |y, text: &str, colour, sheet: &mut RgbImage| {
            text::draw(sheet, [left, y], &text::shortened(text, columns as usize), colour);
        };
        line(top, &title(about), BRIGHT, sheet);
        line(top + text::HEIGHT, &about.caption, DIM, sheet);
        let frames = fitted.clip().pixels().dim().0;
        for (place, frame) in [0, frames / 2, frames - 1].into_iter().enumerate() {
            let tile = tile::draw(fitted, frame, self.tile);
            let x = left + place as u32 * (self.tile[0] + GAP);
            imageops::replace(sheet, &tile, x.into(), (top + 2 * text::HEIGHT + GAP).into());
        }
    }
}

fn title(about: &ExampleReport) -> String {
    let [width, height] = about.source_size;
    let warnings = match about.warnings.len() {
        0 => String::new(),
        _ => format!("  ! {}", about.warnings.join(", ")),
    };
    format!(
        "{}  {width}x{height}  {} of {} frames  {:.1} % of pixels, {:.1} % of cells{warnings}",
        about.name,
        about.frames,
        about.source_frames,
        100.0 * about.mask_coverage,
        100.0 * about.latent_coverage,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_fill_columns_and_a_sheet_is_bounded() {
        let bucket: Bucket = "768x448x89".parse().unwrap();
        for (examples, columns, rows, shown) in
            [(1, 1, 1, 1), (64, 1, 64, 64), (65, 2, 33, 65), (256, 4, 64, 256), (9999, 4, 64, 256)]
        {
            let layout = Layout::new(bucket, examples);
            assert_eq!((layout.columns, layout.rows, layout.shown), (columns, rows, shown));
        }
        assert_eq!(Layout::new(bucket, 1).tile, [256, 149]);
        let sheet = Layout::new("960x960x9".parse().unwrap(), 9999).empty(9999);
        assert!(sheet.len() < 200 << 20, "{} bytes", sheet.len());
    }
}
