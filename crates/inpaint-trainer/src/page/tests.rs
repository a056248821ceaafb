use std::fs;

use lora_train::adapters::UnsoundModule;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{ExampleReport, Warning};

/// What breaks a page that takes texts for markup.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover='alert(3) \
    ]]><!-- </style></title> \u{202e}gnp.exe javascript:alert(4) &lt;b&gt; \u{0}\u{7}";

/// A run in a folder of its own.
struct Run {
    out: TempDir,
    request: TrainRequest,
    options: TrainOptions,
    report: FitReport,
    health: Health,
    strips: Strips,
}

impl Run {
    fn new(text: &str, examples: usize) -> Self {
        let sample = json!({"prompt": format!("p{text}"), "video_url": "https://u:secret@h/v.mp4?k=secret", "mask_url": "/m.png"});
        let request = json!({
            "training_data_url": "https://u:secret@host/clips.zip?k=secret",
            "trigger_phrase": text,
            "validation": [sample],
            "validation_negative_prompt": text,
        });
        Self {
            out: tempfile::tempdir().unwrap(),
            request: TrainRequest::from_json(&request).unwrap(),
            options: TrainOptions::default(),
            report: report(text, examples),
            health: Health::Sound(vec![
                ("transformer_blocks.0.attn1.to_q".to_owned(), 1e-4),
                ("transformer_blocks.11.attn2.to_out.0".to_owned(), 3e-3),
                (text.to_owned(), 2e-4),
            ]),
            strips: Strips(vec![vec![0xff, 0xd8, 1, 2]; examples.min(24)]),
        }
    }

    fn tell(&self, lines: &[Value]) {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.out.path().join(METRICS), lines).unwrap();
    }

    fn page(&self, is_finished: bool) -> String {
        let page = Page {
            request: &self.request,
            options: &self.options,
            base_model: "the-base<&>",
            model_version: Some("2.3\"<"),
            models: ["c0ffee<".to_owned(), "7e47".to_owned()],
            strips: self.strips.clone(),
            out: self.out.path(),
            earlier: Timings::default(),
            timings: self.out.path().join("timings.json"),
        };
        let timings = Timings { processes: 2, stages: vec![("training".to_owned(), 61.0)] };
        let health = self.health.clone();
        page.write(&Stand { step: 100, is_finished, report: &self.report, health, timings }).unwrap();
        fs::read_to_string(self.out.path().join(REPORT)).unwrap()
    }
}

fn report(text: &str, examples: usize) -> FitReport {
    let example = |index: usize| ExampleReport {
        name: format!("n{index}{text}"),
        caption: format!("c{index}{text}"),
        captioned: true,
        frames: 25,
        source_frames: 120,
        source_frame_rate: 23.976,
        source_size: [640, 360],
        scene: None,
        frame_rate: 24.0,
        cropped: 0.4375,
        mask: "image",
        mask_size: [320, 180],
        mask_grey: 0.0,
        mask_coverage: 0.357,
        latent_coverage: 0.547,
        warnings: vec!["mask-cut"],
    };
    let warnings = (0..examples).map(|index| Warning::new(text, "mask-cut", format!("w{index}{text}")));
    FitReport {
        examples: (0..examples).map(example).collect(),
        warnings: warnings.collect(),
        passes: Some(500.0),
        ..FitReport::default()
    }
}

fn step(step: u64) -> Value {
    json!({"step": step, "loss": 2.0, "sigma": 0.5, "lr": 2e-4, "grad_norm": 0.4, "step_time": 0.2,
        "tokens_per_second": 900.0, "memory": 1, "peak_memory": 163_000_000u64})
}

fn evaluation(step: u64, loss: f64) -> Value {
    json!({"step": step, "fixed_loss": loss, "fixed_loss_by_sigma": [loss, null, loss, loss], "holdout_loss": loss,
        "holdout_loss_by_sigma": [null, null, loss, loss], "mean_loss": null, "mean_loss_by_sigma": null})
}

fn preview(step: u64, sample: usize, text: &str, still: &str) -> Value {
    json!({"step": step, "preview": {"sample": sample, "prompt": text, "video": text, "plain": text, "still": still,
        "kept_psnr": 21.3, "kept_ssim": 0.7, "white_psnr": 12.0, "white_ssim": 0.3, "seam": 1.9, "source_seam": 1.02,
        "seconds": 3.1}})
}

/// The tags of a page, in order; fails if one is not closed where it should be, or a text was taken for markup.
fn tags(page: &str) -> Vec<String> {
    const VOID: [&str; 5] = ["meta", "img", "input", "br", "!DOCTYPE"];
    // What is inside the style sheet is no markup.
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for piece in [head, rest].into_iter().flat_map(|part| part.split('<').skip(1)) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("a tag does not end: {piece}"));
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed), "near {piece}"),
            None if VOID.contains(&name) => {}
            None => open.push(name.to_owned()),
        }
        all.push(tag.to_owned());
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    all
}

