//! What the build needs from the machine, and the commands that install it.
//!
//! Deciding ([`plan`]) is apart from looking ([`crate::probe`]) and from doing ([`setup`]).

use std::io;
use std::process::Command;

use crate::command::{Failure, run, shown};
use crate::probe;

/// FFmpeg's libraries by their pkg-config names.
pub(crate) const FFMPEG: [&str; 7] =
    ["libavcodec", "libavdevice", "libavfilter", "libavformat", "libavutil", "libswresample", "libswscale"];

/// What a machine has.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) compiler: bool,
    pub(crate) pkg_config: bool,
    pub(crate) libclang: bool,
    pub(crate) ffmpeg: Vec<&'static str>,
    pub(crate) manager: Option<Manager>,
    pub(crate) power: Power,
}

/// Whether we may install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Root,
    Sudo,
    None,
}

/// A package manager that we know how to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Compiler,
    PkgConfig,
    Libclang,
    Ffmpeg(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Install(Vec<Vec<String>>),
    /// We may not install: what the user should run.
    Tell(String),
}

/// Installs what is missing, or says what to run. Prints on stderr only: stdout belongs to the chore.
pub(crate) fn setup() -> Result<(), Failure> {
    match plan(&probe::machine()) {
        Plan::Nothing => Ok(()),
        Plan::Tell(message) => Err(Failure::new(message)),
        Plan::Install(commands) => {
            for command in commands.iter().map(|words| as_command(words)) {
                eprintln!("set-up: {}", shown(&command));
                run(command)?;
            }
            check()
        }
    }
}

/// Adds the parts of Rust that only tests need, where the toolchain came without them.
pub(crate) fn components() -> Result<(), Failure> {
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if !probe::runs(program, &["--version"]) {
            let mut command = Command::new("rustup");
            command.args(["component", "add", component]).stdout(io::stderr());
            run(command)?;
        }
    }
    Ok(())
}

fn check() -> Result<(), Failure> {
    let missing = needs(&probe::machine());
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("still missing after the set-up: {}", in_words(&missing))))
}

