//! The preprocessed data, for the user to look at and to train on again: `debug_dataset.zip`.
//!
//! ```text
//! dataset.json                   what the archive holds, and what it was made with
//! 0000-name/clip.mp4             the fitted clip
//! 0000-name/mask.mp4             its mask
//! 0000-name/latent_mask.mp4      its latent mask, as large as the clip; white = regenerate, as everywhere
//! 0000-name/sheet.png            first, middle and last frame, the mask laid over, cells outlined
//! 0000-name/caption.txt          its caption, if it has one
//! 0000-name/tokens.json          the prompt, and its token ids
//! 0000-name/latents.safetensors  latents, kept cells and context: what is trained on
//! 0000-name/manifest.json        every decision that was taken on it
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use lora_train::{LatentCache, write_latent_example, write_whole_with};
use ltx_model::{CONTEXT_TOKENS, Tokenizer};
use ndarray::{Array3, ArrayView2, Axis};
use serde_json::{Value, json};
use tensor_batch::{Bucket, CELL_FRAMES, CELL_PIXELS, FitPlan, FittedClip, LatentMask, Size};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    ExampleReport, FitReport, RunError, Stage, TrainOptions, TrainRequest,
    example::Surveyed,
    identity::Identity,
    sheet,
    stored::{self, FORMAT, INDEX, Index, IndexEntry, LATENTS},
};

/// Collects what was fitted, clip by clip, on disk.
#[derive(Debug)]
pub(crate) struct DebugDataset {
    folder: PathBuf,
    bucket: Bucket,
    reports: Vec<ExampleReport>,
    /// The names in the archive, and where the files lie.
    files: Vec<(String, PathBuf)>,
    plans: Vec<FitPlan>,
}

impl DebugDataset {
    /// Collects in `folder`, which is made, the examples of these reports.
    pub(crate) fn create(
        folder: PathBuf,
        bucket: Bucket,
        reports: &[ExampleReport],
    ) -> Result<Self, RunError> {
        fs::create_dir_all(&folder).map_err(RunError::io(Stage::EncodeClips, &folder))?;
        Ok(Self { folder, bucket, reports: reports.to_vec(), files: Vec::new(), plans: Vec::new() })
    }

    /// Adds the pictures and the caption of the next example.
    pub(crate) fn add(&mut self, fitted: &FittedClip, surveyed: &Surveyed) -> Result<(), RunError> {
        let index = self.plans.len();
        let (clip, failed) = (fitted.clip(), |e| RunError::of(Stage::EncodeClips, e));
        let (frames, height, width, _) = clip.pixels().dim();
        let size = Size { width: width as u32, height: height as u32 };
        let path = self.file(index, "clip.mp4");
        video_fit::write_mp4(&path, size, clip.rate(), clip.pixels().outer_iter()).map_err(failed)?;
        let path = self.file(index, "mask.mp4");
        let masks = fitted.mask().values().outer_iter().map(black_and_white);
        video_fit::write_mp4(&path, size, clip.rate(), masks).map_err(failed)?;
        let path = self.file(index, "latent_mask.mp4");
        let cells = (0..frames).map(|frame| blown_up(fitted.latent_mask(), frame, size));
        video_fit::write_mp4(&path, size, clip.rate(), cells).map_err(failed)?;
        if let Some(about) = self.reports.get(index) {
            let png = sheet::one(about, fitted, self.bucket);
            let path = self.file(index, "sheet.png");
            png.and_then(|png| fs::write(&path, png)).map_err(RunError::io(Stage::EncodeClips, &path))?;
        }
        if let Some(caption) = fitted.caption() {
            self.write(index, "caption.txt", caption.as_str().as_bytes())?;
        }
        self.plans.push(surveyed.plan().clone());
        Ok(())
    }

