//! Results as Markdown: both sides, their ratio, and the floor under both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::floor;
use super::results::{Results, Side};

/// All tables that the results have lines for.
pub(super) fn markdown(results: &Results) -> String {
    let head = format!("{}, {}", results.device(), results.date());
    let parts = [
        steps(results),
        phases(results),
        products(results),
        attentions(results),
        copies(results),
        checks(results),
        golden(results),
        offloads(results),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().chain(failures(results)).collect();
    format!("{head}\n\n{}", parts.join("\n\n"))
}

/// The highest rate of a matrix product of either side, in 10¹² operations a second.
fn best_product(results: &Results) -> Option<f64> {
    results.all("matmul").filter_map(|line| line["tflops"].as_f64()).max_by(f64::total_cmp)
}

/// What either side took for a step of one size.
#[derive(Debug, Default)]
struct Step<'a> {
    tokens: u64,
    ours: Option<&'a Value>,
    eager: Option<&'a Value>,
    compiled: Option<&'a Value>,
}

impl Step<'_> {
    /// PyTorch's faster way.
    fn pytorch(&self) -> Option<&Value> {
        let ways = [self.eager, self.compiled].into_iter().flatten();
        ways.min_by(|a, b| number(a, "seconds").total_cmp(&number(b, "seconds")))
    }
}

/// Seconds and the like; what is missing sorts last.
fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or(f64::INFINITY)
}

/// Steps by size: depth from the deepest, tokens from the fewest, and then name.
type Sizes<'a> = BTreeMap<(std::cmp::Reverse<u64>, u64, &'a str), Step<'a>>;

fn by_size(results: &Results) -> Sizes<'_> {
    let mut sizes = Sizes::new();
    for (side, mode) in [(Side::Ours, None), (Side::PyTorch, Some("eager")), (Side::PyTorch, Some("compile"))]
    {
        for line in results.of("step", side).filter(|line| line["seconds"].is_number()) {
            // With blocks on the host it is another step.
            if mode.is_some_and(|mode| line["mode"] != mode) || line["offload"].as_u64() > Some(0) {
                continue;
            }
            let tokens = line["tokens"].as_u64().unwrap_or(0);
            let layers = line["layers"].as_u64().unwrap_or(floor::LAYERS);
            let preset = line["preset"].as_str().unwrap_or("");
            let step = sizes.entry((std::cmp::Reverse(layers), tokens, preset)).or_default();
            step.tokens = tokens;
            let place = match mode {
                None => &mut step.ours,
                Some("eager") => &mut step.eager,
                Some(_) => &mut step.compiled,
            };
            // Of several runs, the fastest: each side is shown at its best.
            if place.is_none_or(|found| number(line, "seconds") < number(found, "seconds")) {
                *place = Some(line);
            }
        }
    }
    sizes
}

fn steps(results: &Results) -> Option<String> {
    let product = best_product(results);
    let mut rows = Vec::new();
    for ((layers, _, preset), step) in &by_size(results) {
        // The arithmetic is that of the published width.
        let real = product.filter(|_| !preset.starts_with("tiny"));
        let floor = real.map(|rate| floor::teraflop(step.tokens, layers.0) / rate);
        let ours = step.ours.and_then(|line| line["seconds"].as_f64());
        let pytorch = step.pytorch();
        let seconds = pytorch.and_then(|line| line["seconds"].as_f64());
        rows.push(vec![
            named(preset, layers.0),
            step.tokens.to_string(),
            decimals(floor, 2),
            decimals(ours, 2),
            decimals(step.eager.and_then(|line| line["seconds"].as_f64()), 2),
            decimals(step.compiled.and_then(|line| line["seconds"].as_f64()), 2),
            decimals(quotient(ours, seconds), 2),
            decimals(quotient(ours, floor), 1),
            decimals(gigabytes(step.ours), 1),
            decimals(gigabytes(pytorch), 1),
        ]);
    }
    let heads = [
        "step",
        "tokens",
        "floor s",
        "ours s",
        "PyTorch eager s",
        "PyTorch compiled s",
        "ours / PyTorch's faster",
        "ours / floor",
        "ours GB",
        "PyTorch GB",
    ];
    let table = grid(&heads, &rows)?;
    let floored = rows.iter().any(|row| row[2] != "-");
    let said = product.filter(|_| floored).map(|rate| {
        format!(
            "\n\nFloor: every block twice forward and once backward, at {rate:.0} TFLOP/s, the fastest product below."
        )
    });
    Some(table + &said.unwrap_or_default())
}

/// The name of a preset, with its depth where that is not the model's.
fn named(preset: &str, layers: u64) -> String {
    if layers == floor::LAYERS { preset.to_owned() } else { format!("{preset}, {layers} layers") }
}

