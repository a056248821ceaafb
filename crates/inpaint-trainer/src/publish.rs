//! Trained adapters become files.

use std::{collections::BTreeMap, path::Path};

use lora_train::{TrainedLora, adapters, write_whole};
use ltx_model::LORA_TARGETS;
use serde_json::{Value, json};

use crate::{
    FitReport, OutFile, OutFiles, RunError, Stage, TrainOptions, TrainRequest, debug_dataset::DebugDataset,
    metrics::METRICS, page::REPORT, preview_loras,
};

pub(crate) const LORA: &str = "lora.safetensors";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const OUTCOME: &str = "outcome.json";
pub(crate) const DEBUG_DATASET: &str = "debug_dataset.zip";
/// The reel of the previews, if there are any.
pub(crate) const VIDEO: &str = "validation.mp4";

/// What the files say besides the adapters.
pub(crate) struct Publication<'a> {
    pub(crate) request: &'a TrainRequest,
    pub(crate) options: &'a TrainOptions,
    pub(crate) base_model: &'a str,
    pub(crate) report: &'a FitReport,
}

impl Publication<'_> {
    /// Writes adapters, configuration and, if there is one, the debug archive into `out`.
    pub(crate) fn write(
        &self,
        lora: &TrainedLora,
        debug: Option<&DebugDataset>,
        out: &Path,
    ) -> Result<OutFiles, RunError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| RunError::Failed {
            stage: Stage::Publish,
            source,
        };
        let bytes =
            adapters::to_safetensors(lora.lora(), &metadata(self.request, self.base_model, lora.steps()))
                .map_err(|e| failed(e.into()))?;
        write(&out.join(LORA), &bytes)?;
        let config = serde_json::to_vec_pretty(&self.config(lora)).map_err(|e| failed(e.into()))?;
        write(&out.join(CONFIG), &config)?;
        if let Some(debug) = debug {
            debug.pack_into(&out.join(DEBUG_DATASET))?;
        }
        let file = |name: &str, content_type| {
            let path = out.join(name);
            OutFile::of(&path, content_type).map_err(RunError::io(Stage::Publish, path))
        };
        let video = out.join(VIDEO).is_file().then(|| file(VIDEO, "video/mp4")).transpose()?;
        Ok(OutFiles {
            lora_file: file(LORA, "application/octet-stream")?,
            config_file: file(CONFIG, "application/json")?,
            metrics_file: file(METRICS, "application/jsonl")?,
            report_file: file(REPORT, "text/html")?,
            preview_loras: preview_loras::of_run(self.request, self.options, out)
                .map(|path| file(&path, "application/octet-stream"))
                .collect::<Result<_, _>>()?,
            video,
            debug_dataset: debug.map(|_| file(DEBUG_DATASET, "application/zip")).transpose()?,
        })
    }

    fn config(&self, lora: &TrainedLora) -> Value {
        let request = self.request;
        let size = request.bucket().size();
        let deltas: BTreeMap<&str, f64> =
            lora.delta_rms().iter().map(|(name, rms)| (name.as_str(), *rms)).collect();
        json!({
            "trigger_phrase": request.trigger_phrase(),
            "training_type": "inpaint",
            "base_model": self.base_model,
            "lora": {
                "rank": request.rank().get(),
                "alpha": request.rank().get(),
                "target_modules": LORA_TARGETS,
                "dtype": "bfloat16",
                "steps": lora.steps(),
                "delta_rms": deltas,
            },
            "data": {
                "examples": self.report.examples.len(),
                "width": size.width,
                "height": size.height,
                "frames": request.bucket().frames(),
                "frame_rate": request.frame_rate(),
                "auto_scale_input": request.auto_scale_input(),
                "mask_convention": "white = regenerate",
            },
            "options": self.options.to_json(),
            "request": without_secrets(request),
        })
    }
}

/// What a LoRA file says of itself, after so many steps.
pub(crate) fn metadata(request: &TrainRequest, base_model: &str, steps: usize) -> BTreeMap<String, String> {
    let rank = request.rank().to_string();
    [
        ("alpha", rank.clone()),
        ("base_model", base_model.to_owned()),
        ("rank", rank),
        ("steps", steps.to_string()),
        ("training_type", "inpaint".to_owned()),
        ("trigger_phrase", request.trigger_phrase().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The request as it came, but for what a URL may keep secret: this file goes where the LoRA goes.
pub(crate) fn without_secrets(request: &TrainRequest) -> Value {
    let mut json = request.to_json();
    json["training_data_url"] = json!(request.training_data_url().to_string());
    for (index, sample) in request.validation().iter().enumerate() {
        json["validation"][index]["video_url"] = json!(sample.video_url.to_string());
        json["validation"][index]["mask_url"] = json!(sample.mask_url.to_string());
    }
    json
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    write_whole(path, bytes).map_err(RunError::io(Stage::Publish, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_keeps_secret_is_not_published() {
        let secret = |name: &str| format!("https://user:word@host/{name}?signature=key");
        let sample = json!({"prompt": "a", "video_url": secret("a.mp4"), "mask_url": secret("a.png")});
        let request = json!({"training_data_url": secret("a.zip"), "rank": 8, "validation": [sample]});
        let published = without_secrets(&TrainRequest::from_json(&request).unwrap());
        assert_eq!((&published["rank"], &published["validation"][0]["prompt"]), (&json!(8), &json!("a")));
        let text = published.to_string();
        for name in ["a.zip", "a.mp4", "a.png"] {
            assert!(text.contains(&format!("https://host/{name}\"")), "{text}");
        }
    }
}
