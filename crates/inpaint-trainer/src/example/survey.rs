//! What there is to say of an example, and what is taken of it: decided by decoding it once.

use std::ops::Range;

use dataset_zip::{Example, MaskSource};
use mask_norm::{NormalizedMask, TimeFit};
use tensor_batch::{Caption, FitPlan, FrameList, LatentMask, Size, Stem};
use video_fit::Probe;

use super::{ExampleError, Fit, Surveyed, mask_reader::MaskReader};
use crate::{ExampleReport, Limits, Scene, Warning};

/// How far a clip's own rate may be off the one that was asked for.
const RATE_TOLERANCE: f64 = 0.1;
/// How far the aspect ratio of a mask may be off its clip's: whole pixels and blocks of 16 stay below it.
const ASPECT_TOLERANCE: f64 = 0.02;
/// The share of a mask that may be grey: edges are, under any lossy codec.
const GREY_TOLERANCE: f64 = 0.1;

/// What a survey of an example finds. A clip that is cut into scenes becomes several.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is used.
    pub(crate) used: Vec<Usable>,
    /// What is no fault of the archive and still of no use.
    pub(crate) dropped: Vec<Warning>,
    /// What there is to say about the clip as a whole.
    pub(crate) warnings: Vec<Warning>,
}

/// An example that is used, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Usable {
    pub(crate) example: Surveyed,
    pub(crate) report: ExampleReport,
    pub(crate) warnings: Vec<Warning>,
}

/// Decodes an example once and decides what is taken of it.
pub(crate) fn survey(example: Example, fit: &Fit, limits: &Limits) -> Result<Findings, ExampleError> {
    let probe = video_fit::probe(&example.clip, &limits.video)
        .map_err(|source| ExampleError::Clip { stem: example.stem.clone(), source })?;
    if probe.variable_rate && matches!(example.mask, MaskSource::Video(_)) {
        return Err(ExampleError::VariableRate { stem: example.stem });
    }
    let surveyor = Surveyor { example: &example, probe: &probe, fit, limits };
    let mut findings = Findings::default();
    let pieces = surveyor.pieces(&mut findings.warnings)?;
    for piece in &pieces {
        match surveyor.piece(piece)? {
            Verdict::Use(usable) => findings.used.push(*usable),
            Verdict::Drop(warning) => findings.dropped.push(warning),
        }
    }
    if findings.used.is_empty() {
        // The mask of a dropped clip is still part of the archive: if it is broken, that is said now.
        surveyor.mask().check()?;
    }
    Ok(findings)
}

enum Verdict {
    Use(Box<Usable>),
    Drop(Warning),
}

/// A whole clip, or a scene of it.
struct Piece {
    stem: Stem,
    frames: Range<u32>,
    scene: Option<Scene>,
}

struct Surveyor<'a> {
    example: &'a Example,
    probe: &'a Probe,
    fit: &'a Fit,
    limits: &'a Limits,
}

