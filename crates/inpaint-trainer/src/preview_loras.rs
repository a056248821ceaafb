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
    if !steps(request, options).any(|due| due as usize == step) {
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
    steps(request, options).map(name).filter(|name| out.join(name).is_file())
}

/// After which steps.
fn steps(request: &TrainRequest, options: &TrainOptions) -> impl Iterator<Item = u32> + use<> {
    let (steps, kept) = (request.number_of_steps(), options.keeps_preview_loras());
    let every = options.preview_every(steps);
    (1..).map(move |times| times * every).take_while(move |step| kept && *step < steps)
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
        let of = |options| steps(&request, &TrainOptions::from_json(&options).unwrap()).collect::<Vec<_>>();
        assert!(of(json!({})).is_empty());
        assert_eq!(of(json!({"preview_loras": true})), [100, 200]);
        assert_eq!(of(json!({"preview_loras": true, "preview_every": 130})), [130, 260]);
        assert!(of(json!({"preview_loras": true, "preview_every": 20_000})).is_empty());
    }
}
