//! The process that runs cases. What it does is told on stdout line by line, so that whoever started it knows which
//! case ran when it died.

use std::{
    any::Any,
    fmt, fs, io,
    io::Write,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    ESCAPE, FuzzError,
    judge::{Answer, Flaw, Verdict, holds, names_in},
    memory,
    random::Random,
    target::{Input, Place, Target, load},
};

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The name of the target.
    pub target: String,
    /// The seed of all cases.
    pub seed: u64,
    /// The first case.
    pub from: u64,
    /// One more than the last case.
    pub to: u64,
    /// No case begins later than so many milliseconds after the first.
    pub millis: u64,
    /// Where it may write.
    pub folder: PathBuf,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Accepted,
    Rejected,
    Panic,
    Untyped,
    Broken,
}

const ENDINGS: [(&str, Ending); 5] = [
    ("accepted", Ending::Accepted),
    ("rejected", Ending::Rejected),
    ("panic", Ending::Panic),
    ("untyped", Ending::Untyped),
    ("broken", Ending::Broken),
];

/// A line that a worker tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The good inputs ran; the most memory until now, in KiB.
    Ready(u64),
    /// A good input was not accepted.
    BadSeed(String),
    /// A case begins.
    Begin(u64),
    /// It ended so; the most memory until now, in KiB; what there is to say.
    End(Ending, u64, String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(memory) => write!(f, "ready {memory}"),
            Self::BadSeed(text) => write!(f, "bad-seed {}", text.escape_debug()),
            Self::Begin(case) => write!(f, "begin {case}"),
            Self::End(ending, memory, text) => {
                let name = ENDINGS.iter().find(|(_, known)| known == ending).map_or("", |(name, _)| name);
                write!(f, "{name} {memory} {}", text.escape_debug())
            }
        }
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (name, rest) = line.split_once(' ').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        match name {
            "ready" => Ok(Self::Ready(number(rest)?)),
            "bad-seed" => Ok(Self::BadSeed(rest.to_owned())),
            "begin" => Ok(Self::Begin(number(rest)?)),
            name => {
                let (_, ending) = ENDINGS.into_iter().find(|(known, _)| *known == name).ok_or(())?;
                let (memory, text) = rest.split_once(' ').ok_or(())?;
                Ok(Self::End(ending, number(memory)?, text.to_owned()))
            }
        }
    }
}

/// Runs good inputs and then cases, telling each on `out`.
///
/// # Errors
/// If there is no such target, or telling fails.
pub fn work(orders: &Orders, out: &mut dyn Write) -> Result<(), FuzzError> {
    let target = load(&orders.target)?.ok_or_else(|| FuzzError::UnknownTarget(orders.target.clone()))?;
    panic::set_hook(Box::new(|info| note(&info.to_string())));
    let room = Room { folder: &orders.folder };
    for (number, input) in target.good().iter().enumerate() {
        let (ending, text) = room.run(target.as_ref(), input)?;
        if ending != Ending::Accepted {
            return tell(out, &Line::BadSeed(format!("good input {number} was not accepted: {text}")));
        }
    }
    tell(out, &Line::Ready(memory::peak()))?;
    let end = Instant::now() + Duration::from_millis(orders.millis);
    for case in orders.from..orders.to {
        if Instant::now() >= end {
            break;
        }
        tell(out, &Line::Begin(case))?;
        let input = target.spoilt(&mut Random::new(orders.seed, &orders.target, case));
        let (ending, text) = room.run(target.as_ref(), &input)?;
        tell(out, &Line::End(ending, memory::peak(), text))?;
    }
    Ok(())
}

fn tell(out: &mut dyn Write, line: &Line) -> Result<(), FuzzError> {
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The first panic since it was last asked for, in whatever thread.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn note(panic: &str) {
    if let Ok(mut noted) = PANIC.lock() {
        noted.get_or_insert_with(|| panic.to_owned());
    }
}

fn noted() -> Option<String> {
    PANIC.lock().ok().and_then(|mut noted| noted.take())
}

/// A folder with the input of one case, and in it the folder that the case may write to.
struct Room<'a> {
    folder: &'a Path,
}

const WORK: &str = "work";

