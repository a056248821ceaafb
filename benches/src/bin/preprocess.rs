//! Decoding and fitting a clip, against the `ffmpeg` command doing the same decoding, bicubic scaling and cropping to raw
//! RGB: frames per second of one core, by turns, in one run.
//!
//! `cargo run --release -p benches --bin preprocess [CLIP]`; CLIP is of 1280x720, H.264, and has at least 291 frames.
//! Without one, a sample clip is enlarged and repeated. Linux only; it needs the commands `taskset` and `ffmpeg`.
//!
//! Either side is a process of its own that is bound to one core and decodes with one thread: `ffmpeg` by `-threads 1`,
//! ours because it takes as many threads as it has cores. Start-up counts for both; over 291 frames it is small. Ours
//! keeps the fitted frames in memory, `ffmpeg` writes them to the null device. It may crop before it scales, which
//! spares it the part that is cut off, or after, which is how one would say it; both are shown. CPU is user and system
//! time, in steps of 10 ms; on a busy machine it is the better number.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    thread,
    time::Instant,
};

use tensor_batch::{Bucket, FitPlan, FrameCount, FrameList, FrameRate, Size};
use video_fit::{Frames, Limits, fit, probe};

const ROUNDS: usize = 7;
const SOURCE: Size = Size { width: 1280, height: 720 };
const SIDE: u32 = 768;

/// Frames of a clip that is fitted, and how many clips are taken from the file, one after the other.
const WORK: [(u32, u32); 2] = [(89, 1), (97, 3)];

const CROP_FIRST: &str = "crop=720:720,scale=768:768:flags=bicubic";
const SCALE_FIRST: &str = "scale=1365:768:flags=bicubic,crop=768:768";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--fit", clip, frames, times] => fit_clips(Path::new(clip), frames.parse()?, times.parse()?),
        ["--probe", clip] => Ok(probe(Path::new(clip), &Limits::default()).map(drop)?),
        [clip] => compare(Path::new(clip)),
        [] => {
            let folder = Folder::new()?;
            compare(&sample(&folder.0)?)
        }
        _ => Err("expected nothing or one clip".into()),
    }
}

/// Our side: fits `times` clips of `frames` from one file, one after the other.
fn fit_clips(path: &Path, frames: u32, times: u32) -> Result<()> {
    let bucket = Bucket::new(SIDE, SIDE, FrameCount::new(frames)?)?;
    let list = FrameList::first(bucket.frames(), frames).ok_or("too few frames")?;
    let plan = FitPlan::new(SOURCE, bucket, list, FrameRate::DEFAULT);
    let mut source = Frames::open(path, &Limits::default())?;
    for _ in 0..times {
        fit(source.by_ref(), &plan)?;
    }
    Ok(())
}

fn compare(clip: &Path) -> Result<()> {
    println!("load: {}", fs::read_to_string("/proc/loadavg")?.trim());
    println!("{:>6}  {:<20} {:>9} {:>9}", "frames", "median of fps", "wall", "CPU");
    for (frames, times) in WORK {
        let count = frames * times;
        let mut sides = [
            ("ours", ours(&["--fit", text(clip)?, &frames.to_string(), &times.to_string()])?),
            ("ffmpeg, crop first", ffmpeg(clip, CROP_FIRST, count)?),
            ("ffmpeg, scale first", ffmpeg(clip, SCALE_FIRST, count)?),
            ("our probe, all frames", ours(&["--probe", text(clip)?])?),
        ]
        .map(|(name, command)| (name, command, Vec::new()));
        for _ in 0..ROUNDS {
            for (_, command, spent) in &mut sides {
                spent.push(measure(command)?);
            }
        }
        report(count, &sides);
    }
    println!("load: {}", fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

/// What a process took, in seconds.
#[derive(Clone, Copy)]
struct Spent {
    wall: f64,
    cpu: f64,
}

fn report(count: u32, sides: &[(&str, Command, Vec<Spent>)]) {
    let frames = f64::from(count);
    let [(_, _, ours), theirs @ .., (probe, _, probed)] = sides else { return };
    for (name, _, spent) in sides.iter().take(sides.len() - 1) {
        let fps = |of: fn(&Spent) -> f64| median(spent.iter().map(|spent| frames / of(spent)));
        println!("{count:>6}  {name:<20} {:>9.1} {:>9.1}", fps(|s| s.wall), fps(|s| s.cpu));
    }
    let seconds = |of: fn(&Spent) -> f64| median(probed.iter().map(of));
    println!("        {probe}: {:.2} s wall, {:.2} s CPU", seconds(|s| s.wall), seconds(|s| s.cpu));
    for (name, _, spent) in theirs {
        let ratio = |of: fn(&Spent) -> f64| median(spent.iter().zip(ours).map(|(a, b)| of(a) / of(b)));
        println!("        ours / {name}: {:.2} wall, {:.2} CPU", ratio(|s| s.wall), ratio(|s| s.cpu));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// This program on one core.
fn ours(args: &[&str]) -> Result<Command> {
    let mut command = on_one_core(text(&env::current_exe()?)?);
    command.args(args);
    Ok(command)
}

fn ffmpeg(clip: &Path, filter: &str, count: u32) -> Result<Command> {
    let mut command = on_one_core("ffmpeg");
    command.args([
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-threads",
        "1",
        "-filter_threads",
        "1",
        "-i",
        text(clip)?,
    ]);
    command.args(["-an", "-frames:v", &count.to_string(), "-vf", filter]);
    command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "/dev/null"]);
    Ok(command)
}

fn on_one_core(program: &str) -> Command {
    let last = thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
    let mut command = Command::new("taskset");
    command.args(["-c", &last.to_string(), program]).stdout(Stdio::null());
    command
}

fn measure(command: &mut Command) -> Result<Spent> {
    let (start, cpu) = (Instant::now(), cpu_of_children()?);
    run(command)?;
    Ok(Spent { wall: start.elapsed().as_secs_f64(), cpu: cpu_of_children()? - cpu })
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_owned();
    let status = command.status().map_err(|error| format!("cannot run {}: {error}", name.display()))?;
    // `taskset` answers 127 where there is no such program.
    match status.code() {
        Some(0) => Ok(()),
        Some(127) => Err("no ffmpeg here: `apt-get install ffmpeg`, or see ffmpeg.org/download.html".into()),
        _ => Err(format!("{command:?}: {status}").into()),
    }
}

/// User and system time of all processes that were started here and have ended, in seconds.
fn cpu_of_children() -> Result<f64> {
    // Linux counts them in hundredths of a second, in the 16th and 17th field; the second, the name in brackets, may
    // hold blanks.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields in /proc/self/stat")?;
    let ticks = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(str::parse::<f64>)
        .sum::<std::result::Result<f64, _>>();
    Ok(ticks? / 100.0)
}

/// A sample clip, enlarged and repeated to 300 frames.
fn sample(folder: &Path) -> Result<PathBuf> {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clips/inpaint-mini/bunny-wave.mp4");
    let large = folder.join("clip.mp4");
    let mut command = on_one_core("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-stream_loop", "2", "-i", text(&small)?, "-frames:v", "300"]);
    command.args(["-vf", "scale=1280:720:flags=bicubic", "-c:v", "libx264", "-crf", "18", text(&large)?]);
    run(&mut command)?;
    println!("clip: bunny-wave.mp4 in 1280x720, {} bytes", fs::metadata(&large)?.len());
    Ok(large)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "the path is not UTF-8".into())
}

/// A folder of this run, which is gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("preprocess-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