fn as_command(words: &[String]) -> Command {
    let (program, args) = words.split_first().map_or(("", words), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    command.args(args).stdout(io::stderr());
    command
}

fn plan(machine: &Machine) -> Plan {
    let needs = needs(machine);
    if needs.is_empty() {
        return Plan::Nothing;
    }
    let missing = in_words(&needs);
    let Some(manager) = machine.manager else {
        return Plan::Tell(format!(
            "missing: {missing}; found none of apt, dnf, pacman and brew to install them with; on Debian it would be\n\n    {}",
            typed(&commands(Manager::Apt, Power::None, &needs))
        ));
    };
    if machine.power == Power::None && manager.needs_power() {
        let commands = typed(&commands(manager, Power::None, &needs));
        return Plan::Tell(format!("missing: {missing}; please run\n\n    {commands}\n\nand try again"));
    }
    Plan::Install(commands(manager, machine.power, &needs))
}

fn needs(machine: &Machine) -> Vec<Need> {
    let mut needs = Vec::new();
    needs.extend((!machine.compiler).then_some(Need::Compiler));
    needs.extend((!machine.pkg_config).then_some(Need::PkgConfig));
    needs.extend((!machine.libclang).then_some(Need::Libclang));
    needs.extend(FFMPEG.into_iter().filter(|name| !machine.ffmpeg.contains(name)).map(Need::Ffmpeg));
    needs
}

fn in_words(needs: &[Need]) -> String {
    let word = |need: &Need| match need {
        Need::Compiler => "a C compiler".to_owned(),
        Need::PkgConfig => "pkg-config".to_owned(),
        Need::Libclang => "libclang".to_owned(),
        Need::Ffmpeg(name) => format!("{name} (FFmpeg, with its headers)"),
    };
    needs.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn commands(manager: Manager, power: Power, needs: &[Need]) -> Vec<Vec<String>> {
    let mut packages: Vec<String> = needs.iter().flat_map(|need| manager.packages(*need)).collect();
    packages.sort();
    packages.dedup();
    let sudo: &[&str] = match power {
        _ if !manager.needs_power() => &[],
        Power::Root => &[],
        Power::Sudo => &["sudo", "-n"],
        Power::None => &["sudo"],
    };
    let whole = |words: &&[&str]| sudo.iter().chain(words.iter()).map(|word| (*word).to_owned()).collect();
    let mut commands: Vec<Vec<String>> = manager.install().iter().map(whole).collect();
    if let Some(last) = commands.last_mut() {
        last.extend(packages);
    }
    commands
}

fn typed(commands: &[Vec<String>]) -> String {
    commands.iter().map(|words| shown(&as_command(words))).collect::<Vec<_>>().join(" && ")
}

impl Manager {
    pub(crate) const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    /// Homebrew installs as the user and refuses root.
    fn needs_power(self) -> bool {
        self != Self::Brew
    }

    /// The commands to run, the last one to be followed by the packages.
    fn install(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Apt => &[
                &["apt-get", "update"],
                &[
                    "env",
                    "DEBIAN_FRONTEND=noninteractive",
                    "apt-get",
                    "install",
                    "-y",
                    "--no-install-recommends",
                ],
            ],
            Self::Dnf => &[&["dnf", "install", "-y"]],
            Self::Pacman => &[&["pacman", "-Sy", "--needed", "--noconfirm"]],
            Self::Brew => &[&["brew", "install"]],
        }
    }

    fn packages(self, need: Need) -> Vec<String> {
        let packages: &[&str] = match (self, need) {
            (Self::Apt, Need::Ffmpeg(name)) => return vec![format!("{name}-dev")],
            // Several packages offer FFmpeg on Fedora and its kin; the capability names whichever is there.
            (Self::Dnf, Need::Ffmpeg(name)) => return vec![format!("pkgconfig({name})")],
            (Self::Pacman | Self::Brew, Need::Ffmpeg(_)) => &["ffmpeg"],
            (Self::Apt, Need::PkgConfig) => &["pkg-config"],
            (Self::Dnf, Need::PkgConfig) => &["pkgconf-pkg-config"],
            (Self::Pacman | Self::Brew, Need::PkgConfig) => &["pkgconf"],
            (Self::Apt, Need::Libclang) => &["clang", "libclang-dev"],
            (Self::Dnf, Need::Libclang) => &["clang", "clang-devel"],
            (Self::Brew, Need::Libclang | Need::Compiler) => &["llvm"],
            (_, Need::Libclang | Need::Compiler) => &["clang"],
        };
        packages.iter().map(|name| (*name).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(manager: Option<Manager>, power: Power) -> Machine {
        Machine { compiler: false, pkg_config: false, libclang: false, ffmpeg: Vec::new(), manager, power }
    }

    fn installs(machine: &Machine) -> Vec<String> {
        match plan(machine) {
            Plan::Install(commands) => commands.iter().map(|words| shown(&as_command(words))).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_complete_machine_needs_nothing_whatever_its_manager() {
        let machine = Machine {
            compiler: true,
            pkg_config: true,
            libclang: true,
            ffmpeg: FFMPEG.to_vec(),
            manager: None,
            power: Power::None,
        };
        assert_eq!(plan(&machine), Plan::Nothing);
    }

    #[test]
    fn a_bare_debian_gets_every_package_after_an_update() {
        let commands = installs(&bare(Some(Manager::Apt), Power::Root));
        assert_eq!(commands[0], "apt-get update");
        assert_eq!(
            commands[1],
            "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends clang \
             libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev libclang-dev \
             libswresample-dev libswscale-dev pkg-config"
        );
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let machine = Machine {
            compiler: true,
            pkg_config: true,
            ffmpeg: FFMPEG.into_iter().filter(|name| *name != "libswscale").collect(),
            libclang: true,
            ..bare(Some(Manager::Apt), Power::Sudo)
        };
        let commands = installs(&machine);
        assert_eq!(commands[0], "sudo -n apt-get update");
        assert!(commands[1].ends_with("--no-install-recommends libswscale-dev"), "{}", commands[1]);
    }

    #[test]
    fn each_manager_has_its_own_names() {
        let dnf = installs(&bare(Some(Manager::Dnf), Power::Root));
        assert!(dnf[0].contains("clang-devel pkgconf-pkg-config 'pkgconfig(libavcodec)'"), "{}", dnf[0]);
        let pacman = installs(&bare(Some(Manager::Pacman), Power::Sudo));
        assert_eq!(pacman[0], "sudo -n pacman -Sy --needed --noconfirm clang ffmpeg pkgconf");
        let brew = installs(&bare(Some(Manager::Brew), Power::None));
        assert_eq!(brew[0], "brew install ffmpeg llvm pkgconf");
    }

    #[test]
    fn without_the_right_to_install_the_exact_command_is_told() {
        let Plan::Tell(message) = plan(&bare(Some(Manager::Apt), Power::None)) else { panic!("not told") };
        assert!(
            message
                .contains("sudo apt-get update && sudo env DEBIAN_FRONTEND=noninteractive apt-get install")
        );
        assert!(message.contains("libavutil (FFmpeg, with its headers)"));
    }

    #[test]
    fn without_a_known_manager_an_example_is_told() {
        let Plan::Tell(message) = plan(&bare(None, Power::Root)) else { panic!("not told") };
        assert!(message.contains("none of apt, dnf, pacman and brew"), "{message}");
        assert!(message.contains("libclang-dev"));
    }
}
