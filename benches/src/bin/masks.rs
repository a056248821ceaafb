//! What each rule for masks leaves of the white as conditioning, and what it regenerates besides.
//!
//! `cargo run --release -p benches --bin masks`
//!
//! The white of every scene is known as rectangles of whole pixels of the mask. What of it lies in which cell follows
//! from the clip's geometry in whole numbers, and owes nothing to the code that fits masks.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{error::Error, io::Cursor, ops::Range};

use image::{GrayImage, ImageFormat, Luma};
use mask_norm::{Growth, ImageLimits, LatentRule, MaskError};
use ndarray::Array3;
use tensor_batch::{
    Bucket, CELL_PIXELS, Edit, FitPlan, FrameCount, FrameList, FrameRate, Geometry, LatentFrames, Mask, Size,
};

const FRAMES: u32 = 89;
/// The side of the square, in pixels of the mask.
const SQUARE: u32 = 160;
const SPEEDS: [u32; 4] = [0, 2, 4, 6];
const RULES: [(&str, LatentRule); 3] = [
    ("Reference", LatentRule::Reference),
    ("Half", LatentRule::Half(Growth { pixels: 0, frames: 0 })),
    ("Cover", LatentRule::Cover(Growth { pixels: 0, frames: 0 })),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("left   share of the white area inside the crop, over all frames, that lies in kept cells");
    println!(
        "extra  area of regenerated cells, over all their frames, without white, as a share of the white area"
    );
    println!("{FRAMES} frames; the square is {SQUARE} pixels wide and high and moves right and down");
    println!("\n{:<44} {:>9} {:>9} {:>9}", "", "rule", "left", "extra");
    let bucket = Size { width: 768, height: 768 };
    for speed in SPEEDS {
        let name = format!("square from 37,53 by {speed} a frame");
        let scene = Scene::square(name, Size { width: 768, height: 768 }, (37, 53), speed, bucket)?;
        scene.print(Source::Video)?;
    }
    for speed in SPEEDS {
        let name = format!("16:9 in 1:1, square from 293,11 by {speed}");
        let scene = Scene::square(name, Size { width: 1280, height: 720 }, (293, 11), speed, bucket)?;
        scene.print(Source::Video)?;
    }
    let large = Size { width: 3840, height: 2160 };
    let level = (0..large.width).map(|x| Rect::pixel(x, 1234));
    Scene::still("3840x2160 in 1:1, line along row 1234".into(), large, level, bucket)?
        .print(Source::Image)?;
    let sloping = (0..large.width).map(|x| Rect::pixel(x, 500 + x / 3));
    Scene::still("3840x2160 in 1:1, line that sinks by 1 in 3".into(), large, sloping, bucket)?
        .print(Source::Image)
}

/// White pixels of a mask.
#[derive(Clone)]
struct Rect {
    columns: Range<u32>,
    rows: Range<u32>,
}

impl Rect {
    fn pixel(x: u32, y: u32) -> Self {
        Self { columns: x..x + 1, rows: y..y + 1 }
    }
}

enum Source {
    Image,
    Video,
}

/// A mask as large as its clip, and the clip's plan.
struct Scene {
    name: String,
    size: Size,
    /// The white of each frame; rectangles do not overlap.
    white: Vec<Vec<Rect>>,
    plan: FitPlan,
}

impl Scene {
    fn new(name: String, size: Size, white: Vec<Vec<Rect>>, target: Size) -> Result<Self, Box<dyn Error>> {
        let bucket = Bucket::new(target.width, target.height, FrameCount::new(FRAMES)?)?;
        let frames = FrameList::first(bucket.frames(), FRAMES).ok_or("too few frames")?;
        Ok(Self { name, size, white, plan: FitPlan::new(size, bucket, frames, FrameRate::DEFAULT) })
    }

    fn square(
        name: String,
        size: Size,
        (x, y): (u32, u32),
        speed: u32,
        target: Size,
    ) -> Result<Self, Box<dyn Error>> {
        let at = |from: u32, frame: u32| from + speed * frame..from + speed * frame + SQUARE;
        let white = (0..FRAMES).map(|f| vec![Rect { columns: at(x, f), rows: at(y, f) }]);
        Self::new(name, size, white.collect(), target)
    }

