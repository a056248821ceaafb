//! The target `job`: whole requests, whose archive has one spoilt member, are checked as the product checks them.

use std::{fs, io, path::Path};

use inpaint_trainer::{
    Answer as Told, Cancel, Fetcher, Limits, Reach, RunError, Survey, TrainOptions, TrainRequest, Warning,
    Watch, check,
};
use serde_json::{Value, json};
use tensor_batch::Bucket;

use super::{
    archive,
    bytes::havoc,
    image,
    judge::{self, Answer, Flaw, Verdict, holds, names_in},
    random::Random,
    request, seeds,
    target::{Input, Place, Target},
    video::{self, Clips},
    zip_file::{Archive, Entry, Packing},
};

const BUCKET: &str = "64x32x9";
const MEMBERS: [&str; 5] = ["good01.mp4", "good01_mask.png", "good01.txt", "good02.mp4", "good02_mask.mp4"];

pub(super) struct JobTarget {
    members: Vec<(&'static str, Vec<u8>)>,
    clips: Clips,
}

impl JobTarget {
    pub(super) fn load() -> io::Result<Self> {
        let member = |name| seeds::member("two-good-pairs.zip", name).map(|content| (name, content));
        let members = MEMBERS.into_iter().map(member).collect::<io::Result<_>>()?;
        Ok(Self { members, clips: Clips::load()? })
    }

    fn archive(&self) -> Archive {
        let entry = |(name, content): &(&'static str, Vec<u8>)| Entry::new(name, content, Packing::Deflate);
        Archive { entries: self.members.iter().map(entry).collect(), ..Archive::default() }
    }

    /// Spoils one member. Its format need not be what its name says.
    fn spoil_member(&self, entry: &mut Entry, random: &mut Random) {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let spoilt = match name.rsplit_once('.') {
            Some((_, "txt")) => {
                havoc(&mut entry.plain, random);
                return;
            }
            Some((_, "png")) => image::spoilt(random),
            _ => self.clips.spoilt(random),
        };
        if random.chance(50) {
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            entry.name = format!("{stem}.{}", spoilt.extension).into();
        }
        entry.plain = spoilt.bytes;
    }
}

impl Target for JobTarget {
    fn good(&self) -> Vec<Input> {
        vec![Input { with: json!({}), ..Input::new("zip", self.archive().write()) }]
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        let mut spoilt = self.archive();
        let chosen = random.below(spoilt.entries.len());
        self.spoil_member(&mut spoilt.entries[chosen], random);
        if random.chance(10) {
            archive::spoil(&mut spoilt, random);
        }
        let with = json!({
            "auto_scale_input": random.chance(60), "frame_rate": 8 + random.below(53),
            "split_input_into_scenes": random.chance(30), "split_input_duration_threshold": 1 + random.below(3),
            "latent_rule": random.pick(&["cover", "half", "reference"]), "sheet": random.chance(20),
        });
        Input { with, ..Input::new("zip", spoilt.write()) }
    }

    fn run(&self, input: &Input, at: &Place) -> Verdict {
        let (request, options, sheet) = asked(&input.with, &at.file)?;
        let checked = checked(&request, &options, &at.work);
        let told = Told::of_check(checked.as_ref().map(|survey| &survey.report), request.estimated_units());
        told.warnings.iter().chain(&told.dropped).try_for_each(warned)?;
        told.detail.iter().try_for_each(request::fault)?;
        serde_json::to_vec(&told).map_err(|error| Flaw::Broken(format!("the answer is no JSON: {error}")))?;
        match &checked {
            Ok(survey) if sheet => write_sheet(survey, at)?,
            Ok(_) | Err(RunError::Rejected { .. }) => {}
            Err(error) => return Err(Flaw::Untyped(format!("{error}: {}", told.error.unwrap_or_default()))),
        }
        let accepted = checked.is_ok();
        drop(checked);
        let left = names_in(&at.work)?;
        holds(left.iter().all(|name| name == SHEET), || format!("{left:?} is left in the folder"))?;
        holds(accepted == told.detail.is_empty(), || format!("{} with {:?}", told.outcome, told.detail))?;
        Ok(told.detail.first().map_or(Answer::Accepted, |fault| Answer::rejected(fault.ctx.kind)))
    }
}

const SHEET: &str = "sheet.png";

/// The one call of the product.
fn checked(request: &TrainRequest, options: &TrainOptions, work: &Path) -> Result<Survey, RunError> {
    let limits = Limits {
        archive: archive::LIMITS,
        video: video::LIMITS,
        image: image::LIMITS,
        fetcher: Fetcher { reach: Reach::Anywhere, ..Fetcher::default() },
        ..Limits::default()
    };
    check(request, options, &limits, work, &mut Watch::new(&mut |_| {}, Cancel::default()))
}

/// The request for the archive at `file`, the options, and whether a contact sheet is wanted.
fn asked(with: &Value, file: &Path) -> Result<(TrainRequest, TrainOptions, bool), Flaw> {
    let mut fields = json!({"training_data_url": file.to_string_lossy(), "number_of_frames": 9});
    for name in
        ["auto_scale_input", "frame_rate", "split_input_into_scenes", "split_input_duration_threshold"]
    {
        with.get(name).into_iter().for_each(|value| fields[name] = value.clone());
    }
    let mut options = json!({});
    with.get("latent_rule").into_iter().for_each(|rule| options["latent_rule"] = rule.clone());
    let impossible = |error: inpaint_trainer::RequestError| Flaw::Broken(error.to_string());
    let request = TrainRequest::from_json(&fields).map_err(impossible)?;
    let options = TrainOptions::from_json(&options).map_err(impossible)?;
    let bucket: Bucket = BUCKET.parse().map_err(|error| Flaw::Broken(format!("{BUCKET}: {error}")))?;
    Ok((request.with_bucket(bucket), options, with["sheet"] == true))
}

fn warned(warning: &Warning) -> Result<(), Flaw> {
    judge::warning(warning.kind, &warning.name, &warning.message)
}

fn write_sheet(survey: &Survey, at: &Place) -> Result<(), Flaw> {
    let path = at.work.join(SHEET);
    let written = survey.write_sheet(&path, &mut Watch::new(&mut |_| {}, Cancel::default()));
    written.map_err(|error| Flaw::Untyped(format!("no contact sheet: {error}")))?;
    let bytes = fs::read(&path)?;
    holds(bytes.starts_with(b"\x89PNG"), || "the contact sheet is no PNG".to_owned())
}
