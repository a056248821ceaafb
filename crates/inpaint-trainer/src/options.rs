//! Training options beyond the request.

use lora_train::InpaintPlan;
use ltx_model::{STG_BLOCK, Schedule, ScheduleTokens};
use mask_norm::{Feather, Growth, LatentRule};
use serde_json::Value;

use crate::{
    Detail, RequestError,
    request::{Checked, Choice, Fields, Flag, Float, Int, Table, object, read_strictly, table},
};

/// How the learning rate runs over the steps. Parameters are the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// The same rate at every step.
    Constant,
    /// Falls to a tenth, in a straight line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Four cosines, each from the full rate to 5e-5.
    CosineWithRestarts,
    /// Falls to 0 along a power, which is 1.
    Polynomial,
    /// Falls to a tenth in the middle of the run.
    Step,
}

const SCHEDULERS: &[(&str, Scheduler)] = &[
    ("constant", Scheduler::Constant),
    ("linear", Scheduler::Linear),
    ("cosine", Scheduler::Cosine),
    ("cosine_with_restarts", Scheduler::CosineWithRestarts),
    ("polynomial", Scheduler::Polynomial),
    ("step", Scheduler::Step),
];

/// How noise levels are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestepSampler {
    /// A logit-normal distribution whose middle moves with the number of tokens.
    ShiftedLogitNormal,
    /// Every noise level alike.
    Uniform,
}

const SAMPLERS: &[(&str, TimestepSampler)] =
    &[("shifted_logit_normal", TimestepSampler::ShiftedLogitNormal), ("uniform", TimestepSampler::Uniform)];

/// How a mask of pixels becomes one of latent cells; see [`LatentRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RuleName {
    Cover,
    Half,
    Reference,
}

const RULES: &[(&str, RuleName)] =
    &[("cover", RuleName::Cover), ("half", RuleName::Half), ("reference", RuleName::Reference)];

const SCHEDULES: &[(&str, ScheduleTokens)] =
    &[("reference", ScheduleTokens::Reference), ("actual", ScheduleTokens::Actual)];

table! {
    pub(crate) struct OptionFields: "training option" {
        /// How a mask becomes one of latent cells, in training and previews alike.
        latent_rule: RuleName = Choice { default: RuleName::Cover, of: RULES };
        /// Pixels of the fitted clip by which the white area is widened in every direction.
        mask_grow_pixels: u32 = Int { default: 0, min: 0, max: 256 };
        /// Fitted frames by which the white area is widened before and after.
        mask_grow_frames: u32 = Int { default: 0, min: 0, max: 120 };
        /// How the learning rate runs over the steps.
        scheduler: Scheduler = Choice { default: Scheduler::Constant, of: SCHEDULERS };
        /// Samples whose gradients make one step.
        accumulation: u32 = Int { default: 1, min: 1, max: 64 };
        /// The norm that all gradients together are clipped to; 0: no clipping.
        max_grad_norm: f64 = Float { default: 1.0, min: 0.0, max: f64::INFINITY };
        /// The optimiser's decoupled weight decay.
        weight_decay: f64 = Float { default: 0.01, min: 0.0, max: 1.0 };
        /// Seeds order, noise and initial weights.
        seed: u64 = Int { default: 42, min: 0, max: u64::MAX };
        /// How noise levels are drawn.
        timestep_sampler: TimestepSampler =
            Choice { default: TimestepSampler::ShiftedLogitNormal, of: SAMPLERS };
        /// Examples that are kept out of training, to see whether the LoRA learns or memorises.
        holdout_examples: u32 = Int { default: 0, min: 0, max: 1000 };
        /// Steps between two losses on fixed draws; 0: a tenth of the run.
        fixed_loss_every: u32 = Int { default: 0, min: 0, max: 20_000 };
        /// Steps between two snapshots; 0: only when the run is stopped, and at its end.
        snapshot_every: u32 = Int { default: 100, min: 0, max: 20_000 };
        /// Steps between two previews; 0: a tenth of the run, and at least 100. There is always one before the first step
        /// and one after the last.
        preview_every: u32 = Int { default: 0, min: 0, max: 20_000 };
        /// Denoising steps of a preview.
        preview_steps: u32 = Int { default: 30, min: 1, max: 200 };
        /// The strength of the prompt against the negative prompt in previews; 1: the latter is left out.
        preview_cfg: f64 = Float { default: 3.0, min: 0.0, max: 30.0 };
        /// How far the spread of a guided prediction is brought back to that of the plain one, in previews.
        preview_rescale: f64 = Float { default: 0.7, min: 0.0, max: 1.0 };
        /// The block that spatio-temporal guidance perturbs, of 48: a model of another depth takes the one in its place.
        preview_stg_block: u32 = Int { default: STG_BLOCK as u32, min: 0, max: 47 };
        /// For how many tokens the noise levels of previews are made: 4096 as the reference does, or as many as there are.
        preview_schedule: ScheduleTokens = Choice { default: ScheduleTokens::Reference, of: SCHEDULES };
        /// White pixels over which a preview fades in from the mask's edge; 0: at once.
        preview_feather: u32 = Int { default: 4, min: 0, max: 256 };
        /// Whether a sample's own video shows in its white area what the prompt asks for, so that it is measured against.
        preview_truth: bool = Flag { default: true };
        /// Whether the LoRA of every preview is kept in a file, so that the best can be chosen; without samples, that of
        /// every step after which there would be previews.
        preview_loras: bool = Flag { default: false };
    }
}

