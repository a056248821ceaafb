//! The target `video`: clips in all containers are probed, fitted, read as masks, and searched for cuts.

use std::io;

use mask_norm::{LatentRule, MaskError};
use serde_json::json;
use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, FrameRate};
use video_fit::{Frames, Limits, Probe, VideoError, find_cuts, fit, probe};

use super::{
    avi, ebml,
    judge::{self, Answer, Flaw, Verdict, holds},
    mp4,
    random::Random,
    seeds::{clip, member},
    target::{Input, Place, Target},
    tree::Format,
};

/// Tight, so that they are met often; the seconds are far below what counts as a hang.
pub(super) const LIMITS: Limits = Limits { max_pixels_per_frame: 1 << 18, max_frames: 100, max_seconds: 15 };

const MP4S: [&str; 7] = [
    "made/bt709.mp4",
    "made/alpha.mov",
    "made/bt2020-10bit.mp4",
    "made/full-range.mp4",
    "made/wide-pixels.mp4",
    "bunny-too-short.mp4",
    "inpaint-mini/bunny-square_mask.mp4",
];
const MATROSKAS: [&str; 5] =
    ["made/bt601.mkv", "made/odd-size.webm", "made/alpha.webm", "made/variable-rate.mkv", "bunny-vp9.webm"];
const AVIS: [&str; 2] = ["made/mjpeg.avi", "tree-cinepak-15fps.avi"];
/// Only so much is taken of a large clip: the rest is more of the same.
const LARGEST: usize = 60_000;

pub(super) struct VideoTarget {
    clips: Clips,
}

/// Clips by their format.
pub(super) struct Clips {
    mp4: Vec<Vec<u8>>,
    matroska: Vec<Vec<u8>>,
    avi: Vec<Vec<u8>>,
}

impl Clips {
    pub(super) fn load() -> io::Result<Self> {
        let load =
            |names: &[&str]| names.iter().map(|name| clip(name).map(cut)).collect::<io::Result<Vec<_>>>();
        let mut mp4 = load(&MP4S)?;
        mp4.push(member("two-good-pairs.zip", "good01.mp4")?);
        Ok(Self { mp4, matroska: load(&MATROSKAS)?, avi: load(&AVIS)? })
    }

    /// A spoilt clip of any format.
    pub(super) fn spoilt(&self, random: &mut Random) -> Input {
        match random.below(10) {
            0..=4 => mutated("mp4", &mp4::MP4, &self.mp4, random),
            5..=7 => mutated("mkv", &ebml::MATROSKA, &self.matroska, random),
            _ => mutated("avi", &avi::AVI, &self.avi, random),
        }
    }
}

fn cut(mut clip: Vec<u8>) -> Vec<u8> {
    clip.truncate(LARGEST);
    clip
}

/// The first clips are small, and taken more often.
fn mutated(extension: &'static str, format: &Format, clips: &[Vec<u8>], random: &mut Random) -> Input {
    let empty = Vec::new();
    let small = if random.chance(70) { clips.len().min(5) } else { clips.len() };
    let file = random.pick_of(&clips[..small]).unwrap_or(&empty);
    let other = random.pick_of(clips).unwrap_or(&empty);
    Input::new(extension, format.mutate(file, other, random))
}

impl VideoTarget {
    pub(super) fn load() -> io::Result<Self> {
        Ok(Self { clips: Clips::load()? })
    }
}

impl Target for VideoTarget {
    fn good(&self) -> Vec<Input> {
        let Clips { mp4, matroska, avi } = &self.clips;
        let of = |extension, clips: &[Vec<u8>]| {
            clips.iter().map(|clip| Input::new(extension, clip.as_slice())).collect::<Vec<_>>()
        };
        [of("mp4", mp4), of("mkv", matroska), of("avi", avi)].concat()
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        let mut input = self.clips.spoilt(random);
        input.with = json!({
            "by_rate": random.chance(50), "side": 32 * random.few(3), "fps": random.few(60), "cuts": random.chance(20),
        });
        input
    }

