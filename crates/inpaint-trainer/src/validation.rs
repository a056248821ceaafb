//! Validation samples: fetched, decoded and laid over their masks before anything is trained.

use std::path::{Path, PathBuf};

use dataset_zip::{Example, MaskSource};
use mask_norm::LatentRule;
use tensor_batch::{Blame, Fault, Stem};

use crate::{
    Detail, ExampleError, FitReport, Limits, Location, RunError, Stage, TrainRequest, ValidationSample,
    Warning,
    event::StageWatch,
    example::{Findings, Fit, Surveyed, survey},
};

/// The samples, each ready to be fitted; what the user should know of them is added to `report`.
///
/// # Errors
/// A rejection with every fault of every sample.
pub(crate) fn check(
    request: &TrainRequest,
    latent_rule: LatentRule,
    folder: &Path,
    limits: &Limits,
    report: &mut FitReport,
    watch: &mut StageWatch<'_, '_>,
) -> Result<Vec<Surveyed>, RunError> {
    let how = Fit {
        bucket: request.validation_bucket(),
        frame_rate: request.validation_frame_rate(),
        auto_scale: false,
        scenes_above: None,
        latent_rule,
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
            Ok(findings) => self.only(findings),
            Err(error) if error.fault() == Fault::Service => {
                Err(SampleError::Failed(RunError::of(Stage::Validation, error)))
            }
            Err(error @ (ExampleError::Mask { .. } | ExampleError::MaskVideo { .. })) => {
                Err(self.fault(&error, "mask_url"))
            }
            Err(error) => Err(self.fault(&error, "video_url")),
        }
    }

    /// A sample is one clip: it is used, or there is a reason why not.
    fn only(&self, mut findings: Findings) -> Result<(Surveyed, Vec<Warning>), SampleError> {
        if let Some(reason) = findings.dropped.pop() {
            return Err(self.fault(&Unusable(reason), "video_url"));
        }
        let empty =
            || RunError::Failed { stage: Stage::Validation, source: "a sample without a verdict".into() };
        let usable = findings.used.pop().ok_or_else(|| SampleError::Failed(empty()))?;
        Ok((usable.example, usable.warnings))
    }

    fn fetch(&self, location: &Location, field: &'static str) -> Result<PathBuf, SampleError> {
        let target = self.folder.join(format!("validation-{}-{field}", self.index));
        let mut progress = |_| self.watch.go_on();
        let fetched = self.limits.fetcher.fetch(location, &target, self.limits.sample_bytes, &mut progress);
        fetched.map_err(|error| match error.fault() {
            Fault::Request => self.fault(&error, field),
            Fault::Service => SampleError::Failed(error.ends(Stage::Validation)),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Cancel, Fetcher, LocPart, Reach, Watch,
        example::tests::{MASK, sample as path},
    };

    fn sample(video: &str, mask: &str) -> Value {
        json!({"prompt": "a fox", "video_url": path(video), "mask_url": path(mask)})
    }

    /// Checks samples in 41 frames, which may be files of this machine.
    fn checked(samples: &[Value], cancel: &Cancel) -> (Result<Vec<Surveyed>, RunError>, FitReport) {
        let fetcher = Fetcher { reach: Reach::Anywhere, ..Fetcher::default() };
        checked_within(&Limits { fetcher, ..Limits::default() }, samples, cancel)
    }

    fn checked_within(
        limits: &Limits,
        samples: &[Value],
        cancel: &Cancel,
    ) -> (Result<Vec<Surveyed>, RunError>, FitReport) {
        let request = json!({"training_data_url": "a.zip", "trigger_phrase": "SPARK", "validation": samples});
        let request = TrainRequest::from_json(&request).unwrap().with_bucket("32x32x41".parse().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let mut report = FitReport::default();
        let mut observe = |_| ();
        let found =
            Watch::new(&mut observe, cancel.clone()).stage(Stage::Validation, samples.len(), |watch| {
                check(&request, LatentRule::default(), dir.path(), limits, &mut report, watch)
            });
        (found, report)
    }

    fn faults(samples: &[Value]) -> Vec<(String, &'static str)> {
        faults_of(checked(samples, &Cancel::default()).0)
    }

    fn faults_of(found: Result<Vec<Surveyed>, RunError>) -> Vec<(String, &'static str)> {
        match found {
            Err(RunError::Rejected { details, .. }) => {
                details.iter().map(|fault| (place(&fault.loc), fault.ctx.kind)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn place(loc: &[LocPart]) -> String {
        serde_json::to_string(loc).unwrap().replace('"', "")
    }

    #[test]
    fn good_samples_can_be_fitted_and_their_warnings_are_reported() {
        let samples = [
            sample("inpaint-mini/bunny-wave.mp4", MASK),
            sample("inpaint-mini/box-desk.mp4", "inpaint-mini/box-desk_mask.mp4"),
        ];
        let (found, report) = checked(&samples, &Cancel::default());
        for surveyed in found.unwrap() {
            assert_eq!(surveyed.fitted(&Limits::default()).unwrap().clip().pixels().dim(), (41, 32, 32, 3));
        }
        let warnings: Vec<_> = report.warnings.iter().map(|w| (w.name.as_str(), w.kind)).collect();
        // A bucket of one cell keeps nothing of its clip.
        let cell = |name| (name, "nothing-kept");
        assert_eq!(warnings, [cell("validation 1"), ("validation 2", "mask-cut"), cell("validation 2")]);
        assert!(report.examples.is_empty(), "samples are no examples");
    }

    #[test]
    fn every_fault_is_reported_where_it_is() {
        let bad = "ATTRIBUTION.md";
        assert_eq!(
            faults(&[sample("nowhere.mp4", "nowhere.png"), sample("bunny-too-short.mp4", MASK)]),
            [
                ("[body,validation,0,video_url]".to_owned(), "download-failed"),
                ("[body,validation,0,mask_url]".to_owned(), "download-failed"),
                ("[body,validation,1,video_url]".to_owned(), "clip-too-short"),
            ],
        );
        assert_eq!(
            faults(&[sample("bunny-vp9.webm", bad), sample(bad, MASK)]),
            [
                ("[body,validation,0,mask_url]".to_owned(), "unreadable-mask"),
                ("[body,validation,1,video_url]".to_owned(), "unreadable-clip"),
            ],
        );
    }

    #[test]
    fn a_service_reads_no_files_for_its_samples() {
        let sample = sample("bunny-vp9.webm", "nowhere.png");
        let found = checked_within(&Limits::default(), &[sample], &Cancel::default()).0;
        assert_eq!(
            faults_of(found),
            [
                ("[body,validation,0,video_url]".to_owned(), "not-allowed"),
                ("[body,validation,0,mask_url]".to_owned(), "not-allowed"),
            ],
        );
    }

    #[test]
    fn a_mask_video_that_is_none_is_found_at_the_mask() {
        let dir = tempfile::tempdir().unwrap();
        let mask = dir.path().join("mask.mp4");
        std::fs::write(&mask, "not what it seems").unwrap();
        let sample = json!({"prompt": "a fox", "video_url": path("bunny-vp9.webm"), "mask_url": mask});
        assert_eq!(faults(&[sample]), [("[body,validation,0,mask_url]".to_owned(), "unreadable-mask")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_fails_is_no_fault_of_the_request() {
        // This file opens, and its first byte cannot be read.
        let sample = json!({
            "prompt": "a fox", "video_url": path("bunny-vp9.webm"), "mask_url": "/proc/self/mem",
        });
        let found = checked(&[sample], &Cancel::default()).0;
        assert!(matches!(found, Err(RunError::Failed { stage: Stage::Validation, .. })), "{found:?}");
    }

    #[test]
    fn it_stops_at_the_next_sample() {
        let cancel = Cancel::default();
        cancel.cancel();
        let found = checked(&[sample("bunny-vp9.webm", MASK)], &cancel).0;
        assert!(matches!(found, Err(RunError::Interrupted)), "{found:?}");
    }

    #[test]
    fn a_mask_is_a_video_by_its_extension() {
        let cases = [
            ("mask.mp4", true),
            ("a/MASK.WebM", true),
            ("mask.png", false),
            ("mp4", false),
            ("https://host/mask.mov?signature=a.png", true),
            ("https://host/mask.png?signature=a.mov#b.mov", false),
            ("https://host", false),
            ("take #1?/mask.mkv", true),
            ("file:///take%20%231/mask.avi", true),
        ];
        for (text, video) in cases {
            assert_eq!(is_video(&text.parse().unwrap()), video, "{text}");
        }
    }
}
