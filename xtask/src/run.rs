//! Running programs, and the steps that a task is made of.

mod at_once;

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) use self::at_once::Calls;
use crate::workspace::Workspace;

/// Why a task stopped, in words that say what to do.
#[derive(Debug)]
pub(crate) struct Problem(String);

/// The result of a task or a part of one.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The steps of one task: names each as it starts, and shows as a table where the time went.
pub(crate) struct Steps {
    /// When the task began.
    start: Instant,
    done: Vec<Done>,
    /// Progress through a plan, shown before the name of each step.
    progress: String,
}

struct Done {
    name: String,
    took: Duration,
    came_to: CameTo,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CameTo {
    Passed,
    Failed,
    /// It did not run, for this reason.
    LeftOut(String),
}

impl CameTo {
    fn of(outcome: &Result<()>) -> Self {
        if outcome.is_ok() {
            Self::Passed
        } else {
            Self::Failed
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            done: Vec::new(),
            progress: String::new(),
        }
    }
}

impl Steps {
    /// Whether the task had no steps.
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Sets the progress that is shown with the steps that follow.
    pub(crate) fn announce(&mut self, number: usize, all: usize, elapsed: Duration) {
        let minutes = elapsed.as_secs() / 60;
        self.progress = format!("[{number}/{all}, {minutes} min {:02} s] ", elapsed.as_secs() % 60);
    }

    /// Runs one step. The caller stops at the first that fails.
    pub(crate) fn run(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let name = name.into();
        eprintln!("\n==> {}{name}", self.progress);
        let start = Instant::now();
        let outcome = work().map_err(|problem| Problem::new(format!("{name}: {problem}")));
        self.done.push(Done {
            name,
            took: start.elapsed(),
            came_to: CameTo::of(&outcome),
        });
        outcome
    }

    /// Says, here and in the table, that a step cannot run on this machine. It has not passed.
    pub(crate) fn left_out(&mut self, name: impl Into<String>, why: &Problem) {
        let name = name.into();
        eprintln!("\n==> {name}\nwarning: left out: {why}");
        self.done.push(Done {
            name,
            took: Duration::ZERO,
            came_to: CameTo::LeftOut(why.to_string()),
        });
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .done
            .iter()
            .map(|step| step.name.chars().count())
            .max()
            .unwrap_or(0)
            .max(5);
        writeln!(f, "\n{:width$}  seconds", "step")?;
        for step in &self.done {
            let seconds = step.took.as_secs_f64();
            match &step.came_to {
                CameTo::Passed => writeln!(f, "{:width$}  {seconds:7.1}", step.name)?,
                CameTo::Failed => writeln!(f, "{:width$}  {seconds:7.1}  failed", step.name)?,
                CameTo::LeftOut(why) => writeln!(f, "{:width$}        -  LEFT OUT: {why}", step.name)?,
            }
        }
        // Less than the sum where steps ran beside each other.
        writeln!(
            f,
            "{:width$}  {:7.1}",
            "total",
            self.start.elapsed().as_secs_f64()
        )
    }
}

/// One program call. Shown before it runs; standard input is always empty.
pub(crate) struct Call {
    command: Command,
    shown: String,
    advice: Option<&'static str>,
    silent: bool,
    check: Check,
}

/// How the variables begin by which `cargo run` describes the package that it runs.
const OF_OWN_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Judges the output of a call that succeeded.
type Check = Box<dyn Fn(&str) -> Result<()> + Send>;

impl Call {
    pub(crate) fn new<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        Self::named(program, OsStr::new(program), arguments)
    }

