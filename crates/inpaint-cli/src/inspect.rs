//! `inpaint inspect`: what a LoRA file holds.

use std::{path::Path, process::ExitCode};

use inpaint_trainer::inspect::{self, Health, InspectError, LoraFile, LoraModule};
use serde::Serialize;
use tensor_batch::{Blame, Fault};

use crate::{args::InspectArgs, say};

/// Letters of a text out of a file, which may be anything.
const LETTERS: usize = 200;
/// Lines of metadata, and of keys that are no part of a LoRA.
const LINES: usize = 40;

pub(crate) fn inspect(args: &InspectArgs) -> ExitCode {
    match inspect::inspect(&args.file) {
        Ok(lora) if args.json => say::json(&Answer::of(&args.file, &lora)),
        Ok(lora) => describe(&args.file, &lora),
        Err(error) => return refuse(&error, args.json),
    }
    ExitCode::SUCCESS
}

/// The one JSON object.
#[derive(Serialize)]
struct Answer<'a> {
    file: String,
    sound: bool,
    ranks: Vec<usize>,
    dtypes: Vec<&'a str>,
    #[serde(flatten)]
    lora: &'a LoraFile,
}

impl<'a> Answer<'a> {
    fn of(file: &Path, lora: &'a LoraFile) -> Self {
        let file = file.display().to_string();
        Self { file, sound: lora.is_sound(), ranks: lora.ranks(), dtypes: lora.dtypes(), lora }
    }
}

fn refuse(error: &InspectError, json: bool) -> ExitCode {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let message = format!("{error}{cause}");
    match json {
        true => say::json(&serde_json::json!({ "error": message, "kind": error.kind() })),
        false => say::tell(&format!("error: {}", printable(&message))),
    }
    match error.fault() {
        Fault::Request => ExitCode::from(say::REJECTED),
        Fault::Service => ExitCode::FAILURE,
    }
}

/// The same for people.
fn describe(file: &Path, lora: &LoraFile) {
    let layouts: Vec<String> = lora.layouts.iter().map(|layout| layout.endings().join(", ")).collect();
    say::result(&format!(
        "{}: {}, keys end in {}",
        file.display(),
        say::size(lora.bytes),
        layouts.join("; ")
    ));
    let list = |ranks: &[usize]| ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let modules = lora.modules.len();
    say::result(&format!("rank {} in {modules} modules, {}", list(&lora.ranks()), lora.dtypes().join(", ")));
    say::result(&health(lora));
    texts(
        "metadata",
        lora.metadata.iter().map(|(key, value)| format!("{key}: {value}")),
        lora.metadata.len(),
    );
    texts("keys that are no part of a LoRA", lora.others.iter().cloned(), lora.others.len());
    let width = lora.modules.iter().map(|module| printable(&module.name).chars().count()).max().unwrap_or(0);
    say::result(&format!("{:<width$}  rank      in     out  {:<9}  alpha  delta rms", "module", "type"));
    lora.modules.iter().for_each(|module| say::result(&row(module, width)));
}

fn health(lora: &LoraFile) -> String {
    let mut sizes: Vec<f64> = lora
        .modules
        .iter()
        .filter_map(|module| match module.health {
            Health::Sound { delta_rms } => Some(delta_rms),
            _ => None,
        })
        .collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let spread = match sizes.as_slice() {
        [] => String::new(),
        [low, .., high] => {
            format!("; delta rms {low:.2e} to {high:.2e}, median {:.2e}", sizes[sizes.len() / 2])
        }
        [one] => format!("; delta rms {one:.2e}"),
    };
    match lora.modules.len() - sizes.len() {
        0 => format!("sound: every module is finite and does something{spread}"),
        wrong => format!("{wrong} of {} modules are not known to be sound{spread}", lora.modules.len()),
    }
}

fn texts(title: &str, lines: impl Iterator<Item = String>, count: usize) {
    if count == 0 {
        return;
    }
    say::result(&format!("{title}:"));
    lines.take(LINES).for_each(|line| say::result(&format!("  {}", printable(&line))));
    if count > LINES {
        say::result(&format!("  and {} more", count - LINES));
    }
}

fn row(module: &LoraModule, width: usize) -> String {
    let size = |size: Option<usize>| size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    let alpha = module.alpha.map_or_else(|| "-".to_owned(), |alpha| alpha.to_string());
    format!(
        "{:<width$}  {:>4}  {:>6}  {:>6}  {:<9}  {alpha:>5}  {}",
        printable(&module.name),
        size(module.rank),
        size(module.inputs),
        size(module.outputs),
        module.dtype,
        words(&module.health)
    )
}

fn words(health: &Health) -> String {
    match health {
        Health::Sound { delta_rms } => format!("{delta_rms:.3e}"),
        Health::Zero { factor } => format!("does nothing: {factor} is zero"),
        Health::NotFinite { factor } => format!("not finite: a value of {factor}"),
        Health::Unpaired { factor } => format!("{factor} is missing"),
        Health::Unfit { a, b } => format!("A {a:?} and B {b:?} do not fit together"),
        Health::NotMeasured { reason } => format!("not measured: {reason}"),
        _ => "unknown".to_owned(),
    }
}

/// A text out of a file, fit for a terminal: no control characters, and not endless.
fn printable(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut short: String = text.chars().take(LETTERS).map(plain).collect();
    if text.chars().nth(LETTERS).is_some() {
        short.push_str(" ...");
    }
    short
}