impl Room<'_> {
    fn run(&self, target: &dyn Target, input: &Input) -> io::Result<(Ending, String)> {
        let file = format!("input.{}", input.extension);
        let at = Place { file: self.folder.join(&file), work: self.folder.join(WORK) };
        fs::create_dir_all(&at.work)?;
        fs::write(&at.file, &input.bytes)?;
        let caught = panic::catch_unwind(AssertUnwindSafe(|| target.run(input, &at)));
        let stray = self.stray(&file);
        self.clear(&at, stray.is_err())?;
        Ok(ending(caught, noted(), stray))
    }

    /// Whether nothing but the input and the work folder is there.
    fn stray(&self, file: &str) -> Result<(), Flaw> {
        let names = names_in(self.folder)?;
        let stray = names.iter().find(|name| *name != file && *name != WORK);
        holds(stray.is_none(), || format!("{stray:?} was written outside the work folder"))?;
        let escaped = Path::new(ESCAPE);
        holds(!escaped.exists(), || format!("{ESCAPE} was written"))
    }

    /// Removes what a case left; everything, if something is where it should not be.
    fn clear(&self, at: &Place, everything: bool) -> io::Result<()> {
        if everything {
            fs::remove_dir_all(self.folder)?;
            return fs::create_dir_all(self.folder);
        }
        // A folder that is empty can stay: most cases leave nothing.
        if fs::remove_dir(&at.work).is_err() {
            fs::remove_dir_all(&at.work)?;
        }
        fs::remove_file(&at.file)
    }
}

fn ending(
    caught: Result<Verdict, Box<dyn Any + Send>>,
    noted: Option<String>,
    stray: Result<(), Flaw>,
) -> (Ending, String) {
    let Ok(verdict) = caught else {
        return (Ending::Panic, noted.unwrap_or_else(|| "a panic without a message".to_owned()));
    };
    match (stray.and(verdict), noted) {
        // Somebody between the decoder that panicked and us has made a rejection of it.
        (Ok(Answer::Rejected(kind)), Some(_)) => {
            (Ending::Rejected, format!("{kind} after a contained panic"))
        }
        (_, Some(panic)) => (Ending::Panic, panic),
        (Ok(Answer::Accepted), None) => (Ending::Accepted, String::new()),
        (Ok(Answer::Rejected(kind)), None) => (Ending::Rejected, kind),
        (Err(Flaw::Untyped(text)), None) => (Ending::Untyped, text),
        (Err(Flaw::Broken(text)), None) => (Ending::Broken, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_told() {
        for line in [
            Line::Ready(7),
            Line::BadSeed("why".into()),
            Line::Begin(u64::MAX),
            Line::End(Ending::Rejected, 1, String::new()),
            Line::End(Ending::Panic, 0, "at a.rs:1: `x` is 3".into()),
        ] {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
        assert_eq!("".parse::<Line>(), Err(()));
        assert_eq!("begin x".parse::<Line>(), Err(()));
    }

    #[test]
    fn what_is_said_stays_on_its_line() {
        let line = Line::End(Ending::Untyped, 1, "two\nlines".into()).to_string();
        assert_eq!(line, "untyped 1 two\\nlines");
    }

    #[test]
    fn a_panic_counts_unless_it_became_a_rejection() {
        let accepted = || Ok(Ok(Answer::Accepted));
        let panic = || Some("in a thread".to_owned());
        assert_eq!(ending(accepted(), None, Ok(())).0, Ending::Accepted);
        assert_eq!(ending(accepted(), panic(), Ok(())).0, Ending::Panic);
        assert_eq!(ending(Err(Box::new(())), None, Ok(())).0, Ending::Panic);
        assert_eq!(ending(Err(Box::new(())), panic(), Ok(())), (Ending::Panic, "in a thread".to_owned()));
        assert_eq!(ending(Ok(Err(Flaw::Untyped(String::new()))), panic(), Ok(())).0, Ending::Panic);
        let rejected = Ok(Ok(Answer::rejected("unreadable-mask")));
        let contained = "unreadable-mask after a contained panic".to_owned();
        assert_eq!(ending(rejected, panic(), Ok(())), (Ending::Rejected, contained));
    }

    #[test]
    fn a_stray_file_counts_whatever_was_answered() {
        let stray = || Err(Flaw::Broken("stray".into()));
        assert_eq!(ending(Ok(Ok(Answer::Accepted)), None, stray()).0, Ending::Broken);
        assert_eq!(ending(Ok(Ok(Answer::rejected("no-clips"))), None, stray()).0, Ending::Broken);
    }
}
