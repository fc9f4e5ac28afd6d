//! The settings of a binary: one table from which come its flags, its environment variables, the keys of its
//! configuration file, its defaults and its `--help`.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. All faults are reported at
//! once, each with the place that it comes from.

mod problems;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use mesh_api::document::{Fields, Findings, UnknownKey};
use serde_json::{Map, Value};

pub use self::problems::Problems;
use crate::yaml::{self, Places};

/// Exit code for a command line or configuration that cannot be used: `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

/// One thing that can be set.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `snake_case` name: the key in the file; flags and variables are derived from it.
    pub name: &'static str,
    /// What the value is, as `--help` shows it: `ADDR`, `SECONDS`; empty for a switch, whose flag alone means `true`.
    pub value: &'static str,
    /// The default as it would be written in the file; empty for none.
    pub default: &'static str,
    /// One sentence, with the unit.
    pub help: &'static str,
}

/// What a binary is called and what can be set.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// Prefix of its environment variables: `MESH_REGISTRY`.
    pub env_prefix: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What can be set.
    pub settings: &'static [Setting],
    /// What else it does when the first argument says so, each a program with a name of two words.
    pub commands: &'static [Program],
}

/// Why the binary does not start: it was asked for help or a check, or something is wrong.
#[derive(Debug)]
pub struct Stop {
    text: String,
    code: u8,
}

/// Merges the sources of `program`'s settings and reads the result.
///
/// # Errors
/// [`Stop`] when the process should end instead: after `--help` and `--check`, and on any fault.
pub fn load<T>(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
    read: impl FnOnce(&mut Fields<'_, '_>) -> T,
) -> Result<T, Stop> {
    load_with(program, arguments, read, Ok)
}

/// As [`load`], and goes on to `complete` what was read with something that can be at fault itself, such as a file
/// that a setting names. The faults of both are reported together.
///
/// # Errors
/// As [`load`].
pub fn load_with<T, U>(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
    read: impl FnOnce(&mut Fields<'_, '_>) -> T,
    complete: impl FnOnce(T) -> Result<U, Problems>,
) -> Result<U, Stop> {
    let matches = command(program).try_get_matches_from(arguments).map_err(Stop::from_clap)?;
    if let Some(word) = matches.subcommand_name() {
        return Err(Stop::misplaced(program, word));
    }
    let (sources, mut problems) = Sources::gather(program, &matches);
    let mut findings = Findings::default();
    let config = Fields::open(&sources.merged, "", &mut findings).map(|mut fields| {
        let config = read(&mut fields);
        fields.close();
        config
    });
    let unknown = std::mem::take(&mut findings.unknown).into_iter().map(UnknownKey::into_fault);
    findings.faults.extend(unknown);
    problems.add(findings.faults, |path| sources.place(path));
    let completed =
        config.map(complete).and_then(|completed| completed.map_err(|more| problems.join(more)).ok());
    match completed {
        Some(_) if problems.is_empty() && matches.get_flag("check") => Err(Stop::checked(program)),
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Stop::misconfigured(program, &problems)),
    }
}

/// The command line: one flag per setting, and `--config` and `--check`.
fn command(program: &Program) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env(format!("{}_CONFIG", program.env_prefix))
        .help("YAML file with any of these settings, by their names with '_'");
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .help("Check the configuration, say what is wrong with it, and exit");
    let settings = program.settings.iter().map(|setting| {
        let arg = Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .env(format!("{}_{}", program.env_prefix, setting.name.to_uppercase()))
            .help(setting.help);
        let arg = match setting.value {
            "" => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .hide_possible_values(true),
            value => arg.value_name(value),
        };
        if setting.default.is_empty() { arg } else { arg.default_value(setting.default) }
    });
    let commands = program.commands.iter().map(|command| Command::new(command.word()).about(command.about));
    let command =
        Command::new(program.name).bin_name(program.name).about(program.about).version(program.version);
    command.args(settings).arg(config).arg(check).subcommands(commands).disable_help_subcommand(true)
}

