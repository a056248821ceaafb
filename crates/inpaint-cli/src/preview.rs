//! `inpaint preview`: one video, with a LoRA or without.

use std::process::ExitCode;

use inpaint_trainer::{Answer, Cancel, Preview, RunError, TrainOptions, TrainRequest, Watch};
use serde_json::{Value, json};
use tensor_batch::Bucket;

use crate::{
    args::{BadRequest, PreviewArgs},
    freed,
    progress::Progress,
    say, train,
};

pub(crate) fn preview(args: &PreviewArgs) -> ExitCode {
    let json = args.request.json;
    let prepared = train::settings(&args.model, &args.out, false).and_then(|settings| {
        let (request, options) = request(args)?;
        Ok((settings, request, options))
    });
    let (settings, request, options) = match prepared {
        Ok(prepared) => prepared,
        Err(bad) => return train::refuse(bad, json),
    };
    let mut progress = Progress::new(json);
    let cancel = Cancel::default();
    train::on_interrupt(&cancel);
    let mut observe = |event| {
        progress.show(&event);
        freed::after(&event);
    };
    let mut watch = Watch::new(&mut observe, cancel);
    let lora = args.lora.as_deref();
    let result = inpaint_trainer::preview(&request, &options, &settings, lora, &args.out, &mut watch);
    match result {
        Err(error) => fail(&error, json),
        Ok(preview) if json => {
            say::result(&answer(&preview).to_string());
            ExitCode::SUCCESS
        }
        Ok(preview) => {
            conclude(&preview, args);
            ExitCode::SUCCESS
        }
    }
}

fn fail(error: &RunError, json: bool) -> ExitCode {
    say::error(error, json.then(|| Answer::of_error(error)).as_ref())
}

/// A request of one sample, in the place of the samples of a request file.
fn request(args: &PreviewArgs) -> Result<(TrainRequest, TrainOptions), BadRequest> {
    let sample = json!([{ "prompt": args.prompt, "video_url": args.video, "mask_url": args.mask }]);
    let own = [format!("validation={sample}")];
    // Nothing is trained: the field is required, and not looked at.
    let video = format!("training_data_url={}", args.video);
    let (request, options) = args.request.checked_with(&[video], None, args.model.seed, &own)?;
    match train::DEMO_BUCKET.parse::<Bucket>() {
        Ok(bucket) if args.model.model == "tiny" && args.request.bucket.is_none() => {
            Ok((request.with_bucket(bucket), options))
        }
        _ => Ok((request, options)),
    }
}

/// The one JSON object.
fn answer(preview: &Preview) -> Value {
    json!({
        "outcome": "accept", "examples": [], "dropped": [], "warnings": preview.warnings, "detail": [],
        "billable_units": 0, "estimated_units": null,
        "files": { "video": preview.video, "plain": preview.plain },
        "numbers": preview.numbers,
    })
}

/// Where the result is, and what its numbers say.
fn conclude(preview: &Preview, args: &PreviewArgs) {
    let with =
        args.lora.as_ref().map_or("without a LoRA".to_owned(), |lora| format!("with {}", lora.display()));
    say::result(&format!("inpainted {with}:"));
    let folder = args.out.with_file_name("");
    for (file, what) in [
        (&preview.video, "white area generated, the rest the source's own pixels"),
        (&preview.plain, "the decoder's output as it is"),
    ] {
        let path = folder.join(&file.file_name);
        say::result(&format!("  {:<32} {:>10}  {what}", path.display(), say::size(file.file_size)));
    }
    let told = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let numbers = &preview.numbers;
    say::result(&format!(
        "kept area before compositing: PSNR {} dB, SSIM {}; seam {} (source {})",
        told(numbers.kept_psnr),
        told(numbers.kept_ssim),
        told(numbers.seam),
        told(numbers.source_seam)
    ));
}