    /// Adds what the encoders made of the examples, what was decided on them, and the index of all.
    pub(crate) fn complete(
        &mut self,
        latents: &LatentCache,
        identity: &Identity,
        tokenizer: &Tokenizer,
        request: &TrainRequest,
        options: &TrainOptions,
        report: &FitReport,
    ) -> Result<(), RunError> {
        let mut examples = Vec::new();
        for (index, (entry, about)) in identity.entries.iter().zip(self.reports.clone()).enumerate() {
            let example = latents.read(entry).map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            let path = self.file(index, LATENTS);
            write_latent_example(&path, &example).map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            let tokens = tokenizer.encode(&about.caption, CONTEXT_TOKENS);
            let tokens = tokens.map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            self.write_json(index, "tokens.json", &json!({"prompt": about.caption, "ids": tokens.ids()}))?;
            let warnings: Vec<_> = report.warnings.iter().filter(|one| one.name == about.name).collect();
            let mut manifest = json!({
                "example": about,
                "warnings": warnings,
                "prompt": about.caption,
                "tokens": tokens.ids().len(),
                "made_with": stored::made_with(request, options),
                "latent_grid": example.grid().dims(),
                "digests": { "latents": entry.example, "context": entry.context },
            });
            if let Some(plan) = self.plans.get(index) {
                manifest["plan"] = described(plan);
            }
            self.write_json(index, "manifest.json", &manifest)?;
            let about = serde_json::to_value(&about).map_err(failed)?;
            examples.push(IndexEntry { folder: self.example(index), entry: entry.clone(), report: about });
        }
        let [checkpoint, text_encoder] = identity.models();
        let made_with = stored::made_with(request, options);
        let index = Index { format: FORMAT.to_owned(), checkpoint, text_encoder, made_with, examples };
        let path = self.folder.join(INDEX);
        let json = serde_json::to_vec_pretty(&index).map_err(failed)?;
        fs::write(&path, json).map_err(RunError::io(Stage::EncodePrompts, &path))?;
        self.files.push((INDEX.to_owned(), path));
        Ok(())
    }

    fn write_json(&mut self, index: usize, what: &str, value: &Value) -> Result<(), RunError> {
        let json = serde_json::to_vec_pretty(value).map_err(failed)?;
        self.write(index, what, &json)
    }

    fn write(&mut self, index: usize, what: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.file(index, what);
        fs::write(&path, bytes).map_err(RunError::io(Stage::EncodeClips, &path))
    }

    /// The folder of an example in the archive.
    fn example(&self, index: usize) -> String {
        let name = self.reports.get(index).map(|about| about.name.replace(['/', '\\', ':'], "_"));
        format!("{index:04}-{}", name.unwrap_or_default())
    }

    /// A path for `what` of an example. Its name on disk is ours; the archive shows the user's own.
    fn file(&mut self, index: usize, what: &str) -> PathBuf {
        let path = self.folder.join(format!("{index:04}-{what}"));
        self.files.push((format!("{}/{what}", self.example(index)), path.clone()));
        path
    }

    /// Writes the archive to `target`, whole or not at all.
    pub(crate) fn pack_into(&self, target: &Path) -> Result<(), RunError> {
        write_whole_with(target, |file| self.pack(file)).map_err(RunError::io(Stage::Publish, target))
    }

    fn pack(&self, file: &mut File) -> io::Result<()> {
        let mut zip = ZipWriter::new(file);
        for (name, path) in &self.files {
            // Clips are compressed already, and latents are noise to a compressor.
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options).map_err(io::Error::other)?;
            io::copy(&mut File::open(path)?, &mut zip)?;
        }
        zip.finish().map_err(io::Error::other)?.flush()
    }
}

fn failed(error: serde_json::Error) -> RunError {
    RunError::Failed { stage: Stage::EncodePrompts, source: error.into() }
}

/// Where the frames of an example come from, and how they are scaled and cut.
fn described(plan: &FitPlan) -> Value {
    let of = |size: Size| [size.width, size.height];
    let geometry = plan.geometry;
    json!({
        "frames": plan.frames.indices(),
        "source": of(geometry.source),
        "resized": of(geometry.resized),
        "crop": [geometry.left, geometry.top],
        "target": of(geometry.target),
        "rate": plan.rate.fps(),
    })
}

/// A mask as a picture, `[H, W, 3]`.
fn black_and_white(mask: ArrayView2<'_, bool>) -> Array3<u8> {
    let (height, width) = mask.dim();
    Array3::from_shape_fn((height, width, 3), |(y, x, _)| if mask[[y, x]] { 255 } else { 0 })
}

/// The cells of the latent frame that pixel frame `frame` belongs to, at the clip's size.
fn blown_up(mask: &LatentMask, frame: usize, size: Size) -> Array3<u8> {
    let cells = mask.keep().values().index_axis(Axis(0), frame.div_ceil(CELL_FRAMES as usize));
    let cell = CELL_PIXELS as usize;
    Array3::from_shape_fn((size.height as usize, size.width as usize, 3), |(y, x, _)| {
        if cells[[y / cell, x / cell]] { 0 } else { 255 }
    })
}