// === impl Program ===

impl Program {
    /// Whether `argument` is the word for this command.
    pub fn is(&self, argument: &OsStr) -> bool {
        argument == self.word()
    }

    fn word(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or_default()
    }
}

/// All sources in one object, and where each key came from.
struct Sources {
    merged: Value,
    origins: HashMap<String, String>,
    places: Places,
}

impl Sources {
    fn gather(program: &Program, matches: &ArgMatches) -> (Self, Problems) {
        let mut problems = Problems::default();
        let (mut merged, places) = match matches.get_one::<String>("config") {
            Some(file) => read_file(file, &mut problems),
            None => (Map::new(), Places::default()),
        };
        let mut origins = HashMap::new();
        for setting in program.settings {
            let Some(text) = matches.get_one::<String>(setting.name) else { continue };
            let origin = match matches.value_source(setting.name) {
                Some(ValueSource::CommandLine) => format!("--{}", setting.name.replace('_', "-")),
                Some(ValueSource::EnvVariable) => {
                    format!("{}_{}", program.env_prefix, setting.name.to_uppercase())
                }
                _ if merged.contains_key(setting.name) => continue,
                _ => "default".to_owned(),
            };
            merged.insert(setting.name.to_owned(), yaml::scalar(text));
            origins.insert(setting.name.to_owned(), origin);
        }
        (Self { merged: Value::Object(merged), origins, places }, problems)
    }

    fn place(&self, path: &str) -> String {
        let key = path.split(['.', '[']).next().unwrap_or_default();
        self.origins.get(key).cloned().unwrap_or_else(|| self.places.of(path))
    }
}

fn read_file(file: &str, problems: &mut Problems) -> (Map<String, Value>, Places) {
    let parsed = std::fs::read_to_string(file)
        .map_err(|fault| format!("{file}: cannot be read: {fault}"))
        .and_then(|text| yaml::parse(&text, file));
    match parsed {
        Ok(document) => {
            problems.add(document.faults, |path| document.places.of(path));
            match document.value {
                Value::Object(object) => (object, document.places),
                _ => {
                    problems.line(format!("{file}: must be a map of settings"));
                    (Map::new(), document.places)
                }
            }
        }
        Err(fault) => {
            problems.line(fault);
            (Map::new(), Places::default())
        }
    }
}

// === impl Stop ===

impl Stop {
    /// Prints why the process ends, to standard output when all is well and to standard error otherwise.
    pub fn report(self) -> ExitCode {
        // A closed pipe (`--help | head`) is no reason to fail, so the outcome of printing is dropped.
        let _ = match self.code {
            0 => std::io::stdout().write_all(self.text.as_bytes()),
            _ => std::io::stderr().write_all(self.text.as_bytes()),
        };
        ExitCode::from(self.code)
    }

    fn from_clap(error: clap::Error) -> Self {
        let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
        Self { text: error.render().ansi().to_string(), code }.plain_unless_terminal(&error)
    }

    fn plain_unless_terminal(self, error: &clap::Error) -> Self {
        use std::io::IsTerminal as _;
        let colourful =
            if self.code == 0 { std::io::stdout().is_terminal() } else { std::io::stderr().is_terminal() };
        if colourful { self } else { Self { text: error.render().to_string(), ..self } }
    }

    fn checked(program: &Program) -> Self {
        Self { text: format!("{}: the configuration is valid\n", program.name), code: 0 }
    }

    /// Flags before a command would be passed over.
    fn misplaced(program: &Program, word: &str) -> Self {
        let text = format!(
            "{} cannot start: write {} {word} first, and its flags behind it\n",
            program.name, program.name
        );
        Self { text, code: EXIT_USAGE }
    }

