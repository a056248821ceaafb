//! `fuzz [OPTIONS]`: mutation runs over archives, images, videos and requests. `fuzz --help` lists the options.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program is the table it prints")]

use std::env;
use std::ffi::OsString;
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tests::fuzz::{FuzzError, Orders, Plan, Row, run, table, targets, work};

const HELP: &str = "\
fuzz [OPTIONS]

  --minutes N     how long in all, 5 unless given; each target gets its share
  --cases N       so many cases of each target, however long that takes
  --target NAME   only this target; may be given again
  --seed N        the seed of all cases, 0 unless given
  --case N        only this case of the target, and keep its input
  --keep DIR      where inputs of findings are kept, target/fuzz unless given
  --hang N        how many seconds one case may take, 30 unless given
  --memory N      how many MB over the baseline a case may take, 256 unless given
  --json          the table as JSON";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--worker") {
        return worked(&args[1..]);
    }
    if args == ["--help"] {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(asked) = Asked::read(&args) else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    match asked.run() {
        Ok(rows) if rows.iter().any(Row::has_findings) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for on the command line.
struct Asked {
    targets: Vec<String>,
    minutes: f64,
    cases: Option<u64>,
    plan: Plan,
    json: bool,
}

impl Asked {
    fn read(args: &[OsString]) -> Option<Self> {
        let hour = Duration::from_secs(3600);
        let plan = Plan {
            seed: 0,
            from: 0,
            to: u64::MAX,
            time: hour,
            hang: Duration::from_secs(30),
            memory_mb: 256,
            keep: PathBuf::from("target").join("fuzz"),
            keep_all: false,
        };
        let mut asked = Self { targets: Vec::new(), minutes: 5.0, cases: None, plan, json: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.to_str()? {
                "--json" => asked.json = true,
                name => asked.set(name, args.next()?)?,
            }
        }
        if asked.targets.is_empty() {
            asked.targets = targets().map(|(name, _)| name.to_owned()).collect();
        }
        Some(asked)
    }

    fn set(&mut self, name: &str, value: &OsString) -> Option<()> {
        let number = || value.to_str()?.parse::<u64>().ok();
        match name {
            "--minutes" => self.minutes = value.to_str()?.parse().ok().filter(|n| (0.0..1e6).contains(n))?,
            "--cases" => self.cases = Some(number()?),
            "--target" => self.targets.push(value.to_str()?.to_owned()),
            "--seed" => self.plan.seed = number()?,
            "--case" => {
                (self.plan.from, self.cases) = (number()?, Some(1));
                self.plan.keep_all = true;
            }
            "--keep" => self.plan.keep = PathBuf::from(value),
            "--hang" => self.plan.hang = Duration::from_secs(number()?),
            "--memory" => self.plan.memory_mb = number()?,
            _ => return None,
        }
        Some(())
    }

    fn run(&self) -> Result<Vec<Row>, FuzzError> {
        let rows = self
            .targets
            .iter()
            .map(|target| run(target, &self.plan_of(target), &mut |finding| eprintln!("{finding}")));
        let rows = rows.collect::<Result<Vec<Row>, _>>()?;
        if self.json {
            println!("{:#}", rows.iter().map(Row::json).collect::<serde_json::Value>());
        } else {
            print!("seed {}\n\n{}", self.plan.seed, table(&rows));
        }
        Ok(rows)
    }

    /// The plan of one target: its share of the time, or its cases.
    fn plan_of(&self, target: &str) -> Plan {
        if let Some(cases) = self.cases {
            return Plan { to: self.plan.from.saturating_add(cases), ..self.plan.clone() };
        }
        let share = |name: &str| targets().find(|(known, _)| *known == name).map_or(1, |(_, share)| share);
        let all: u64 = self.targets.iter().map(|name| share(name)).sum();
        let seconds = self.minutes * 60.0 * share(target) as f64 / all as f64;
        Plan { time: Duration::from_secs_f64(seconds), ..self.plan.clone() }
    }
}

/// Works as [`run`] orders: the target, four numbers and a folder.
fn worked(args: &[OsString]) -> ExitCode {
    let orders = || {
        let [target, seed, from, to, millis, folder] = args else { return None };
        let number = |arg: &OsString| arg.to_str()?.parse().ok();
        Some(Orders {
            target: target.to_str()?.to_owned(),
            seed: number(seed)?,
            from: number(from)?,
            to: number(to)?,
            millis: number(millis)?,
            folder: PathBuf::from(folder),
        })
    };
    match orders().map(|orders| work(&orders, &mut stdout())) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        None => ExitCode::from(2),
    }
}
