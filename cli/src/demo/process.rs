//! A child process of the demo: this same program, told on its standard input what to be.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::orders::{self, LINE_BYTES_MAX};
use crate::exit::{Exit, Failure};
use crate::output::shown;

/// How much of what a child says on standard error is kept: its last bytes.
const SAID_BYTES_MAX: usize = 4 * 1024;
/// Lines of a child that wait to be read.
const LINES_WAITING: usize = 64;
/// How long a child that has ended, or was killed, gets until the system says so.
const REAP: Duration = Duration::from_secs(5);

/// The lines of a child; the end means that it has closed its standard output.
pub(crate) type Lines = mpsc::Receiver<Result<String, Failure>>;

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    pid: u32,
    child: Child,
    /// `None` once its standard input is to be closed.
    orders: Option<mpsc::UnboundedSender<String>>,
    said: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    /// Starts this program with a hidden command, and gives it its first order.
    ///
    /// # Errors
    /// `Failed` where the system starts no process.
    pub(crate) fn start(name: &str, command: &str, order: &impl Serialize) -> Result<(Self, Lines), Failure> {
        let doing = format!("starting {name} as a process");
        let program = std::env::current_exe().map_err(|error| Failure::from(error).during(&doing))?;
        let mut command_line = Command::new(program);
        command_line
            .arg(command)
            // It gets the URL in its order, where no list of processes shows it.
            .env_remove("RINGHOLD_BACKEND")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-c on a terminal goes to a whole group. This process takes it and stops its children in order.
        #[cfg(unix)]
        command_line.process_group(0);
        let mut child = command_line
            .spawn()
            .map_err(|error| Failure::from(error).during(&doing))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr), Some(pid)) = (pipes.0, pipes.1, pipes.2, child.id())
        else {
            return Err(Failure::failed("the child has no pipes").during(&doing));
        };
        let (orders, waiting) = mpsc::unbounded_channel();
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        // These tasks end with the child's pipes.
        tokio::spawn(write_all(waiting, stdin));
        tokio::spawn(read_lines(stdout, sender));
        let said = tokio::spawn(read_last(stderr, name.to_owned()));
        let process = Self {
            name: name.to_owned(),
            pid,
            child,
            orders: Some(orders),
            said: Some(said),
        };
        process.say(order)?;
        Ok((process, lines))
    }

    /// Its id, for people and programs; it is killed by its handle.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it one value. One that has ended is told nothing.
    pub(crate) fn say(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = orders::line(value)?;
        if let Some(orders) = &self.orders {
            let _ = orders.send(line);
        }
        Ok(())
    }

    /// Kills it: SIGKILL, where there are signals.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.start_kill();
        killed.map_err(|error| Failure::from(error).during(&format!("killing {}", self.name)))
    }

    /// Waits until a killed one is gone.
    pub(crate) async fn gone(mut self) {
        let _ = timeout(REAP, self.child.wait()).await;
    }

    /// Closes its standard input and waits until it has ended; kills it after `limit`.
    pub(crate) async fn end(mut self, limit: Duration) {
        self.orders = None;
        if timeout(limit, self.child.wait()).await.is_err() && self.kill().is_ok() {
            self.gone().await;
        }
    }

    /// Why it ended although nobody wanted it to: how, and what it said last.
    pub(crate) async fn failure(&mut self) -> Failure {
        let doing = format!("{} (process {})", self.name, self.pid);
        let Ok(Ok(status)) = timeout(REAP, self.child.wait()).await else {
            let message = format!("{doing} says no more and does not end");
            return Failure::failed(message);
        };
        let said = match self.said.take() {
            Some(said) => timeout(REAP, said).await.ok().and_then(Result::ok),
            None => None,
        };
        let said = String::from_utf8_lossy(&said.unwrap_or_default())
            .trim()
            .to_owned();
        let said = if said.is_empty() {
            "it said nothing".to_owned()
        } else {
            let lines: Vec<String> = said.lines().map(shown).collect();
            format!("it said: {}", lines.join("\n"))
        };
        Failure::of_child(exit_of(status), format!("{doing} ended with {status}; {said}"))
    }

    /// The next value that it says, within `limit`.
    ///
    /// # Errors
    /// `timeout`; how it ended, where it has; `Failed` for a line that is no such value.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next<T: serde::de::DeserializeOwned>(
        &mut self,
        lines: &mut Lines,
        limit: Duration,
    ) -> Result<T, Failure> {
        match timeout(limit, lines.recv()).await {
            Ok(Some(line)) => line
                .and_then(|line| orders::parse(&line))
                .map_err(|failure| failure.during(&self.name)),
            Ok(None) => Err(self.failure().await),
            Err(_) => Err(Failure::timeout(
                &format!("{} to answer", self.name),
                limit,
                "nothing",
            )),
        }
    }
}

/// What the exit code of a child of this program means.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code.and_then(Exit::from_code) {
        // It was to go on.
        Some(Exit::Done | Exit::No | Exit::Interrupted) | None => Exit::Failed,
        Some(exit) => exit,
    }
}

/// Writes what waits, each a line, until nobody has more to say.
async fn write_all(mut waiting: mpsc::UnboundedReceiver<String>, mut stdin: ChildStdin) {
    while let Some(line) = waiting.recv().await {
        // One that has ended shows that on its standard output.
        if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_lines(stdout: ChildStdout, sender: mpsc::Sender<Result<String, Failure>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut bytes = Vec::new();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX as u64);
        let Ok(1..) = limited.read_until(b'\n', &mut bytes).await else {
            return;
        };
        let whole = bytes.pop() == Some(b'\n');
        let line = String::from_utf8(bytes).ok().filter(|_| whole);
        let last = line.is_none();
        let line = line.ok_or_else(|| Failure::failed("its line is too long, cut off or no UTF-8"));
        if sender.send(line).await.is_err() || last {
            return;
        }
    }
}

/// Reads to the end, and keeps the last bytes. Shows them as they come where logs are asked for.
async fn read_last(mut stderr: ChildStderr, name: String) -> Vec<u8> {
    let show = std::env::var_os("RUST_LOG").is_some();
    let (mut last, mut buffer) = (Vec::new(), [0; 1_024]);
    while let Ok(bytes @ 1..) = stderr.read(&mut buffer).await {
        if show {
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            for line in text.lines() {
                // Nobody has to read it.
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    format!("{name}: {}\n", shown(line)).as_bytes(),
                );
            }
        }
        last.extend_from_slice(&buffer[..bytes]);
        let surplus = last.len().saturating_sub(SAID_BYTES_MAX);
        last.drain(..surplus);
    }
    last
}
