//! `golden [DIR] [--json]`: compares with the golden numbers under DIR, by default those of this package.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program is the table it prints")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tests::golden::{GoldenError, Table, kinds};

fn main() -> ExitCode {
    let (flags, dirs): (Vec<_>, Vec<_>) =
        env::args_os().skip(1).partition(|arg| arg.to_string_lossy().starts_with("--"));
    let json = flags == ["--json"];
    if dirs.len() > 1 || !(json || flags.is_empty()) {
        eprintln!("usage: golden [DIR] [--json]");
        return ExitCode::from(2);
    }
    let dir = dirs.first().map_or_else(own, PathBuf::from);
    match report(&dir, json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("golden: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Prints the table on stdout and what is wrong on stderr. True if all is well.
fn report(dir: &Path, json: bool) -> Result<bool, GoldenError> {
    let table = Table::of(dir, &kinds())?;
    if json {
        println!("{:#}", table.json())
    } else {
        print!("{table}")
    }
    table.rows.iter().for_each(|row| eprint!("{}", row.told()));
    table.missing.iter().for_each(|path| eprintln!("missing: {}", path.display()));
    if table.rows.iter().all(|row| row.pass.is_none()) {
        eprintln!("golden: no case was checked under {}", dir.display());
    }
    Ok(table.passed())
}
