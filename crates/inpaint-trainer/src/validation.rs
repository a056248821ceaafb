//! Validation samples: fetched, decoded and laid over their masks before anything is trained.

use std::path::{Path, PathBuf};

use dataset_zip::{Example, MaskSource};
use tensor_batch::{Blame, Fault, Stem};

use crate::{
    Detail, ExampleError, FitReport, Limits, Location, RunError, Stage, TrainRequest, ValidationSample, Warning,
    event::StageWatch,
    example::{Fit, Surveyed, Verdict, survey},
    fetch::fetch,
};

/// The samples, each ready to be fitted; what the user should know of them is added to `report`.
///
/// # Errors
/// A rejection with every fault of every sample.
pub(crate) fn check(
    request: &TrainRequest,
    folder: &Path,
    limits: &Limits,
    report: &mut FitReport,
    watch: &mut StageWatch<'_, '_>,
) -> Result<Vec<Surveyed>, RunError> {
    let how = Fit {
        bucket: request.validation_bucket(),
        frame_rate: request.validation_frame_rate(),
        auto_scale: false,
        trigger: request.trigger_phrase().to_owned(),
    };
    let mut samples = Vec::new();
    let mut faults = Vec::new();
    for (index, sample) in request.validation().iter().enumerate() {
        let place = Sample { index, folder, limits, how: &how, watch };
        match place.check(sample) {
            Ok((surveyed, warnings)) => {
                warnings.iter().for_each(|warning| watch.warn(warning));
                report.warnings.extend(warnings);
                samples.push(surveyed);
            }
            Err(SampleError::Faults(found)) => faults.extend(found),
            Err(SampleError::Failed(error)) => return Err(error),
        }
        watch.done(index + 1)?;
    }
    if faults.is_empty() {
        Ok(samples)
    } else {
        Err(RunError::Rejected { details: faults, report: Box::new(report.clone()) })
    }
}

enum SampleError {
    Faults(Vec<Detail>),
    Failed(RunError),
}

struct Sample<'a, 'w, 'o> {
    index: usize,
    folder: &'a Path,
    limits: &'a Limits,
    how: &'a Fit,
    watch: &'a StageWatch<'w, 'o>,
}

impl Sample<'_, '_, '_> {
    fn check(&self, sample: &ValidationSample) -> Result<(Surveyed, Vec<Warning>), SampleError> {
        let video = self.fetch(&sample.video_url, "video_url");
        let mask = self.fetch(&sample.mask_url, "mask_url");
        let (clip, mask) = match (video, mask) {
            (Ok(video), Ok(mask)) => (video, mask),
            (video, mask) => return Err(both(video.err(), mask.err())),
        };
        let mask = match is_video(&sample.mask_url) {
            true => MaskSource::Video(mask),
            false => MaskSource::Image(mask),
        };
        let stem = Stem::new(format!("validation {}", self.index + 1));
        let example = Example { stem, clip, mask, caption: Some(sample.prompt.clone()) };
        match survey(example, self.how, self.limits) {
            Ok(Verdict::Use(usable)) => Ok((usable.example, usable.warnings)),
            Ok(Verdict::Drop(reason)) => Err(self.fault(&Unusable(reason), "video_url")),
            Err(error) if error.fault() == Fault::Service => {
                Err(SampleError::Failed(RunError::of(Stage::Validation, error)))
            }
            Err(error @ (ExampleError::Mask { .. } | ExampleError::MaskVideo { .. })) => {
                Err(self.fault(&error, "mask_url"))
            }
            Err(error) => Err(self.fault(&error, "video_url")),
        }
    }

    fn fetch(&self, location: &Location, field: &'static str) -> Result<PathBuf, SampleError> {
        let target = self.folder.join(format!("validation-{}-{field}", self.index));
        let mut progress = |_| self.watch.go_on();
        fetch(location, &target, self.limits.sample_bytes, self.limits, &mut progress).map_err(|error| {
            match error.fault() {
                Fault::Request => self.fault(&error, field),
                Fault::Service => SampleError::Failed(error.ends(Stage::Validation)),
            }
        })
    }

    fn fault(&self, error: &(impl Blame + ?Sized), field: &str) -> SampleError {
        let mut detail = Detail::of(["body", "validation"], error);
        detail.loc.push(self.index.into());
        detail.loc.push(field.into());
        SampleError::Faults(vec![detail])
    }
}

fn both(a: Option<SampleError>, b: Option<SampleError>) -> SampleError {
    let mut faults = Vec::new();
    for error in [a, b].into_iter().flatten() {
        match error {
            SampleError::Faults(found) => faults.extend(found),
            failed @ SampleError::Failed(_) => return failed,
        }
    }
    SampleError::Faults(faults)
}

/// By the extension of its path; the query of a URL does not count.
fn is_video(location: &Location) -> bool {
    let path = match location.url() {
        Some(url) => url.split(['?', '#']).next().unwrap_or_default(),
        None => location.as_str(),
    };
    let extension =
        Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["mp4", "mov", "webm", "mkv", "avi"].contains(&extension.as_str())
}

/// A sample that would be dropped from a dataset, and cannot be from a request.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
struct Unusable(Warning);

impl Blame for Unusable {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        self.0.kind
    }
}