/// Training options beyond the request.
///
/// | option | default | range |
/// |---|---|---|
/// | `latent_rule` | `cover` | `cover`, `half`, `reference` |
/// | `mask_grow_pixels` | 0 | 0 to 256 pixels of the fitted clip; not with `reference` |
/// | `mask_grow_frames` | 0 | 0 to 120 frames; not with `reference` |
/// | `scheduler` | `constant` | `constant`, `linear`, `cosine`, `cosine_with_restarts`, `polynomial`, `step` |
/// | `accumulation` | 1 | 1 to 64 samples a step |
/// | `max_grad_norm` | 1.0 | from 0, which means no clipping |
/// | `weight_decay` | 0.01 | 0 to 1 |
/// | `seed` | 42 | 64 bits |
/// | `timestep_sampler` | `shifted_logit_normal` | `shifted_logit_normal`, `uniform` |
/// | `holdout_examples` | 0 | 0 to 1000 examples that are kept out of training |
/// | `fixed_loss_every` | 0 | 0 to 20000 steps; 0 means a tenth of the run |
/// | `snapshot_every` | 100 | 0 to 20000 steps; 0 means only when the run is stopped, and at its end |
/// | `preview_every` | 0 | 0 to 20000 steps; 0 means a tenth of the run, and at least 100 |
/// | `preview_steps` | 30 | 1 to 200 denoising steps |
/// | `preview_cfg` | 3.0 | 0 to 30; 1 means no negative prompt |
/// | `preview_rescale` | 0.7 | 0 to 1 |
/// | `preview_stg_block` | 28 | 0 to 47, of 48 blocks |
/// | `preview_schedule` | `reference` | `reference`, `actual` |
/// | `preview_feather` | 4 | 0 to 256 pixels |
/// | `preview_truth` | true | whether the white area of a sample's video is what the prompt asks for |
/// | `preview_loras` | false | whether the LoRA of every preview is kept in a file |
///
/// The reference trainer's own scheduler is `linear`; the default here is `constant`, because the request gives one
/// learning rate and no decay, and the losses of short and long runs can then be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions(OptionFields);

impl TrainOptions {
    /// Reads options from an object of them; each may be missing.
    ///
    /// # Errors
    /// All faults: values outside their range and names that are no options.
    pub fn from_json(options: &Value) -> Result<Self, RequestError> {
        let fields = object(options).and_then(read_strictly::<OptionFields, Fields>);
        fields.and_then(Self::checked).map_err(RequestError::in_body)
    }

    /// Options that go together.
    pub(crate) fn checked(fields: OptionFields) -> Checked<Self> {
        let widened = fields.mask_grow_pixels > 0 || fields.mask_grow_frames > 0;
        if widened && fields.latent_rule == RuleName::Reference {
            let msg = "takes masks as they are: leave mask_grow_pixels and mask_grow_frames at 0, or choose `cover`";
            return Err(vec![Detail::new("value_error", "contradiction", msg).within("latent_rule")]);
        }
        Ok(Self(fields))
    }

