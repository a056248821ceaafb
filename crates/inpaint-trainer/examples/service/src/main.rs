//! A small web service: requests come in as JSON, faults go out as 422 bodies in FastAPI's form, runs are watched and
//! stopped.
//!
//! ```sh
//! cargo run --release -p service -- CHECKPOINT GEMMA_DIR RUNS_FOLDER
//! curl -d '{"training_data_url": "https://example.org/clips.zip", "rank": 48}' localhost:8080/runs   # 422
//! curl -d '{"training_data_url": "https://example.org/clips.zip"}' localhost:8080/runs               # 202, an id
//! curl localhost:8080/runs/0                                                                         # how it stands
//! curl -X DELETE localhost:8080/runs/0                                                               # stops it
//! ```
//!
//! Runs go one after the other, for they share one machine. What a real service adds is who may ask, a queue that
//! outlives the process, and a place for the files.
#![allow(clippy::print_stdout, reason = "an example talks to whoever started it")]

use std::{
    error::Error,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use inpaint_trainer::{
    Answer, BasePrecision, Cancel, Device, Draft, Event, Limits, RequestError, Settings, TrainOptions,
    TrainRequest, Watch, run,
};
use serde_json::{Value, json};

/// What the operator decides; a request has no say in it.
struct Service {
    checkpoint: PathBuf,
    text_encoder: PathBuf,
    folder: PathBuf,
    runs: Mutex<Vec<Run>>,
    /// Held by the run at work.
    machine: Mutex<()>,
}

/// A run that was accepted.
struct Run {
    cancel: Cancel,
    /// What is shown of it: its stage, and at the end its answer.
    state: Value,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().ok_or("service CHECKPOINT GEMMA_DIR RUNS_FOLDER");
    let service = Arc::new(Service {
        checkpoint: next()?,
        text_encoder: next()?,
        folder: next()?,
        runs: Mutex::default(),
        machine: Mutex::default(),
    });
    let routes = Router::new()
        .route("/schema", get(async || json_body(StatusCode::OK, &TrainRequest::json_schema())))
        .route("/runs", post(accept))
        .route("/runs/{id}", get(show).delete(stop))
        .with_state(service);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
        println!("http://{}", listener.local_addr()?);
        axum::serve(listener, routes).await
    })?;
    Ok(())
}

/// Checks a request and starts it; every fault that it has is told at once.
async fn accept(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let request = match checked(&body) {
        Ok(request) => request,
        Err(faults) => {
            return json_body(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": faults.details() }));
        }
    };
    let estimate = request.0.estimated_units();
    let id = start(service, request);
    let price = estimate.price().to_string();
    json_body(StatusCode::ACCEPTED, &json!({ "id": id, "estimated_units": estimate.get(), "price": price }))
}

fn checked(body: &[u8]) -> Result<(TrainRequest, TrainOptions), RequestError> {
    // What is no JSON is told as what is no request.
    let json = serde_json::from_slice(body).unwrap_or(Value::Null);
    Draft::new(json)?.check()
}

/// Runs in a thread of its own: training is no work for a web server's.
fn start(service: Arc<Service>, (request, options): (TrainRequest, TrainOptions)) -> usize {
    let cancel = Cancel::default();
    let mut runs = unpoisoned(&service.runs);
    let id = runs.len();
    runs.push(Run { cancel: cancel.clone(), state: json!({ "outcome": "queued" }) });
    drop(runs);
    thread::spawn(move || {
        let set = |state| unpoisoned(&service.runs)[id].state = state;
        let _turn = unpoisoned(&service.machine);
        let settings = Settings {
            checkpoint: service.checkpoint.clone(),
            text_encoder: service.text_encoder.clone(),
            base_model: "ltx-2.3".to_owned(),
            device: Device::flex(),
            base_precision: BasePrecision::default_on(&Device::flex()),
            offload: 0,
            out: service.folder.join(id.to_string()),
            resume: false,
            // As they come, limits are a service's: only the public web, no files of this machine.
            limits: Limits::default(),
        };
        let mut observe = |event: Event| {
            if let Event::Progress { stage, done } = event {
                set(json!({ "outcome": "running", "stage": stage.name(), "done": done }));
            }
        };
        let result = run(&request, &options, &settings, &mut Watch::new(&mut observe, cancel));
        let answer = Answer::of_run(&result, request.estimated_units());
        set(serde_json::to_value(answer).unwrap_or_default());
    });
    id
}

/// How a run stands. Data that turned out to be at fault are a 422, too.
async fn show(State(service): State<Arc<Service>>, Path(id): Path<usize>) -> Response {
    let runs = unpoisoned(&service.runs);
    let Some(run) = runs.get(id) else { return StatusCode::NOT_FOUND.into_response() };
    let status = match run.state["outcome"].as_str() {
        Some("reject") => StatusCode::UNPROCESSABLE_ENTITY,
        Some("error") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    json_body(status, &run.state)
}

/// Stops a run after its current step.
async fn stop(State(service): State<Arc<Service>>, Path(id): Path<usize>) -> StatusCode {
    match unpoisoned(&service.runs).get(id) {
        Some(run) => {
            run.cancel.cancel();
            StatusCode::ACCEPTED
        }
        None => StatusCode::NOT_FOUND,
    }
}

fn json_body(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A run that panicked leaves nothing half done here.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
