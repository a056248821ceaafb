//! LoRA files from the course of a training, to choose from.

use std::{error::Error, fs, path::Path};

use lora_train::{TrainState, adapters, write_whole};

use crate::{TrainOptions, TrainRequest, publish};

/// The folder, in that of the results.
const FOLDER: &str = "loras";

/// Writes the LoRA of a step after which there are previews, if these are to be kept. That of the last step is the
/// result itself, and before the first step there is none.
pub(crate) fn keep(
    state: &TrainState,
    request: &TrainRequest,
    options: &TrainOptions,
    base_model: &str,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let step = state.step();
    if !is_kept(step as u32, request, options) {
        return Ok(());
    }
    let bytes = adapters::to_safetensors(state.lora(), &publish::metadata(request, base_model, step))?;
    fs::create_dir_all(out.join(FOLDER))?;
    Ok(write_whole(&out.join(name(step as u32)), &bytes)?)
}

/// Those that lie in `out`, relative to it.
pub(crate) fn of_run(
    request: &TrainRequest,
    options: &TrainOptions,
    out: &Path,
) -> impl Iterator<Item = String> {
    let kept = (1..request.number_of_steps()).filter(|step| is_kept(*step, request, options));
    kept.map(name).filter(|name| out.join(name).is_file())
}

/// Whether the LoRA of this step is one of those.
fn is_kept(step: u32, request: &TrainRequest, options: &TrainOptions) -> bool {
    let steps = request.number_of_steps();
    let is_on_the_way = 0 < step && step < steps && options.has_previews_after(step.into(), steps);
    options.keeps_preview_loras() && is_on_the_way
}

fn name(step: u32) -> String {
    format!("{FOLDER}/step-{step:06}.safetensors")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loras_are_kept_where_previews_are_but_for_the_first_and_the_last() {
        let request = json!({"training_data_url": "https://host/a.zip", "number_of_steps": 300});
        let request = TrainRequest::from_json(&request).unwrap();
        let of = |options| {
            let options = TrainOptions::from_json(&options).unwrap();
            (0..=400).filter(|step| is_kept(*step, &request, &options)).collect::<Vec<u32>>()
        };
        assert!(of(json!({})).is_empty());
        assert_eq!(of(json!({"preview_loras": true})), [100, 200]);
        assert_eq!(of(json!({"preview_loras": true, "preview_every": 130})), [130, 260]);
        assert!(of(json!({"preview_loras": true, "preview_every": 20_000})).is_empty());
    }
}
