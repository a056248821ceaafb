//! Examples become fitted clips: a source, one clip in memory at a time.

use dataset_zip::Example;
use tensor_batch::{Blame, ClipSource, Fault, FittedClip};

use crate::{
    Detail, ExampleError, FitReport, Limits, RunError, Stage, Warning,
    event::StageWatch,
    example::{Fit, Surveyed, Verdict, survey},
};

/// The clips of an archive, each fitted when asked for; never none.
#[derive(Debug)]
pub(crate) struct FittedClips {
    examples: Vec<Surveyed>,
    limits: Limits,
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
            Ok(Verdict::Drop(dropped)) => {
                watch.warn(&dropped);
                report.drop_clip(dropped);
            }
            Ok(Verdict::Use(usable)) => {
                usable.warnings.iter().for_each(|warning| watch.warn(warning));
                report.warnings.extend(usable.warnings);
                report.examples.push(usable.report);
                used.push(usable.example);
            }
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
    Ok((FittedClips { examples: used, limits: limits.clone() }, report))
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