fn is_harmless(page: &str) {
    for tag in tags(page) {
        let name = tag.split_whitespace().next().unwrap();
        assert!(!["script", "iframe", "object", "link", "base", "form"].contains(&name), "{tag}");
        // Attributes are `name="value"`; a quote in a value would have ended it.
        let mut attributes = tag.split('"').step_by(2).map(str::trim).filter(|part| part.ends_with('='));
        let known = [
            "alt=",
            "aria-label=",
            "charset=",
            "class=",
            "content=",
            "d=",
            "decoding=",
            "for=",
            "href=",
            "http-equiv=",
            "id=",
            "lang=",
            "loading=",
            "name=",
            "preserveAspectRatio=",
            "role=",
            "scope=",
            "src=",
            "style=",
            "title=",
            "type=",
            "viewBox=",
        ];
        let unknown = attributes.find(|part| !known.contains(&part.rsplit(' ').next().unwrap()));
        assert_eq!(unknown, None, "{tag}");
    }
    for (start, end) in [("src=\"", "data:image/jpeg;base64,"), ("href=\"", "#")] {
        assert!(page.split(start).skip(1).all(|rest| rest.starts_with(end)), "{start} leads out");
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
    assert!(!page.contains("secret"), "what a URL keeps secret is not shown");
}

#[test]
fn texts_of_users_and_files_never_become_markup() {
    let run = Run::new(HOSTILE, 3);
    run.tell(&[
        evaluation(0, 4.0),
        preview(0, 1, HOSTILE, HOSTILE),
        step(1),
        evaluation(100, 2.0),
        preview(100, 1, HOSTILE, "../x.jpg"),
    ]);
    for is_finished in [true, false] {
        let page = run.page(is_finished);
        is_harmless(&page);
        // It is all there, as text.
        for text in [
            "n2&lt;/script&gt;",
            "c0&lt;/script&gt;",
            "w1&lt;/script&gt;",
            "p&lt;/script&gt;",
            "the-base&lt;&amp;&gt;",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<script") && !page.contains("onerror=alert(2)>"));
    }
}

#[test]
fn a_page_has_every_section_and_says_where_the_run_stands() {
    let run = Run::new("SPARK", 2);
    let still = "previews/step-000100-sample-1.jpg";
    fs::create_dir(run.out.path().join("previews")).unwrap();
    fs::write(run.out.path().join(still), [0xff, 0xd8, 0xff]).unwrap();
    run.tell(&[
        evaluation(0, 4.0),
        preview(0, 1, "a fox", "gone.jpg"),
        step(1),
        evaluation(100, 2.0),
        preview(100, 1, "a fox", still),
    ]);
    let page = run.page(true);
    is_harmless(&page);
    for text in [
        "<h1><bdi>SPARK</bdi></h1>",
        "finished: 2000 steps",
        "500 passes over each example in all",
        "-50 % from 4",
        "$4.80",
        "kept region 21.3 dB before compositing · white region 12.0 dB against the source · seam 1.90 (source 1.02)",
        "the mask&#39;s edge shows: 1.9 times",
        "<dt>mask-cut</dt>",
        "163.0 MB",
        "1 min 01 s",
        "2 processes worked on this run",
        "the-base&lt;&amp;&gt;, version 2.3&quot;&lt;, digest c0ffee&lt;",
        "transformer_blocks.0.attn1.to_q".strip_prefix("transformer_blocks.0.").unwrap(),
        "pictures are not embedded",
        "https://host/clips.zip",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for section in ["previews", "loss", "data", "lora", "request", "costs"] {
        assert_eq!(page.matches(&format!("<section id=\"{section}\">")).count(), 1, "{section}");
        assert_eq!(page.matches(&format!("<a href=\"#{section}\">")).count(), 1, "{section}");
    }
    assert!(!run.out.path().join("timings.json").exists(), "a finished run keeps no state");
    let page = run.page(false);
    assert!(page.contains("in progress: step 100 of 2000") && page.contains("nothing so far; 2000 units"));
    assert_eq!(Timings::read(&run.out.path().join("timings.json")).processes, 2);
}

#[test]
fn a_run_that_has_told_nothing_has_a_page_too() {
    let mut run = Run::new("", 1);
    run.health = Health::Unknown;
    let page = run.page(false);
    is_harmless(&page);
    assert!(
        page.contains("<h1><bdi>the-base&lt;&amp;&gt;</bdi></h1>") && page.contains("No step is done yet")
    );
    run.health = Health::Unsound(vec![UnsoundModule { module: "a<b".to_owned(), what: "zero" }]);
    let page = run.page(false);
    assert!(page.contains("<code>a&lt;b</code> is zero"));
}

#[test]
fn the_largest_run_has_a_page_that_a_phone_opens() {
    let long = "long ".repeat(2000);
    let mut run = Run::new(&long, 5000);
    run.strips = Strips(vec![[vec![0xff, 0xd8], vec![7; 300_000]].concat(); 24]);
    run.health = Health::Sound(
        (0..384).map(|index| (format!("transformer_blocks.{}.attn1.to_q", index), 1e-4)).collect(),
    );
    let still = "previews/a.jpg";
    fs::create_dir(run.out.path().join("previews")).unwrap();
    fs::write(run.out.path().join(still), [vec![0xff, 0xd8], vec![9; 200_000]].concat()).unwrap();
    let mut lines: Vec<Value> = (1..=20_000).map(step).collect();
    lines.extend((0..=2000).map(|index| evaluation(index * 10, 2.0 + (index % 7) as f64)));
    lines.extend((0..200).flat_map(|index| [1, 2].map(|sample| preview(index * 100, sample, &long, still))));
    run.tell(&lines);
    let page = run.page(true);
    is_harmless(&page);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    for text in [
        "4600 more examples are not shown",
        "4600 more warnings are not shown",
        "pictures are not embedded",
        "12 of 200 previews are shown",
    ] {
        assert!(page.contains(text), "{text}");
    }
}
