//! The preprocessed data, for the user to look at: `debug_dataset.zip`.

use std::{
    fs::{self, File},
    io::{self, Cursor, Write},
    path::{Path, PathBuf},
};

use image::{GrayImage, ImageFormat, Luma};
use lora_train::write_whole_with;
use ndarray::{Array3, Axis};
use tensor_batch::{FittedClip, LatentMask, Size};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{RunError, Stage};

/// Pixels along the side of a cell in the picture of a latent mask.
const CELL: u32 = 16;

/// Collects what was fitted, clip by clip, on disk.
#[derive(Debug)]
pub(crate) struct DebugDataset {
    folder: PathBuf,
    files: Vec<(String, PathBuf)>,
    examples: usize,
}

impl DebugDataset {
    /// Collects in `folder`, which is made.
    pub(crate) fn create(folder: PathBuf) -> Result<Self, RunError> {
        fs::create_dir_all(&folder).map_err(RunError::io(Stage::EncodeClips, &folder))?;
        Ok(Self { folder, files: Vec::new(), examples: 0 })
    }

    /// Adds the fitted clip and its mask as mp4, the latent mask as png (its frames side by side, white =
    /// regenerate), and the caption.
    pub(crate) fn add(&mut self, fitted: &FittedClip) -> Result<(), RunError> {
        let (clip, failed) = (fitted.clip(), |e| RunError::of(Stage::EncodeClips, e));
        let shape = clip.pixels().shape();
        let size = Size { width: shape[2] as u32, height: shape[1] as u32 };
        let path = self.file(fitted, "clip.mp4");
        video_fit::write_mp4(&path, size, clip.rate(), clip.pixels().outer_iter()).map_err(failed)?;
        let path = self.file(fitted, "mask.mp4");
        let frames = fitted.mask().values().outer_iter().map(|frame| {
            let white = |(y, x, _)| if frame[[y, x]] { 255u8 } else { 0 };
            Array3::from_shape_fn((shape[1], shape[2], 3), white)
        });
        video_fit::write_mp4(&path, size, clip.rate(), frames).map_err(failed)?;
        let path = self.file(fitted, "latent_mask.png");
        let png = picture(fitted.latent_mask());
        png.and_then(|png| fs::write(&path, png)).map_err(RunError::io(Stage::EncodeClips, &path))?;
        if let Some(caption) = fitted.caption() {
            let path = self.file(fitted, "caption.txt");
            fs::write(&path, caption.as_str()).map_err(RunError::io(Stage::EncodeClips, &path))?;
        }
        self.examples += 1;
        Ok(())
    }

    /// A path for `what` of an example. Its name on disk is ours; the archive shows the user's own.
    fn file(&mut self, fitted: &FittedClip, what: &str) -> PathBuf {
        let path = self.folder.join(format!("{:04}-{what}", self.examples));
        let name = fitted.stem().to_string().replace(['/', '\\', ':'], "_");
        self.files.push((format!("{:04}-{name}/{what}", self.examples), path.clone()));
        path
    }

    /// Writes the archive to `target`, whole or not at all.
    pub(crate) fn write(&self, target: &Path) -> Result<(), RunError> {
        write_whole_with(target, |file| self.pack(file)).map_err(RunError::io(Stage::Publish, target))
    }

    fn pack(&self, file: &mut File) -> io::Result<()> {
        let mut zip = ZipWriter::new(file);
        for (name, path) in &self.files {
            // Clips are compressed already.
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options).map_err(io::Error::other)?;
            io::copy(&mut File::open(path)?, &mut zip)?;
        }
        zip.finish().map_err(io::Error::other)?.flush()
    }
}

/// The cells of every latent frame, side by side.
fn picture(mask: &LatentMask) -> io::Result<Vec<u8>> {
    let keep = mask.keep().values();
    let grid = mask.grid();
    let (width, height) = (grid.width as u32 * CELL, grid.height as u32 * CELL);
    let mut picture = GrayImage::from_pixel((width + CELL / 2) * grid.frames as u32, height, Luma([96]));
    for (index, frame) in keep.axis_iter(Axis(0)).enumerate() {
        let left = (width + CELL / 2) * index as u32;
        for ((y, x), keep) in frame.indexed_iter() {
            let (x, y) = (left + x as u32 * CELL, y as u32 * CELL);
            let value = Luma([if *keep { 0 } else { 255 }]);
            (0..CELL * CELL).for_each(|i| picture.put_pixel(x + i % CELL, y + i / CELL, value));
        }
    }
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(png.into_inner())
}