    fn run(&self, input: &Input, at: &Place) -> Verdict {
        let found = match probe(&at.file, &LIMITS) {
            Ok(found) => found,
            Err(error) => return judge::error(&error),
        };
        sound(&found)?;
        let Some(plan) = plan(input, &found)? else { return Ok(Answer::Accepted) };
        let answers = [as_clip(&plan, at)?, as_mask(&plan, &found, at)?, cuts(input, &found, at)?];
        Ok(answers.into_iter().find(|answer| *answer != Answer::Accepted).unwrap_or(Answer::Accepted))
    }
}

/// What a probe promises.
fn sound(found: &Probe) -> Result<(), Flaw> {
    let pixels = u64::from(found.size.width) * u64::from(found.size.height);
    let broken = || format!("a probe found {found:?}");
    holds((1..=LIMITS.max_pixels_per_frame).contains(&pixels), broken)?;
    holds((1..=LIMITS.max_frames).contains(&found.frames()), broken)?;
    holds(found.times.iter().all(|time| time.is_finite()) && found.times.is_sorted(), broken)
}

/// The plan that the input asks for; none if the clip is too short.
fn plan(input: &Input, found: &Probe) -> Result<Option<FitPlan>, Flaw> {
    let asked = |name: &str, default| input.with[name].as_u64().unwrap_or(default) as u32;
    let impossible = |error: tensor_batch::OutOfRange| Flaw::Broken(error.to_string());
    let bucket = Bucket::new(asked("side", 32), 32, FrameCount::MIN).map_err(impossible)?;
    let rate = FrameRate::new(f64::from(asked("fps", 24))).map_err(impossible)?;
    let frames = match input.with["by_rate"].as_bool() {
        Some(false) => FrameList::first(bucket.frames(), found.frames()),
        _ => FrameList::at_rate(bucket.frames(), rate, &found.times),
    };
    Ok(frames.map(|frames| FitPlan::new(found.size, bucket, frames, found.rate)))
}

fn as_clip(plan: &FitPlan, at: &Place) -> Verdict {
    match Frames::open(&at.file, &LIMITS).and_then(|frames| fit(frames, plan)) {
        Ok(clip) => {
            let shape = clip.pixels().shape();
            let target = plan.geometry.target;
            let wanted = [plan.frames.indices().len(), target.height as usize, target.width as usize, 3];
            holds(shape == wanted, || format!("the fitted clip is {shape:?}, not {wanted:?}"))?;
            Ok(Answer::Accepted)
        }
        Err(error) => judge::error(&error),
    }
}

/// Why frames are no mask.
enum NoMask {
    Video(VideoError),
    Mask(MaskError),
}

impl From<MaskError> for NoMask {
    fn from(error: MaskError) -> Self {
        Self::Mask(error)
    }
}

fn as_mask(plan: &FitPlan, found: &Probe, at: &Place) -> Verdict {
    let frames = match Frames::open(&at.file, &LIMITS) {
        Ok(frames) => frames.map(|frame| frame.map(|frame| frame.pixels).map_err(NoMask::Video)),
        Err(error) => return judge::error(&error),
    };
    match LatentRule::default().video(frames, found.frames(), plan) {
        Ok(_) => Ok(Answer::Accepted),
        Err(NoMask::Video(error)) => judge::error(&error),
        Err(NoMask::Mask(error)) => judge::error(&error),
    }
}

fn cuts(input: &Input, found: &Probe, at: &Place) -> Verdict {
    if input.with["cuts"] != true {
        return Ok(Answer::Accepted);
    }
    match find_cuts(&at.file, &LIMITS) {
        Ok(cuts) => {
            let inside = cuts.iter().all(|cut| (1..found.frames()).contains(cut)) && cuts.is_sorted();
            holds(inside, || format!("cuts at {cuts:?} in {} frames", found.frames()))?;
            Ok(Answer::Accepted)
        }
        Err(error) => judge::error(&error),
    }
}