    /// The cargo that runs this program, so that one toolchain does everything.
    ///
    /// It does not see what `cargo run` told this program about its own package: build scripts watch these variables
    /// (that of ring does), and a build from a shell would repeat what a build from here has done.
    pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut call = Self::named("cargo", &cargo, arguments);
        for (name, _) in std::env::vars_os() {
            let of_own_package = |name: &str| OF_OWN_PACKAGE.iter().any(|start| name.starts_with(start));
            if name.to_str().is_some_and(of_own_package) {
                call.command.env_remove(name);
            }
        }
        call
    }

    /// An example of a member as the tests have built it.
    pub(crate) fn example<S: AsRef<OsStr>>(
        workspace: &Workspace,
        name: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let program = workspace.built().join("examples").join(name);
        Self::named(name, program.as_os_str(), arguments)
    }

    fn named<S: AsRef<OsStr>>(name: &str, program: &OsStr, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        let call = Self {
            command,
            shown: name.to_owned(),
            advice: None,
            silent: false,
            check: Box::new(|_| Ok(())),
        };
        call.arguments(arguments)
    }

    /// Adds arguments.
    pub(crate) fn arguments<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of the environment, and shows it.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self.shown = if value.contains(' ') {
            format!("{key}=\"{value}\" {}", self.shown)
        } else {
            format!("{key}={value} {}", self.shown)
        };
        self
    }

    /// Runs in a folder, and shows it.
    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self.shown = format!("cd {} && {}", folder.display(), self.shown);
        self
    }

    /// What the reader should do when the call fails.
    pub(crate) fn advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Judges what the call prints, where it runs beside others.
    pub(crate) fn checked(mut self, check: impl Fn(&str) -> Result<()> + Send + 'static) -> Self {
        self.check = Box::new(check);
        self
    }

    /// A failure is an answer here, not something to show.
    pub(crate) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Runs to the end, output passed through; a failure is a [`Problem`].
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {}", self.shown);
        let status = self.command.status().map_err(|error| self.not_started(&error))?;
        self.judge(status)
    }

    /// Runs to the end, output passed through, and answers the exit code: for programs that say several things by it.
    pub(crate) fn code(mut self) -> Result<i32> {
        eprintln!("$ {}", self.shown);
        let status = self.command.status().map_err(|error| self.not_started(&error))?;
        match status.code() {
            Some(code) => Ok(code),
            // A signal ended it.
            None => self.judge(status).map(|()| 0),
        }
    }

    /// Runs to the end, passes standard output through and returns it too.
    pub(crate) fn run_and_read(mut self) -> Result<String> {
        eprintln!("$ {}", self.shown);
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| self.not_started(&error))?;
        let mut read = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            loop {
                let start = read.len();
                match lines.read_line(&mut read) {
                    Ok(0) => break,
                    Ok(_) => print!("{}", &read[start..]),
                    Err(error) => return Err(Problem::new(format!("reading `{}`: {error}", self.shown))),
                }
                // Progress that cannot be shown is no reason to stop the task.
                let _ = std::io::stdout().flush();
            }
        }
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        self.judge(status).map(|()| read)
    }

    /// Runs to the end beside others: what the call and its program printed, on either output, is answered and not
    /// shown. That it began is said under `name`.
    fn run_apart(mut self, name: &str) -> (String, Result<()>) {
        eprintln!("... {name} begins");
        let mut printed = format!("$ {}\n", self.shown).into_bytes();
        let status = (|| {
            let (mut reader, writer) = std::io::pipe()?;
            self.command.stdout(writer.try_clone()?).stderr(writer);
            let child = self.command.spawn();
            // What it holds of the pipe would keep that open when the program has ended.
            self.command = Command::new("");
            let mut child = child?;
            reader.read_to_end(&mut printed)?;
            child.wait()
        })();
        let outcome = match status {
            Ok(status) => self.judge(status),
            Err(error) => Err(self.not_started(&error)),
        };
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let outcome = outcome.and_then(|()| (self.check)(&printed));
        (printed, outcome)
    }

    /// Returns standard output; shows standard error when the program fails.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().map_err(|error| self.not_started(&error))?;
        if !output.status.success() && !self.silent {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        self.judge(output.status)?;
        String::from_utf8(output.stdout)
            .map_err(|_| Problem::new(format!("`{}` printed something that is not UTF-8", self.shown)))
    }

    /// Runs to the end, and answers whether it succeeded, and what it wrote to standard output. A failure is an
    /// answer here: nothing is shown.
    pub(crate) fn attempt(mut self) -> Result<(bool, String)> {
        eprintln!("$ {}", self.shown);
        let output = self.command.output().map_err(|error| self.not_started(&error))?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    }

    fn not_started(&self, error: &std::io::Error) -> Problem {
        Problem::new(format!(
            "`{}` did not start: {error}; is the program installed?",
            self.shown
        ))
    }

    fn judge(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let advice = self
            .advice
            .map(|advice| format!("; {advice}"))
            .unwrap_or_default();
        Err(Problem::new(format!(
            "`{}` failed ({status}){advice}",
            self.shown
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_in_the_table_and_in_the_error() {
        let mut steps = Steps::default();
        steps.run("good", || Ok(())).unwrap();
        let problem = steps.run("bad", || Err(Problem::new("broken"))).unwrap_err();
        assert_eq!(problem.to_string(), "bad: broken");
        let table = steps.to_string();
        assert!(
            table
                .lines()
                .any(|line| line.starts_with("bad") && line.ends_with("failed")),
            "{table}"
        );
        assert!(
            table
                .lines()
                .any(|line| line.starts_with("good") && !line.ends_with("failed")),
            "{table}"
        );
    }

    #[test]
    fn what_was_left_out_has_not_passed() {
        let mut steps = Steps::default();
        steps.left_out("far", &Problem::new("no boat"));
        let table = steps.to_string();
        assert!(table.contains("far          -  LEFT OUT: no boat\n"), "{table}");
    }

    #[test]
    fn cargo_does_not_see_the_package_that_runs_it() {
        // This test runs under cargo, too.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let call = Call::cargo(["version"]);
        let removed: Vec<_> = call
            .command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .collect();
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(removed.iter().any(|(key, _)| *key == name), "{name}: {removed:?}");
        }
    }

    #[test]
    fn a_code_is_an_answer_and_a_signal_is_none() {
        let code = |script| Call::new("sh", ["-c", script]).code();
        assert_eq!(code("exit 3").unwrap(), 3);
        assert_eq!(code("true").unwrap(), 0);
        assert!(code("kill -TERM $$").unwrap_err().to_string().contains("signal"));
    }

    #[test]
    fn a_call_that_fails_says_what_ran_and_what_to_do() {
        let problem = Call::cargo(["no-such-command-here"])
            .advice("add it")
            .output()
            .unwrap_err();
        let text = problem.to_string();
        assert!(
            text.contains("`cargo no-such-command-here` failed") && text.ends_with("; add it"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_is_missing_is_said_to_be() {
        let problem = Call::new("ringhold-has-no-such-program", ["x"])
            .run()
            .unwrap_err();
        assert!(
            problem.to_string().contains("is the program installed?"),
            "{problem}"
        );
    }
}