    fn still(
        name: String,
        size: Size,
        white: impl Iterator<Item = Rect>,
        target: Size,
    ) -> Result<Self, Box<dyn Error>> {
        Self::new(name, size, vec![white.collect(); FRAMES as usize], target)
    }

    /// One line of the table for each rule.
    fn print(&self, source: Source) -> Result<(), Box<dyn Error>> {
        for (name, rule) in RULES {
            let cells = match source {
                Source::Image => rule.image(&self.png()?, &ImageLimits::default(), &self.plan)?.cells,
                Source::Video => rule.video(self.frames(), FRAMES, &self.plan)?.cells,
            };
            let [left, extra] = self.shares(&cells).map(|share| 100.0 * share);
            println!("{:<44} {name:>9} {left:>7.2} % {extra:>7.2} %", self.name);
        }
        Ok(())
    }

    fn frames(&self) -> impl Iterator<Item = Result<Array3<u8>, MaskError>> {
        self.white.iter().map(|white| {
            let mut frame = Array3::zeros((self.size.height as usize, self.size.width as usize, 3));
            for (x, y) in white.iter().flat_map(pixels) {
                (0..3).for_each(|channel| frame[[y as usize, x as usize, channel]] = 255);
            }
            Ok(frame)
        })
    }

    /// The first frame as a file.
    fn png(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut image = GrayImage::new(self.size.width, self.size.height);
        self.white[0].iter().flat_map(pixels).for_each(|(x, y)| image.put_pixel(x, y, Luma([255])));
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png)?;
        Ok(file.into_inner())
    }

    /// The white left in kept cells, and the area without white in regenerated ones, as shares of the white.
    fn shares(&self, cells: &Mask<Edit>) -> [f64; 2] {
        let geometry = &self.plan.geometry;
        let (mut white, mut left, mut extra) = (0, 0, 0);
        for ((k, y, x), regenerated) in cells.values().indexed_iter() {
            let cell = Cell::new(geometry, self.size, x as u32, y as u32);
            for frame in LatentFrames::pixel_frames(k as u32) {
                let inside = self.white[frame as usize].iter().map(|rect| cell.white(rect)).sum::<u128>();
                white += inside;
                left += if *regenerated { 0 } else { inside };
                extra += if *regenerated { cell.area() - inside } else { 0 };
            }
        }
        [left, extra].map(|area| area as f64 / white as f64)
    }
}

fn pixels(rect: &Rect) -> impl Iterator<Item = (u32, u32)> {
    let columns = rect.columns.clone();
    rect.rows.clone().flat_map(move |y| columns.clone().map(move |x| (x, y)))
}

/// Where a cell lies on the mask. Along each axis the whole clip has as many parts as pixels of the mask times pixels
/// of the resized clip: all edges fall on whole parts.
struct Cell {
    columns: Range<u128>,
    rows: Range<u128>,
    /// Parts of a pixel of the mask, across and down.
    pixel: [u128; 2],
}

impl Cell {
    fn new(geometry: &Geometry, mask: Size, x: u32, y: u32) -> Self {
        let parts = |cell: u32, offset: u32, pixels: u32| {
            let edge = |cell: u32| u128::from(offset + CELL_PIXELS * cell) * u128::from(pixels);
            edge(cell)..edge(cell + 1)
        };
        Self {
            columns: parts(x, geometry.left, mask.width),
            rows: parts(y, geometry.top, mask.height),
            pixel: [geometry.resized.width, geometry.resized.height].map(u128::from),
        }
    }

    fn area(&self) -> u128 {
        (self.columns.end - self.columns.start) * (self.rows.end - self.rows.start)
    }

    fn white(&self, rect: &Rect) -> u128 {
        let overlap = |cell: &Range<u128>, pixels: &Range<u32>, pixel: u128| {
            let [start, end] = [pixels.start, pixels.end].map(|at| u128::from(at) * pixel);
            cell.end.min(end).saturating_sub(cell.start.max(start))
        };
        overlap(&self.columns, &rect.columns, self.pixel[0]) * overlap(&self.rows, &rect.rows, self.pixel[1])
    }
}
