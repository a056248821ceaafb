//! Examples become fitted clips: a source, one clip in memory at a time.

use dataset_zip::Example;
use tensor_batch::{Blame, ClipSource, Fault, FittedClip};

use crate::{
    Detail, ExampleError, FitReport, Limits, RunError, Stage, Warning,
    event::StageWatch,
    example::{Findings, Fit, Surveyed, survey},
};

/// Clips, each fitted when asked for. Those of an archive are never none.
#[derive(Debug)]
pub(crate) struct FittedClips {
    examples: Vec<Surveyed>,
    limits: Limits,
}

impl FittedClips {
    pub(crate) fn new(examples: Vec<Surveyed>, limits: &Limits) -> Self {
        Self { examples, limits: limits.clone() }
    }

    /// The examples, without their pixels.
    pub(crate) fn examples(&self) -> &[Surveyed] {
        &self.examples
    }
}

impl ClipSource for FittedClips {
    type Error = ExampleError;

    fn len(&self) -> usize {
        self.examples.len()
    }

    fn get(&self, index: usize) -> Result<FittedClip, ExampleError> {
        self.examples[index].fitted(&self.limits)
    }
}

/// Surveys every example: all faults come in one answer.
pub(crate) fn fit(
    examples: Vec<Example>,
    mut report: FitReport,
    how: &Fit,
    limits: &Limits,
    watch: &mut StageWatch<'_, '_>,
) -> Result<(FittedClips, FitReport), RunError> {
    let mut used = Vec::new();
    let mut faults = Vec::new();
    for (index, example) in examples.into_iter().enumerate() {
        let name = example.stem.to_string();
        match survey(example, how, limits) {
            Err(error) if error.fault() == Fault::Service => return Err(RunError::of(Stage::Survey, error)),
            Err(error) => faults.push(Detail::of(["body", "training_data_url"], &error).with("name", name)),
            Ok(findings) => used.extend(report.take(findings, watch)),
        }
        watch.done(index + 1)?;
    }
    if faults.is_empty() && used.is_empty() {
        let error = NoUsableClips { dropped: report.dropped.clone() };
        faults.push(Detail::of(["body", "training_data_url"], &error));
    }
    if !faults.is_empty() {
        return Err(RunError::Rejected { details: faults, report: Box::new(report) });
    }
    Ok((FittedClips::new(used, limits), report))
}

impl FitReport {
    /// Takes up what was found of one example, and tells the warnings; gives what is used.
    fn take(&mut self, findings: Findings, watch: &mut StageWatch<'_, '_>) -> Vec<Surveyed> {
        let Findings { used, dropped, warnings } = findings;
        let about_used = used.iter().flat_map(|usable| usable.warnings.clone());
        let all: Vec<_> = warnings.into_iter().chain(about_used).chain(dropped.iter().cloned()).collect();
        all.iter().for_each(|warning| watch.warn(warning));
        self.warnings.extend(all);
        self.dropped.extend(dropped);
        let (reports, examples): (Vec<_>, Vec<_>) =
            used.into_iter().map(|usable| (usable.report, usable.example)).unzip();
        self.examples.extend(reports);
        examples
    }
}

/// Every clip was dropped.
#[derive(Debug, thiserror::Error)]
#[error("none of the clips can be used: {}", dropped.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "))]
struct NoUsableClips {
    dropped: Vec<Warning>,
}

impl Blame for NoUsableClips {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        "no-usable-clips"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cancel, Event, Watch,
        example::tests::{MASK, example, how, sample},
    };

    const CLIP: &str = "bunny-too-short.mp4";

    fn of(name: &str, clip: &str, mask: &str) -> Example {
        example(name, &sample(clip), &sample(mask))
    }

    /// Surveys the examples; gives the events too.
    fn surveyed(
        examples: Vec<Example>,
        bucket: &str,
        cancel: &Cancel,
    ) -> (Result<(FittedClips, FitReport), RunError>, Vec<Event>) {
        let mut events = Vec::new();
        let mut observe = |event| events.push(event);
        let found = Watch::new(&mut observe, cancel.clone()).stage(Stage::Survey, examples.len(), |watch| {
            fit(examples, FitReport::default(), &how(bucket), &Limits::default(), watch)
        });
        (found, events)
    }

    fn rejected(examples: Vec<Example>, bucket: &str) -> (Vec<Detail>, FitReport) {
        match surveyed(examples, bucket, &Cancel::default()).0 {
            Err(RunError::Rejected { details, report }) => (details, *report),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_of_no_use_is_dropped_with_a_warning_and_the_rest_is_fitted() {
        let examples = vec![of("short", CLIP, MASK), of("long", "bunny-vp9.webm", MASK)];
        let (found, events) = surveyed(examples, "32x32x41", &Cancel::default());
        let (clips, report) = found.unwrap();
        assert_eq!((clips.len(), report.examples.len(), report.examples[0].name.as_str()), (1, 1, "long"));
        assert_eq!(clips.get(0).unwrap().stem().as_str(), "long");
        assert_eq!((report.dropped[0].name.as_str(), &report.warnings[0]), ("short", &report.dropped[0]));
        // A bucket of one cell keeps nothing of its clip.
        assert_eq!((report.warnings.len(), report.warnings[1].kind), (2, "nothing-kept"));
        assert!(events.contains(&Event::Warned(report.dropped[0].clone())));
        assert!(events.contains(&Event::Progress { stage: Stage::Survey, done: 2 }));
    }

    #[test]
    fn all_faults_come_in_one_answer_with_what_is_right() {
        let bad = "ATTRIBUTION.md";
        let examples = vec![
            of("a", bad, MASK),
            of("b", CLIP, MASK),
            of("c", CLIP, bad),
            of("d", "made/bt709.mp4", MASK),
        ];
        let (details, report) = rejected(examples, "32x32x9");
        let found: Vec<_> =
            details.iter().map(|fault| (fault.ctx.facts["name"].as_str().unwrap(), fault.ctx.kind)).collect();
        assert_eq!(found, [("a", "unreadable-clip"), ("c", "unreadable-mask")]);
        assert!(details.iter().all(|fault| fault.loc == ["body".into(), "training_data_url".into()]));
        assert_eq!((report.examples[0].name.as_str(), report.dropped[0].name.as_str()), ("b", "d"));
    }

    #[test]
    fn nothing_left_is_a_fault_that_says_why() {
        let (details, report) = rejected(vec![of("a", CLIP, MASK), of("b", CLIP, MASK)], "32x32x41");
        assert_eq!((details.len(), details[0].ctx.kind, report.dropped.len()), (1, "no-usable-clips", 2));
        assert!(
            details[0].msg.contains("`a` has 30") && details[0].msg.contains("`b` has 30"),
            "{}",
            details[0].msg
        );
    }

    #[test]
    fn a_failure_of_the_machine_is_no_fault_of_the_request() {
        let found = surveyed(vec![of("a", CLIP, "nowhere.png")], "32x32x9", &Cancel::default()).0;
        assert!(matches!(found, Err(RunError::Failed { stage: Stage::Survey, .. })), "{found:?}");
    }

    #[test]
    fn it_stops_at_the_next_clip() {
        let cancel = Cancel::default();
        cancel.cancel();
        let (found, events) = surveyed(vec![of("a", CLIP, MASK), of("b", CLIP, MASK)], "32x32x9", &cancel);
        assert!(matches!(found, Err(RunError::Interrupted)), "{found:?}");
        assert!(!events.contains(&Event::Progress { stage: Stage::Survey, done: 2 }));
    }
}