impl<'a> Surveyor<'a> {
    fn mask(&self) -> MaskReader<'a> {
        MaskReader { stem: &self.example.stem, source: &self.example.mask, limits: self.limits }
    }

    /// The scenes of a long clip, if that is asked for; else the clip as one piece.
    fn pieces(&self, warnings: &mut Vec<Warning>) -> Result<Vec<Piece>, ExampleError> {
        let (stem, frames) = (&self.example.stem, self.probe.frames());
        let seconds = self.seconds(0..frames);
        let whole = || vec![Piece { stem: stem.clone(), frames: 0..frames, scene: None }];
        let Some(threshold) = self.fit.scenes_above.filter(|threshold| seconds > *threshold) else {
            return Ok(whole());
        };
        let cuts = video_fit::find_cuts(&self.example.clip, &self.limits.video)
            .map_err(|source| ExampleError::Clip { stem: stem.clone(), source })?;
        if cuts.is_empty() {
            let message = format!(
                "clip `{stem}` lasts {seconds:.1} s, more than {threshold} s, and no cut was found in it: it stays whole"
            );
            warnings.push(Warning::new(stem, "no-cut-found", message));
            return Ok(whole());
        }
        let places: Vec<String> =
            cuts.iter().map(|cut| format!("{:.2} s (frame {cut})", self.seconds(0..*cut))).collect();
        let message = format!(
            "clip `{stem}` lasts {seconds:.1} s and is cut, with its mask, into {} scenes at {}",
            cuts.len() + 1,
            places.join(", ")
        );
        warnings.push(Warning::new(stem, "cut-into-scenes", message));
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([frames]);
        let of = cuts.len() + 1;
        let piece = |(index, (start, end))| {
            let number = index + 1;
            let stem = Stem::new(format!("{}-scene-{number}", stem.as_str()));
            Piece {
                stem,
                frames: start..end,
                scene: Some(Scene { number, of, first_frame: start, frames: end - start }),
            }
        };
        Ok(starts.zip(ends).enumerate().map(piece).collect())
    }

    /// How long these frames are shown; the last one as long as the clip's rate says.
    fn seconds(&self, frames: Range<u32>) -> f64 {
        let times = &self.probe.times;
        let start = times.get(frames.start as usize).copied().unwrap_or_default();
        let end = times.get(frames.end as usize).copied();
        let end = end.or_else(|| times.last().map(|last| last + 1.0 / self.probe.rate.fps()));
        end.unwrap_or_default() - start
    }

    fn piece(&self, piece: &Piece) -> Result<Verdict, ExampleError> {
        let Example { clip, mask, caption, .. } = self.example;
        let (fit, probe, stem) = (self.fit, self.probe, &piece.stem);
        let wanted = fit.bucket.frames();
        let Some(list) = self.frame_list(&piece.frames) else {
            let frames = piece.frames.len();
            let message = format!("clip `{stem}` has {frames} frames, {wanted} are wanted: it is not used");
            return Ok(Verdict::Drop(Warning::new(stem, "clip-too-short", message)));
        };
        let rate = if fit.auto_scale { fit.frame_rate } else { probe.rate };
        let plan = FitPlan::new(probe.size, fit.bucket, list, rate);
        let edit = self.mask().read(fit.latent_rule, &plan, probe.frames())?;
        let Some(latent) = LatentMask::new(edit.cells.clone().into_keep()) else {
            let message = format!("the mask of `{stem}` leaves nothing to regenerate: the clip is not used");
            return Ok(Verdict::Drop(Warning::new(stem, "nothing-to-regenerate", message)));
        };
        let warnings = self.warnings(stem, &edit, &latent);
        let report = ExampleReport {
            name: stem.to_string(),
            caption: Caption::prompt(&fit.trigger, caption.as_ref()),
            captioned: caption.is_some(),
            frames: wanted.get(),
            source_frames: probe.frames(),
            source_frame_rate: probe.rate.fps(),
            source_size: [probe.size.width, probe.size.height],
            scene: piece.scene,
            frame_rate: rate.fps(),
            cropped: plan.geometry.cut(),
            mask: if matches!(mask, MaskSource::Image(_)) { "image" } else { "video" },
            mask_size: [edit.seen.size.width, edit.seen.size.height],
            mask_grey: edit.seen.grey,
            mask_coverage: edit.pixels.coverage(),
            latent_coverage: latent.generated(),
            warnings: warnings.iter().map(|warning| warning.kind).collect(),
        };
        let example = Surveyed {
            stem: stem.clone(),
            clip: clip.clone(),
            mask: mask.clone(),
            caption: caption.clone(),
            plan,
            latent_rule: fit.latent_rule,
            clip_frames: probe.frames(),
        };
        Ok(Verdict::Use(Box::new(Usable { example, report, warnings })))
    }

    /// The frames taken of a piece, as indices of the whole clip; none if it is too short.
    fn frame_list(&self, frames: &Range<u32>) -> Option<FrameList> {
        let count = self.fit.bucket.frames();
        let list = if self.fit.auto_scale {
            let times = self.probe.times.get(frames.start as usize..frames.end as usize)?;
            FrameList::at_rate(count, self.fit.frame_rate, times)
        } else {
            FrameList::first(count, frames.end - frames.start)
        };
        list.map(|list| list.starting_at(frames.start))
    }

    fn warnings(&self, stem: &Stem, mask: &NormalizedMask, latent: &LatentMask) -> Vec<Warning> {
        let all = [
            self.rate().map(|message| ("frame-rate-differs", message)),
            held_or_cut(mask.time),
            aspect(mask.seen.size, self.probe.size).map(|message| ("mask-aspect", message)),
            grey(mask.seen.grey).map(|message| ("grey-mask", message)),
            nothing_kept(mask, latent).map(|message| ("nothing-kept", message)),
        ];
        let named = |(kind, message)| Warning::new(stem, kind, format!("`{stem}`: {message}"));
        all.into_iter().flatten().map(named).collect()
    }

    fn rate(&self) -> Option<String> {
        let (own, asked) = (self.probe.rate.fps(), self.fit.frame_rate.fps());
        let differs = !self.fit.auto_scale && (own / asked - 1.0).abs() > RATE_TOLERANCE;
        differs.then(|| {
            format!(
                "the clip plays at {own:.3} frames per second, {asked} are asked for: its own rate is used \
                 (auto_scale_input would sample it)"
            )
        })
    }
}

fn held_or_cut(time: TimeFit) -> Option<(&'static str, String)> {
    match time {
        TimeFit::Same => None,
        TimeFit::Held { mask_frames, clip_frames } => {
            let message =
                format!("the mask has {mask_frames} frames for {clip_frames}: its last one is held");
            Some(("mask-held", message))
        }
        TimeFit::Cut { clip_frames } => {
            let message = format!("the mask is longer than the clip: it is cut to {clip_frames} frames");
            Some(("mask-cut", message))
        }
    }
}

fn aspect(mask: Size, clip: Size) -> Option<String> {
    let of = |size: Size| f64::from(size.width) / f64::from(size.height.max(1));
    let differs = (of(mask) / of(clip) - 1.0).abs() > ASPECT_TOLERANCE;
    differs.then(|| {
        format!(
            "the mask is {mask} and the clip {clip}: it is stretched over the whole clip, is it this clip's?"
        )
    })
}

fn grey(share: f64) -> Option<String> {
    (share > GREY_TOLERANCE).then(|| {
        format!(
            "{:.0} % of the mask is neither white nor black: grey from the middle up counts as white",
            100.0 * share
        )
    })
}

fn nothing_kept(mask: &NormalizedMask, latent: &LatentMask) -> Option<String> {
    (latent.generated() >= 1.0).then(|| {
        format!(
            "every latent cell is regenerated ({:.0} % of the pixels are white): nothing of the clip is kept to go by",
            100.0 * mask.pixels.coverage()
        )
    })
}
