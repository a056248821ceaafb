//! Running other programs, and how a chore fails.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::{env, fmt, io};

/// Why a chore stopped: what to say, and the exit code to hand on.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The chore found something wrong.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The chore was asked for in a way that it does not understand.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// `what` ended with `status`.
    pub(crate) fn exited(what: &str, status: ExitStatus) -> Self {
        // A program ended by a signal has no code; shells report an interrupted one as 130.
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
        Self { message: format!("`{what}` failed: {status}"), code }
    }

    fn start(command: &Command, error: &io::Error) -> Self {
        Self::new(format!("cannot start `{}`: {error}", shown(command)))
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The root of the workspace. `cargo run` says where this crate lies, wherever the user stands.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(xtask).parent().map(PathBuf::from).unwrap_or_default()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// `cargo run` of a binary of this workspace in release mode, ready for its arguments. The current folder stays
/// the user's, so that relative paths mean what they say.
pub(crate) fn cargo_run(package: &str, binary: &str) -> Command {
    let mut command = cargo();
    command.args(["run", "--release", "--manifest-path"]).arg(root().join("Cargo.toml"));
    command.args(["--package", package, "--bin", binary, "--"]);
    command
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| Failure::start(&command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::exited(&shown(&command), status)) }
}

/// What a command prints on stdout.
pub(crate) fn output(mut command: Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| Failure::start(&command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{}` failed: {}\n{said}", shown(&command), output.status)))
}

/// Becomes the command: signals reach it directly and its exit code is ours, with nobody in between.
#[cfg(unix)]
pub(crate) fn replace(mut command: Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(Failure::start(&command, &error))
}

/// Runs the command to its end and hands on its exit code, where a process cannot become another.
#[cfg(not(unix))]
pub(crate) fn replace(command: Command) -> Result<(), Failure> {
    run(command)
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("dnf");
        command.args(["install", "pkgconfig(libavutil)", ""]);
        assert_eq!(shown(&command), "dnf install 'pkgconfig(libavutil)' ''");
    }

    #[cfg(unix)]
    #[test]
    fn a_failed_command_hands_on_its_exit_code() {
        let exit = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run(command).map_err(|failure| failure.code())
        };
        assert_eq!(exit("exit 0"), Ok(()));
        assert_eq!(exit("exit 101"), Err(101));
        // Not an interrupt: whoever started the tests in the background may have it ignored.
        assert_eq!(exit("kill -TERM $$"), Err(130));
    }
}
