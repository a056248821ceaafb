//! Kinds of the folder `preprocess`: clips, masks and captions on their way to the model.

use serde_json::Value;
use tensor_batch::Caption;

use super::{Case, Kind, KindResult, Produced, Tensor, Values};

const FOLDER: &str = "preprocess";

pub(super) const KINDS: &[Kind] = &[
    Kind::not_implemented(FOLDER, "resize"),
    Kind::not_implemented(FOLDER, "bucket-choice"),
    Kind::not_implemented(FOLDER, "mask-video"),
    Kind::not_implemented(FOLDER, "mask-image"),
    Kind::new(FOLDER, "captions", captions),
    Kind::not_implemented(FOLDER, "decode-real-clip"),
    Kind::not_implemented(FOLDER, "frame-counts"),
];

/// Trigger and caption composed to a prompt. Groups that remove stock openings are left out: we have no such option.
fn captions(case: &Case) -> KindResult {
    let groups = case.json()?.as_array().ok_or("the case is no list")?;
    let mut produced = Vec::new();
    for (g, group) in groups.iter().enumerate().filter(|(_, group)| group["remove_llm_prefixes"] == false) {
        let trigger = group["trigger"].as_str().unwrap_or_default();
        for (r, row) in group["rows"].as_array().into_iter().flatten().enumerate() {
            let caption = text(row, "caption")?;
            let prompt = Caption::prompt(trigger, Caption::new(caption).as_ref());
            let expected = trimmed(text(row, "prompt")?, caption);
            let expected = Tensor { shape: Vec::new(), values: Values::Text(expected) };
            produced.push(Produced::text(format!("{g}/rows/{r}/prompt"), prompt).against(expected));
        }
    }
    Ok(produced)
}

/// The reference joins the caption with the white space around it and lets the tokenizer trim the prompt; we trim
/// the caption first.
fn trimmed(prompt: &str, caption: &str) -> String {
    let head = prompt.strip_suffix(caption).unwrap_or(prompt);
    let tail = if head.len() == prompt.len() { "" } else { caption.trim() };
    format!("{head}{tail}").trim().to_owned()
}

fn text<'a>(row: &'a Value, key: &str) -> Result<&'a str, String> {
    row[key].as_str().ok_or_else(|| format!("a row has no text `{key}`"))
}
