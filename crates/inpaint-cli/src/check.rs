//! `inpaint check`: everything up to the encoders.

use std::process::ExitCode;

use inpaint_trainer::{Answer, Cancel, ExampleReport, FitReport, RunError, Survey, TrainRequest, Watch};

use crate::{
    args::{CheckArgs, limits},
    progress::Progress,
    say, train,
};

pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let (request, options) = match args.request.checked(args.dataset.as_deref(), None, &[]) {
        Ok(checked) => checked,
        Err(bad) => return train::refuse(bad, args.request.json),
    };
    let mut progress = Progress::new(args.request.json);
    let cancel = Cancel::default();
    train::on_interrupt(&cancel);
    let mut observe = |event| progress.show(&event);
    let mut watch = Watch::new(&mut observe, cancel);
    let result = inpaint_trainer::check(&request, &options, &limits(), &std::env::temp_dir(), &mut watch)
        .and_then(|survey| sheet(survey, args, &mut watch));
    let report = result.as_ref().map(|survey| &survey.report);
    let answer = args.request.json.then(|| Answer::of_check(report, request.estimated_units()));
    match (&result, &answer) {
        (Err(error), _) => return say::error(error, answer.as_ref()),
        (Ok(_), Some(answer)) => say::json(answer),
        (Ok(survey), None) => table(&survey.report, &request),
    }
    ExitCode::SUCCESS
}

fn sheet(survey: Survey, args: &CheckArgs, watch: &mut Watch<'_>) -> Result<Survey, RunError> {
    if let Some(path) = &args.sheet {
        survey.write_sheet(path, watch)?;
    }
    Ok(survey)
}

/// What was found, for people.
fn table(report: &FitReport, request: &TrainRequest) {
    say::result(&format!(
        "{:<24} {:>11} {:>8} {:>12} {:>5}  {:>15} {:>7} {:>7}  {:<24} prompt",
        "example", "size", "rate", "frames", "cut", "mask", "pixels", "cells", "warnings"
    ));
    report.examples.iter().for_each(|one| say::result(&row(one)));
    for one in &report.dropped {
        say::result(&format!("{:<24} dropped: {}", one.name, one.kind));
    }
    let (used, dropped) = (report.examples.len(), report.dropped.len());
    let (units, steps) = (request.estimated_units(), request.number_of_steps());
    let passes = report.passes.map(|passes| format!(" ({passes:.0} passes over each)")).unwrap_or_default();
    say::result(&format!(
        "{used} examples in {}, {dropped} dropped, {} warnings; {steps} steps{passes} would cost {} units ({})",
        request.bucket(),
        report.warnings.len(),
        units.get(),
        units.price()
    ));
}

fn row(one: &ExampleReport) -> String {
    let size = |[width, height]: [u32; 2]| format!("{width}x{height}");
    let warnings = if one.warnings.is_empty() { "-".to_owned() } else { one.warnings.join(", ") };
    format!(
        "{:<24} {:>11} {:>8.3} {:>12} {:>4.0}%  {:>15} {:>6.1}% {:>6.1}%  {:<24} {}",
        one.name,
        size(one.source_size),
        one.source_frame_rate,
        format!("{} of {}", one.frames, one.scene.map_or(one.source_frames, |scene| scene.frames)),
        100.0 * one.cropped,
        format!("{} {}", one.mask, size(one.mask_size)),
        100.0 * one.mask_coverage,
        100.0 * one.latent_coverage,
        warnings,
        one.caption
    )
}