/// Phases in the order in which they come; others follow.
const PHASES: [&str; 4] = ["forward", "backward", "gradients", "update"];

/// Seconds by phase, of our steps and of the faster of PyTorch's.
fn phases(results: &Results) -> Option<String> {
    let sizes = by_size(results);
    let mut lines = Vec::new();
    for ((layers, _, preset), step) in &sizes {
        for (side, line) in [("ours", step.ours), ("PyTorch", step.pytorch())] {
            if let Some(phases) = line.and_then(|line| line["phases"].as_object()) {
                lines.push((format!("{}, {side}", named(preset, layers.0)), phases));
            }
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for name in lines.iter().flat_map(|(_, phases)| phases.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort_by_key(|name| PHASES.iter().position(|phase| phase == name).unwrap_or(PHASES.len()));
    let row = |(name, phases): &(String, &serde_json::Map<String, Value>)| {
        let times = names.iter().map(|phase| decimals(phases.get(*phase).and_then(Value::as_f64), 3));
        std::iter::once(name.clone()).chain(times).collect()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let heads: Vec<String> = names.iter().map(|name| format!("{name} s")).collect();
    let heads: Vec<&str> = std::iter::once("step").chain(heads.iter().map(String::as_str)).collect();
    grid(&heads, &rows)
}

/// Rates of one kind of measurement, by what it was of, side by side.
fn rates(results: &Results, what: &str, of: impl Fn(&Value) -> String, rate: &str) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<String, [Option<f64>; 2]> = BTreeMap::new();
    let mut order = Vec::new();
    for (place, side) in [(0, Side::Ours), (1, Side::PyTorch)] {
        for line in results.of(what, side) {
            let Some(found) = line[rate].as_f64() else { continue };
            let name = of(line);
            if !order.contains(&name) {
                order.push(name.clone());
            }
            let best = &mut rows.entry(name).or_default()[place];
            if best.is_none_or(|best| found > best) {
                *best = Some(found);
            }
        }
    }
    let row = |name: String| {
        let [ours, pytorch] = rows[&name];
        vec![name, decimals(ours, 0), decimals(pytorch, 0), decimals(quotient(ours, pytorch), 2)]
    };
    order.into_iter().map(row).collect()
}

fn products(results: &Results) -> Option<String> {
    let shape = |line: &Value| format!("{} x {} x {}", line["m"], line["k"], line["n"]);
    let rows = rates(results, "matmul", shape, "tflops");
    grid(&["product, bf16", "ours TFLOP/s", "PyTorch TFLOP/s", "ratio"], &rows)
}

fn attentions(results: &Results) -> Option<String> {
    // PyTorch's kernels are alternatives: its best one counts.
    let direction = |line: &Value| {
        format!("{} tokens, {}", line["tokens"], line["direction"].as_str().unwrap_or("forward"))
    };
    let rows = rates(results, "attention", direction, "tflops");
    grid(&["attention", "ours TFLOP/s", "PyTorch TFLOP/s", "ratio"], &rows)
}

fn copies(results: &Results) -> Option<String> {
    let rows = rates(results, "copy", |_| "copy, read + written".to_owned(), "gbps");
    grid(&["memory", "ours GB/s", "PyTorch GB/s", "ratio"], &rows)
}

fn checks(results: &Results) -> Option<String> {
    let row = |line: &Value| {
        let error = |key: &str| line[key].as_f64().map_or("-".to_owned(), |error| format!("{error:.1e}"));
        let what = format!(
            "{}, {}, {} blocks kept",
            text(line, "model"),
            text(line, "precision"),
            line["kept_blocks"]
        );
        vec![what, error("loss_off"), error("worst_gradient_off")]
    };
    let rows: Vec<Vec<String>> = results.all("check").map(row).collect();
    grid(&["against the CPU in float32", "loss off", "worst gradient off"], &rows)
}

/// The reference's numbers on the device, by precision and kind.
fn golden(results: &Results) -> Option<String> {
    let row = |line: &Value| {
        let error = |key: &str| line[key].as_f64().map_or("-".to_owned(), |error| format!("{error:.1e}"));
        let what = format!("{}, {}, {}", text(line, "folder"), text(line, "kind"), text(line, "precision"));
        let passed = if line["pass"] == true { "yes" } else { "no" };
        vec![what, text(line, "tensor").to_owned(), error("error"), error("allowed"), passed.to_owned()]
    };
    let rows: Vec<Vec<String>> = results.all("golden").map(row).collect();
    grid(&["golden", "worst tensor", "off", "allowed", "within"], &rows)
}

/// Steps with blocks on the host, and whether such a step changes a bit.
fn offloads(results: &Results) -> Option<String> {
    let steps = results.all("step").filter(|line| line["offload"].as_u64() > Some(0)).map(|line| {
        let layers = line["layers"].as_u64().unwrap_or(floor::LAYERS);
        let name = format!("{}, {}", named(text(line, "preset"), layers), text(line, "precision"));
        let seconds = decimals(line["seconds"].as_f64(), 2);
        vec![name, line["offload"].to_string(), seconds, decimals(gigabytes(Some(line)), 1), "-".to_owned()]
    });
    let checks = results.all("offload").map(|line| {
        let name = format!("{}, {}", text(line, "model"), text(line, "precision"));
        let bits = if line["same_bits"] == true { "yes" } else { "no" };
        vec![name, line["offload"].to_string(), "-".to_owned(), "-".to_owned(), bits.to_owned()]
    });
    let rows: Vec<Vec<String>> = steps.chain(checks).collect();
    grid(&["blocks on the host", "blocks", "step s", "GB", "same bits as without"], &rows)
}

/// What did not work, in words.
fn failures(results: &Results) -> Option<String> {
    let program = results.all("failure").map(|line| {
        format!(
            "- stage `{}`: `{}` ended with {}",
            text(line, "stage"),
            text(line, "program"),
            line["status"]
        )
    });
    let kinds = ["step", "attention", "matmul"].into_iter().flat_map(|what| results.all(what));
    let error = kinds.filter(|line| line["error"].is_string()).map(|line| {
        let words =
            ["side", "what", "preset", "mode", "backend", "attention", "tokens"].map(|key| &line[key]);
        let words =
            words.into_iter().filter(|word| !word.is_null()).map(|word| word.to_string().replace('"', ""));
        format!("- {}: {}", words.collect::<Vec<_>>().join(" "), text(line, "error"))
    });
    let lines: Vec<String> = program.chain(error).collect();
    (!lines.is_empty()).then(|| format!("Not measured:\n\n{}", lines.join("\n")))
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or("?")
}

/// What the driver counts as used, reserves and all, where a side tells it apart from its peak.
fn gigabytes(line: Option<&Value>) -> Option<f64> {
    let line = line?;
    line["used_bytes"].as_f64().or(line["peak_bytes"].as_f64()).map(|bytes| bytes / 1e9)
}

fn quotient(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    Some(over? / under?)
}

fn decimals(number: Option<f64>, places: usize) -> String {
    number.map_or("-".to_owned(), |number| format!("{number:.places$}"))
}

/// A table, its first column to the left and the others to the right; none without rows.
fn grid(heads: &[&str], rows: &[Vec<String>]) -> Option<String> {
    let line = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(heads.to_vec())];
    let rule: Vec<&str> = std::iter::once("---").chain(heads.iter().skip(1).map(|_| "--:")).collect();
    lines.push(line(rule));
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    (!rows.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"
        {"what":"run","date":"2026-11-26"}
        {"what":"device","device":"NVIDIA H100 80GB HBM3"}
        {"what":"matmul","m":6912,"k":4096,"n":4096,"seconds":0.000386,"tflops":600.0}
        {"side":"pytorch","what":"matmul","m":6912,"k":4096,"n":4096,"seconds":0.00034,"tflops":671.0}
        {"side":"pytorch","what":"copy","gbps":3000.4}
        {"what":"attention","tokens":6912,"direction":"backward","tflops":100.0}
        {"side":"pytorch","what":"attention","backend":"flash","tokens":6912,"direction":"backward","tflops":300.0}
        {"side":"pytorch","what":"attention","backend":"cudnn","tokens":6912,"direction":"backward","tflops":400.0}
        {"side":"pytorch","what":"attention","backend":"cudnn","tokens":3072,"error":"no kernel"}
        {"what":"check","model":"wide","precision":"bf16","kept_blocks":2,"loss":1.5,"loss_off":0.0031,"worst_gradient_off":0.01}
        {"side":"ours","what":"step","preset":"medium-1x1","tokens":6912,"layers":48,"seconds":2.5,"peak_bytes":36000000000,"phases":{"forward":0.5,"backward":1.9,"update":0.1}}
        {"side":"ours","what":"step","preset":"medium-1x1","tokens":6912,"layers":48,"seconds":2.0,"peak_bytes":35000000000}
        {"side":"ours","what":"step","preset":"low-1x1","tokens":3072,"layers":48,"seconds":0.9,"peak_bytes":31000000000}
        {"side":"pytorch","what":"step","preset":"medium-1x1","tokens":6912,"layers":48,"mode":"eager","seconds":5.0,"peak_bytes":40000000000}
        {"side":"pytorch","what":"step","preset":"medium-1x1","tokens":6912,"layers":48,"mode":"compile","seconds":4.0,"peak_bytes":38000000000,"used_bytes":39000000000}
        {"side":"pytorch","what":"step","preset":"high-1x1","tokens":10800,"layers":48,"mode":"eager","error":"out of memory"}
        {"side":"pytorch","what":"step","preset":"medium-1x1","tokens":6912,"layers":8,"mode":"eager","seconds":0.8}
        {"what":"golden","side":"ours","precision":"f32","folder":"transformer","kind":"forward","cases":2,"pass":true,"tensor":"velocity","error":2.9e-6,"allowed":1e-4}
        {"what":"offload","side":"ours","model":"wide","precision":"bf16","offload":2,"same_bits":true}
        {"side":"ours","what":"step","preset":"medium-1x1","tokens":6912,"layers":48,"precision":"bf16","offload":24,"seconds":1.9,"peak_bytes":22000000000}
        {"what":"failure","stage":"step:high-1x1","program":"gpu","status":124}
    "#;

    fn tables() -> String {
        let mut results = Results::default();
        results.add(LINES).unwrap();
        markdown(&results)
    }

    #[test]
    fn a_step_stands_with_its_floor_its_ratio_and_its_memory() {
        let tables = tables();
        assert!(tables.starts_with("NVIDIA H100 80GB HBM3, 2026-11-26\n\n| step | tokens |"), "{tables}");
        // The fastest of two runs, against the faster way, and 672 TFLOP at 671 TFLOP/s.
        let row = "| medium-1x1 | 6912 | 1.00 | 2.00 | 5.00 | 4.00 | 0.50 | 2.0 | 35.0 | 39.0 |";
        assert!(tables.contains(row), "{tables}");
        let alone = "| low-1x1 | 3072 | 0.39 | 0.90 | - | - | - | 2.3 | 31.0 | - |";
        assert!(tables.find(alone).unwrap() < tables.find(row).unwrap(), "{tables}");
        assert!(
            tables.contains("| medium-1x1, 8 layers | 6912 | 0.17 | - | 0.80 | - | - | - | - | - |"),
            "{tables}"
        );
    }

    #[test]
    fn phases_stand_in_the_order_of_a_step() {
        let mut results = Results::default();
        let line = r#"{"what":"step","preset":"tiny-1x1","tokens":32,"seconds":1,"phases":{"update":0.5,"backward":2,"forward":1}}"#;
        results.add(line).unwrap();
        let tables = markdown(&results);
        assert!(tables.contains("| step | forward s | backward s | update s |"), "{tables}");
        assert!(tables.contains("| tiny-1x1, ours | 1.000 | 2.000 | 0.500 |"), "{tables}");
    }

    #[test]
    fn both_sides_rates_stand_beside_each_other() {
        let tables = tables();
        for row in [
            "| 6912 x 4096 x 4096 | 600 | 671 | 0.89 |",
            "| 6912 tokens, backward | 100 | 400 | 0.25 |",
            "| copy, read + written | - | 3000 | - |",
            "| wide, bf16, 2 blocks kept | 3.1e-3 | 1.0e-2 |",
        ] {
            assert!(tables.contains(row), "{row}\n{tables}");
        }
    }

    #[test]
    fn golden_numbers_and_steps_with_blocks_on_the_host_have_tables_of_their_own() {
        let tables = tables();
        for row in [
            "| transformer, forward, f32 | velocity | 2.9e-6 | 1.0e-4 | yes |",
            "| medium-1x1, bf16 | 24 | 1.90 | 22.0 | - |",
            "| wide, bf16 | 2 | - | - | yes |",
        ] {
            assert!(tables.contains(row), "{row}\n{tables}");
        }
        // Which is not the fastest step of its size.
        assert!(tables.contains("| medium-1x1 | 6912 | 1.00 | 2.00 |"), "{tables}");
    }

    #[test]
    fn what_failed_is_told() {
        let tables = tables();
        assert!(tables.contains("- stage `step:high-1x1`: `gpu` ended with 124"), "{tables}");
        assert!(tables.contains("- pytorch step high-1x1 eager 10800: out of memory"), "{tables}");
        assert!(tables.contains("- pytorch attention cudnn 3072: no kernel"), "{tables}");
    }

    #[test]
    fn results_of_one_stage_make_no_other_tables() {
        let mut results = Results::default();
        results.add(r#"{"side":"pytorch","what":"copy","gbps":3000}"#).unwrap();
        let tables = markdown(&results);
        assert_eq!(tables.matches("| --- |").count(), 1, "{tables}");
        assert!(!tables.contains("Not measured"));
    }
}
