//! Kinds of the folder `transformer`: the model, the training step, sampling.

use super::Kind;

const FOLDER: &str = "transformer";

pub(super) const KINDS: &[Kind] = &[
    Kind::not_implemented(FOLDER, "rope"),
    Kind::not_implemented(FOLDER, "timestep"),
    Kind::not_implemented(FOLDER, "block"),
    Kind::not_implemented(FOLDER, "forward"),
    Kind::not_implemented(FOLDER, "stg_forward"),
    Kind::not_implemented(FOLDER, "lora_step"),
    Kind::not_implemented(FOLDER, "lora_weights"),
    Kind::not_implemented(FOLDER, "timestep_samplers"),
    Kind::not_implemented(FOLDER, "trajectory"),
    Kind::not_implemented(FOLDER, "sigma_schedule"),
    Kind::not_implemented(FOLDER, "sample_euler"),
];