    /// All options, defaults too; [`from_json`](Self::from_json) gives them back.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.write())
    }

    /// How masks become latent cells, in training and previews alike.
    pub fn latent_rule(&self) -> LatentRule {
        let grow = Growth { pixels: self.0.mask_grow_pixels, frames: self.0.mask_grow_frames };
        match self.0.latent_rule {
            RuleName::Cover => LatentRule::Cover(grow),
            RuleName::Half => LatentRule::Half(grow),
            RuleName::Reference => LatentRule::Reference,
        }
    }

    /// How the learning rate runs over the steps.
    pub fn scheduler(&self) -> Scheduler {
        self.0.scheduler
    }

    /// Samples whose gradients make one step, 1 to 64.
    pub fn accumulation(&self) -> u32 {
        self.0.accumulation
    }

    /// The norm that all gradients together are clipped to; none: no clipping.
    pub fn max_grad_norm(&self) -> Option<f64> {
        Some(self.0.max_grad_norm).filter(|norm| *norm > 0.0)
    }

    /// The optimiser's decoupled weight decay, 0 to 1.
    pub fn weight_decay(&self) -> f64 {
        self.0.weight_decay
    }

    /// Seeds order, noise and initial weights.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// How noise levels are drawn.
    pub fn timestep_sampler(&self) -> TimestepSampler {
        self.0.timestep_sampler
    }

    /// Examples that are kept out of training.
    pub fn holdout_examples(&self) -> u32 {
        self.0.holdout_examples
    }

    /// Steps between two losses on fixed draws; none: a tenth of the run.
    pub fn fixed_loss_every(&self) -> Option<u32> {
        Some(self.0.fixed_loss_every).filter(|every| *every > 0)
    }

    /// Steps between two snapshots; with 0 there is one only when the run is stopped, and at its end.
    pub fn snapshot_every(&self) -> u32 {
        self.0.snapshot_every
    }

    /// Steps between two previews of a run of `steps`.
    pub fn preview_every(&self, steps: u32) -> u32 {
        match self.0.preview_every {
            0 => steps.div_ceil(10).max(100),
            every => every,
        }
    }

    /// Whether there are previews after `step` of a run of `steps`: before the first, after the last, and on the way.
    pub fn has_previews_after(&self, step: u64, steps: u32) -> bool {
        step.is_multiple_of(self.preview_every(steps).into()) || step == u64::from(steps)
    }

    /// How a preview fades in from the edge of the white area.
    pub fn feather(&self) -> Feather {
        Feather { pixels: self.0.preview_feather }
    }

    /// Whether the white area of a sample's video is what its prompt asks for.
    pub fn source_is_truth(&self) -> bool {
        self.0.preview_truth
    }

    /// Whether the LoRA of every preview is kept in a file.
    pub fn keeps_preview_loras(&self) -> bool {
        self.0.preview_loras
    }

    /// How previews are sampled, with spatio-temporal guidance of strength `stg`.
    pub fn inpaint_plan(&self, stg: f64) -> InpaintPlan {
        let fields = &self.0;
        let steps = fields.preview_steps as usize;
        InpaintPlan {
            schedule: Schedule { steps, tokens: fields.preview_schedule, ..Schedule::default() },
            cfg: fields.preview_cfg,
            stg,
            stg_block: fields.preview_stg_block as usize,
            rescale: fields.preview_rescale,
            seed: fields.seed,
        }
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self(OptionFields {
            latent_rule: RuleName::Cover,
            mask_grow_pixels: 0,
            mask_grow_frames: 0,
            scheduler: Scheduler::Constant,
            accumulation: 1,
            max_grad_norm: 1.0,
            weight_decay: 0.01,
            seed: 42,
            timestep_sampler: TimestepSampler::ShiftedLogitNormal,
            holdout_examples: 0,
            fixed_loss_every: 0,
            snapshot_every: 100,
            preview_every: 0,
            preview_steps: 30,
            preview_cfg: 3.0,
            preview_rescale: 0.7,
            preview_stg_block: STG_BLOCK as u32,
            preview_schedule: ScheduleTokens::Reference,
            preview_feather: 4,
            preview_truth: true,
            preview_loras: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::check_bounds;

    #[test]
    fn no_options_are_the_default_options() {
        assert_eq!(TrainOptions::from_json(&json!({})), Ok(TrainOptions::default()));
    }

    #[test]
    fn options_read_what_they_write() {
        let json = json!({
            "latent_rule": "half", "mask_grow_pixels": 12, "mask_grow_frames": 3,
            "scheduler": "cosine_with_restarts", "accumulation": 4, "max_grad_norm": 0.0, "weight_decay": 1.0,
            "seed": u64::MAX, "timestep_sampler": "uniform",
            "holdout_examples": 2, "fixed_loss_every": 7, "snapshot_every": 50,
            "preview_every": 25, "preview_steps": 8, "preview_cfg": 1.0, "preview_rescale": 0.0,
            "preview_stg_block": 14, "preview_schedule": "actual", "preview_feather": 0, "preview_truth": false,
            "preview_loras": true,
        });
        let options = TrainOptions::from_json(&json).unwrap();
        assert_eq!(options.to_json(), json);
        assert_eq!((options.max_grad_norm(), options.seed()), (None, u64::MAX));
        assert_eq!(options.latent_rule(), LatentRule::Half(Growth { pixels: 12, frames: 3 }));
        let plan = options.inpaint_plan(2.0);
        assert_eq!((plan.schedule.steps, plan.schedule.tokens), (8, ScheduleTokens::Actual));
        assert_eq!(
            (plan.cfg, plan.stg, plan.stg_block, plan.rescale, plan.seed),
            (1.0, 2.0, 14, 0.0, u64::MAX)
        );
        assert_eq!((options.feather(), options.source_is_truth()), (Feather { pixels: 0 }, false));
        assert!(options.keeps_preview_loras());
    }

    #[test]
    fn previews_are_a_tenth_of_the_run_apart_and_at_least_100_steps_unless_asked_otherwise() {
        let of = |json, steps| TrainOptions::from_json(&json).unwrap().preview_every(steps);
        assert_eq!([100, 1000, 2000, 2001].map(|steps| of(json!({}), steps)), [100, 100, 200, 201]);
        assert_eq!(of(json!({"preview_every": 7}), 2000), 7);
        let options = TrainOptions::default();
        let due = (0..=250).filter(|step| options.has_previews_after(*step, 250));
        assert_eq!(due.collect::<Vec<_>>(), [0, 100, 200, 250]);
    }

    #[test]
    fn the_default_previews_are_the_references() {
        assert_eq!(TrainOptions::default().inpaint_plan(1.0), InpaintPlan::default());
    }

    #[test]
    fn the_reference_rule_widens_nothing() {
        let with = |json| TrainOptions::from_json(&json).map(|options| options.latent_rule());
        assert_eq!(with(json!({"latent_rule": "reference"})), Ok(LatentRule::Reference));
        for growth in ["mask_grow_pixels", "mask_grow_frames"] {
            let error = with(json!({"latent_rule": "reference", growth: 1})).unwrap_err();
            let [detail] = error.details() else { panic!("{error}") };
            assert_eq!((detail.ctx.kind, &detail.loc[1]), ("contradiction", &"latent_rule".into()));
        }
    }

    #[test]
    fn every_option_is_accepted_up_to_its_bounds_and_not_beyond() {
        check_bounds(&OptionFields::properties(), |name, value| {
            TrainOptions::from_json(&json!({ name: value }))
                .map_err(|error| Box::new(error.details()[0].clone()))
        });
    }

    #[test]
    fn faults_are_reported_together_and_fields_of_the_request_are_named_as_such() {
        let wrong = json!({"seed": 1.5, "weight_decay": "0.1", "acumulation": 2, "rank": 8});
        let error = TrainOptions::from_json(&wrong).unwrap_err();
        let lines: Vec<String> = error.details().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "acumulation: unknown training option, the nearest known name is `accumulation`",
                "rank: a field of the request, not a training option",
                "weight_decay: must be a number, found \"0.1\"",
                "seed: must be a whole number, found 1.5",
            ],
        );
    }
}