    fn misconfigured(program: &Program, problems: &Problems) -> Self {
        let mut text = format!("{} cannot start: {}\n", program.name, count(problems.lines().len()));
        for line in problems.lines() {
            // INVARIANT: writing to a String cannot fail.
            let _ = writeln!(text, "  {}", line.replace('\n', "\n  "));
        }
        text.push_str("See --help for every setting with its default and unit.\n");
        Self { text, code: EXIT_USAGE }
    }
}

fn count(faults: usize) -> String {
    if faults == 1 {
        "one fault in its configuration".to_owned()
    } else {
        format!("{faults} faults in its configuration")
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::document::{boolean, number, string};

    use super::*;

    const PROGRAM: Program = Program {
        name: "mesh-test",
        env_prefix: "MESH_SETTINGS_TEST",
        about: "Tests settings.",
        version: "0",
        commands: &[],
        settings: &[
            Setting { name: "listen", value: "ADDR", default: "127.0.0.1:0", help: "Address." },
            Setting { name: "cache_ttl", value: "SECONDS", default: "30", help: "Time to live." },
        ],
    };

    fn load_from(arguments: &[&str]) -> Result<(String, f64), Stop> {
        let arguments = ["mesh-test"].iter().chain(arguments).map(OsString::from);
        load(&PROGRAM, arguments, |fields| {
            let listen = fields.required("listen", string).unwrap_or_default();
            (listen, fields.required("cache_ttl", number(0.0, 60.0, "seconds")).unwrap_or_default())
        })
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = file("cache_ttl: 5\nlisten: 127.0.0.1:1\n");
        let config = ["--config", file.path().to_str().unwrap(), "--listen", "127.0.0.1:2"];
        assert_eq!(load_from(&config).unwrap(), ("127.0.0.1:2".to_owned(), 5.0));
        assert_eq!(load_from(&[]).unwrap(), ("127.0.0.1:0".to_owned(), 30.0));
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let file = file("cache_tll: 5\nlisten: 7\n");
        let stop = load_from(&["--config", file.path().to_str().unwrap(), "--cache-ttl", "90"]).unwrap_err();
        assert_eq!(stop.code, EXIT_USAGE);
        assert!(stop.text.contains("3 faults"), "{}", stop.text);
        assert!(stop.text.contains(":2:1: 'listen' must be a string, got a number"), "{}", stop.text);
        assert!(stop.text.contains(":1:1: 'cache_tll' is not a known key: did you mean 'cache_ttl'?"));
        assert!(stop.text.contains("--cache-ttl: 'cache_ttl' must be a number from 0 to 60 seconds, got 90"));
    }

    #[test]
    fn a_switch_is_on_when_it_stands_there_and_takes_no_word_behind_it() {
        const SWITCH: Setting = Setting { name: "loud", value: "", default: "false", help: "Loud." };
        const SWITCHED: Program = Program { settings: &[SWITCH], ..PROGRAM };
        let is_loud = |arguments: &[&str]| {
            let arguments = ["mesh-test"].iter().chain(arguments).map(OsString::from);
            load(&SWITCHED, arguments, |fields| fields.required("loud", boolean).unwrap_or_default())
        };
        assert!(
            !is_loud(&[]).unwrap() && is_loud(&["--loud"]).unwrap() && !is_loud(&["--loud=false"]).unwrap()
        );
        assert!(is_loud(&["--loud=very"]).unwrap_err().text.contains("'loud' must be true or false"));
        assert_eq!(is_loud(&["--loud", "true"]).unwrap_err().code, EXIT_USAGE);
    }

    #[test]
    fn check_ends_well_and_help_shows_every_default() {
        assert_eq!(load_from(&["--check"]).unwrap_err().code, 0);
        let help = load_from(&["--help"]).unwrap_err();
        assert!(
            help.code == 0
                && help.text.contains("[default: 30]")
                && help.text.contains("MESH_SETTINGS_TEST_CACHE_TTL")
        );
        assert_eq!(load_from(&["--cash-ttl", "3"]).unwrap_err().code, EXIT_USAGE);
    }
}
