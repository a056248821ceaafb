//! Preprocessing alone, without a model and without this crate: `dataset-zip` reads the archive, `video-fit` brings the
//! clips to one size, `mask-norm` does the same with the masks and says which latent cells they cover.
//!
//! ```sh
//! cargo run --release -p inpaint-trainer --example preprocess -- CLIPS.zip FOLDER 256x256x25
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever started it")]

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
};

use dataset_zip::{Example, MaskSource};
use mask_norm::{ImageLimits, LatentRule, MaskError, NormalizedMask};
use tensor_batch::{Bucket, FitPlan, FrameList, LatentMask};
use video_fit::{Frames, VideoError};

type AnyError = Box<dyn Error>;

fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("preprocess CLIPS.zip FOLDER WxHxF");
    let (archive, folder, bucket) = (next()?, next()?, next()?);
    let bucket: Bucket = bucket.to_string_lossy().parse()?;

    // The archive is checked as a whole before anything is written; names on disk are not the archive's.
    let examples = dataset_zip::open(File::open(archive)?, &dataset_zip::Limits::default())?;
    let unpacked = folder.join("unpacked");
    for example in examples.unpack(&unpacked)? {
        fit(&example, bucket, &folder)?;
    }
    fs::remove_dir_all(unpacked)?;
    Ok(())
}

fn fit(example: &Example, bucket: Bucket, folder: &Path) -> Result<(), AnyError> {
    let (stem, limits) = (&example.stem, video_fit::Limits::default());
    // Frames are counted by decoding: headers lie.
    let clip = video_fit::probe(&example.clip, &limits)?;
    let Some(frames) = FrameList::first(bucket.frames(), clip.frames()) else {
        println!("{stem}: too short, {} frames", clip.frames());
        return Ok(());
    };
    // One plan for the clip and its mask keeps them in register, whatever the mask's own size.
    let plan = FitPlan::new(clip.size, bucket, frames, clip.rate);
    let fitted = video_fit::fit(Frames::open(&example.clip, &limits)?, &plan)?;
    let mask = mask(example, &plan, clip.frames())?;
    let white = mask.pixels.coverage();
    let Some(latent) = LatentMask::new(mask.cells.into_keep()) else {
        println!("{stem}: nothing to regenerate");
        return Ok(());
    };
    println!(
        "{stem}: {:.1} % of the pixels, {:.1} % of the cells",
        100.0 * white,
        100.0 * latent.generated()
    );
    let path = folder.join(format!("{}.mp4", stem.as_str()));
    video_fit::write_mp4(&path, bucket.size(), fitted.rate(), fitted.pixels().outer_iter())?;
    Ok(())
}

fn mask(example: &Example, plan: &FitPlan, clip_frames: u32) -> Result<NormalizedMask, AnyError> {
    let rule = LatentRule::default();
    match &example.mask {
        MaskSource::Image(path) => Ok(rule.image(&fs::read(path)?, &ImageLimits::default(), plan)?),
        MaskSource::Video(path) => {
            let frames = Frames::open(path, &video_fit::Limits::default())?;
            let frames = frames.map(|frame| frame.map(|frame| frame.pixels).map_err(Unreadable::Video));
            Ok(rule.video(frames, clip_frames, plan)?)
        }
    }
}

/// A mask video fails in being decoded, or in what it shows.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Video(VideoError),
    #[error(transparent)]
    Mask(#[from] MaskError),
}
