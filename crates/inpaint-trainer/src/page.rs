//! `report.html`: a run on one page, for people. It holds all that it shows and needs nothing from anywhere else: no
//! script, no link that leads out.
//!
//! It is written when training begins, with every snapshot, and at the end. What does not change during a run is handed to [`Page`];
//! what the run has told so far is read back from its metrics, so that a page is whole after a resume, too.

mod asked;
mod budget;
mod chart;
mod costs;
mod data;
mod health;
mod history;
mod html;
mod losses;
mod numbers;
mod previews;
mod readings;
mod scale;
mod strips;
mod summary;

use std::{
    io,
    path::{Path, PathBuf},
};

use lora_train::{TrainState, TrainedLora, adapters, write_whole};

use crate::{FitReport, RunError, Stage, TrainOptions, TrainRequest, metrics::METRICS, timings::Timings};

use budget::Budget;
pub(crate) use health::Health;
use history::History;
use html::Html;
pub(crate) use strips::Strips;

/// The name of the page.
pub(crate) const REPORT: &str = "report.html";

/// What does not change during a run.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) request: &'a TrainRequest,
    pub(crate) options: &'a TrainOptions,
    /// What the adapters belong to, and the version that its file states.
    pub(crate) base_model: &'a str,
    pub(crate) model_version: Option<&'a str>,
    /// Digests of the checkpoint and the text encoder.
    pub(crate) models: [String; 2],
    pub(crate) strips: Strips,
    /// The folder of the results.
    pub(crate) out: &'a Path,
    /// How long earlier processes took, and where that is kept.
    pub(crate) earlier: Timings,
    pub(crate) timings: PathBuf,
}

/// Where the run stands.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// Whether the run came to its end.
    pub(crate) is_finished: bool,
    pub(crate) report: &'a FitReport,
    pub(crate) health: Health,
    pub(crate) timings: Timings,
}

impl<'a> Stand<'a> {
    /// In the middle of a run.
    pub(crate) fn now(state: &TrainState, report: &'a FitReport, timings: Timings) -> Self {
        // New adapters do nothing, and nothing is wrong with that.
        let health =
            if state.step() == 0 { Health::Unknown } else { adapters::delta_rms(state.lora()).into() };
        Self { step: state.step() as u64, is_finished: false, report, health, timings }
    }

    /// At its end.
    pub(crate) fn finished(lora: &TrainedLora, report: &'a FitReport, timings: Timings) -> Self {
        let health = Health::Sound(lora.delta_rms().to_vec());
        Self { step: lora.steps() as u64, is_finished: true, report, health, timings }
    }
}

impl Page<'_> {
    /// The same as a step of publishing.
    pub(crate) fn publish(&self, stand: &Stand<'_>) -> Result<(), RunError> {
        self.write(stand).map_err(RunError::io(Stage::Publish, self.out.join(REPORT)))
    }

    /// Writes the page, whole or not at all.
    pub(crate) fn write(&self, stand: &Stand<'_>) -> io::Result<()> {
        if !stand.is_finished {
            stand.timings.write(&self.timings)?;
        }
        let history = History::read(&self.out.join(METRICS))?;
        write_whole(&self.out.join(REPORT), self.document(stand, &history).as_bytes())
    }

    fn document(&self, stand: &Stand<'_>, history: &History) -> String {
        let (mut html, mut budget) = (Html::default(), Budget::default());
        html.raw(HEAD).raw("<title>").text(summary::title(self)).raw("</title><style>").raw(STYLE);
        html.raw("</style></head><body>");
        summary::header(&mut html, self, stand, history);
        html.raw("<main>");
        summary::section(&mut html, self, stand, history);
        previews::section(&mut html, self, history, &mut budget);
        losses::section(&mut html, self, history);
        data::section(&mut html, self, stand, &mut budget);
        health::section(&mut html, &stand.health);
        asked::section(&mut html, self);
        costs::section(&mut html, self, stand, history);
        html.raw("</main>");
        summary::footer(&mut html, &budget);
        html.raw("</body></html>\n");
        html.finish()
    }
}

/// The policy forbids whatever a page could load or run: were a text ever taken for markup, it would do nothing.
const HEAD: &str = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <meta name=\"color-scheme\" content=\"light dark\">\
    <meta http-equiv=\"Content-Security-Policy\" \
    content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\
    <meta name=\"referrer\" content=\"no-referrer\">";

const STYLE: &str = include_str!("page/style.css");

#[cfg(test)]
mod tests;
