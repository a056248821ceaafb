//! `inpaint check`: everything up to the encoders.

use std::process::ExitCode;

use inpaint_trainer::{Answer, Cancel, FitReport, Limits, TrainRequest, Watch};

use crate::{args::CheckArgs, progress::Progress, say, train};

pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let (request, _) = match args.request.checked(args.dataset.as_deref(), None, &[]) {
        Ok(checked) => checked,
        Err(bad) => return train::refuse(bad, args.request.json),
    };
    let mut progress = Progress::new(args.request.json);
    let cancel = Cancel::default();
    train::on_interrupt(&cancel);
    let mut observe = |event| progress.show(&event);
    let mut watch = Watch::new(&mut observe, cancel);
    let result = inpaint_trainer::check(&request, &Limits::default(), &std::env::temp_dir(), &mut watch);
    let answer = args.request.json.then(|| Answer::of_check(&result, request.estimated_units()));
    match (&result, &answer) {
        (Err(error), _) => return say::error(error, answer.as_ref()),
        (Ok(_), Some(answer)) => say::json(answer),
        (Ok(survey), None) => table(&survey.report, &request),
    }
    ExitCode::SUCCESS
}

/// What was found, for people.
fn table(report: &FitReport, request: &TrainRequest) {
    say::result(&format!(
        "{:<24} {:>11} {:>6} {:>8} {:>6} {:>7} {:>7}  prompt",
        "example", "size", "frames", "rate", "mask", "pixels", "latents"
    ));
    for one in &report.examples {
        say::result(&format!(
            "{:<24} {:>11} {:>6} {:>8.3} {:>6} {:>6.1}% {:>6.1}%  {}",
            one.name,
            format!("{}x{}", one.source_size[0], one.source_size[1]),
            one.source_frames,
            one.frame_rate,
            one.mask,
            100.0 * one.mask_coverage,
            100.0 * one.latent_coverage,
            one.caption
        ));
    }
    let (used, dropped) = (report.examples.len(), report.dropped.len());
    let units = request.estimated_units();
    say::result(&format!(
        "{used} examples in {}, {dropped} dropped, {} warnings; training would cost {} units ({})",
        request.bucket(),
        report.warnings.len(),
        units.get(),
        units.price()
    ));
}
