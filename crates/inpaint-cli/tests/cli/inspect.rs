//! Looking into LoRA files.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, assets, clips};

/// A LoRA as the reference trainer writes it.
fn reference() -> String {
    let path = clips("../golden/transformer/lora_weights_step_00000.safetensors");
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_lora_of_another_trainer_is_described_to_people_and_to_programs() {
    let sandbox = Sandbox::new();
    let call = sandbox.inpaint(&["inspect", &reference()]);
    assert_eq!(call.code, Some(0), "{call:?}");
    for text in ["rank 8 in 32 modules, BF16", "sound: every module", "transformer_blocks.3.attn2.to_out.0 "]
    {
        assert!(call.stdout.contains(text), "{text}: {}", call.stdout);
    }
    let call = sandbox.inpaint(&["inspect", &reference(), "--json"]);
    let answer: Value = serde_json::from_str(&call.stdout).unwrap();
    assert_eq!(
        (&answer["sound"], &answer["ranks"][0], &answer["dtypes"][0]),
        (&true.into(), &8.into(), &"BF16".into())
    );
    let modules = answer["modules"].as_array().unwrap();
    assert_eq!((modules.len(), &modules[0]["health"]), (32, &"sound".into()));
    assert!(modules.iter().all(|module| module["delta_rms"].as_f64().unwrap() > 0.0));
}

#[test]
fn what_is_no_lora_is_refused_in_the_callers_form() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("spoilt"), [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    let checkpoint = assets("tiny/tiny-ltx-2.3.safetensors");
    for (file, kind) in [("spoilt", "lora-damaged"), (checkpoint.as_str(), "no-lora"), ("nowhere", "lora-io")]
    {
        let call = sandbox.inpaint(&["inspect", file, "--json"]);
        let answer: Value = serde_json::from_str(&call.stdout).unwrap();
        assert_eq!((call.code, &answer["kind"]), (Some(2), &kind.into()), "{answer}");
        let call = sandbox.inpaint(&["inspect", file]);
        assert!(call.code == Some(2) && call.stderr.starts_with("error: "), "{call:?}");
    }
}
