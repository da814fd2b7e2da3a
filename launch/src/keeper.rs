//! Processes that never outlive this one, not even when it is killed.
//!
//! A keeper is a shell in a process group of its own that reads from a pipe which only this process
//! holds. When the pipe ends, whatever the reason, it kills the servers that are entered and removes
//! the folder. A server's process waits for a word of its own before it becomes the server, and is
//! entered before it gets that word, so that there is no moment in which nobody knows of it.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind, Result};

/// `+ PID` enters, `- PID` strikes out, the end of the input kills.
const WATCH: &str = r#"
pids=
while read -r order pid; do
    case $order in
    +) pids="$pids $pid" ;;
    -)
        rest=
        for one in $pids; do [ "$one" = "$pid" ] || rest="$rest $one"; done
        pids=$rest
        ;;
    esac
done
[ -z "$pids" ] || kill -9 $pids
rm -rf -- "$1"
"#;

/// Becomes the server at a word, and nothing when whoever would have said it is gone.
const BECOME: &str = r#"read -r word && exec "$0" "$@" </dev/null"#;

pub(crate) struct Keeper {
    shell: Child,
    /// `None` when it is over.
    orders: Mutex<Option<ChildStdin>>,
    folder: PathBuf,
}

impl Keeper {
    /// A keeper with a new folder.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("ringhold-servers-")
            .tempdir()
            .map_err(Error::io("making a temporary folder"))?;
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the whole group of this process must not end who cleans up after it.
            .process_group(0)
            .spawn()
            .map_err(Error::io("starting a shell that cleans up"))?;
        Ok(Self {
            orders: Mutex::new(shell.stdin.take()),
            shell,
            folder: folder.keep(),
        })
    }

    /// Where the servers live; removed when this is dropped.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `program` in `folder`, with what it says appended to `log`.
    pub(crate) fn spawn(
        &self,
        program: &str,
        arguments: &[&str],
        folder: &Path,
        environment: &[(String, PathBuf)],
        log: &File,
    ) -> Result<Child> {
        let failed = || Error::io(format!("starting {program}"));
        let mut child = becoming(program)
            .args(arguments)
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(failed())?)
            .stderr(log.try_clone().map_err(failed())?)
            .spawn()
            .map_err(failed())?;
        let word = child.stdin.take();
        let begun = self.order('+', child.id()).and_then(|()| match word {
            Some(mut word) => word.write_all(b"go\n").map_err(failed()),
            None => Err(Error::new(ErrorKind::Io, "a child without its input")),
        });
        if let Err(error) = begun {
            self.end(&mut child);
            return Err(error);
        }
        Ok(child)
    }

    /// Kills a child, also a stopped one, and waits until it is gone.
    pub(crate) fn end(&self, child: &mut Child) {
        // Neither can fail for a child that nobody else waits for.
        let _ = child.kill();
        // Struck out before its number can be given to somebody else.
        let _ = self.order('-', child.id());
        let _ = child.wait();
    }

    fn order(&self, order: char, pid: u32) -> Result<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = orders
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Io, "the shell that cleans up has no input"))?;
        pipe.write_all(format!("{order} {pid}\n").as_bytes())
            .map_err(Error::io("telling the shell that cleans up"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let _ = self.shell.wait();
        // It has done this already, unless somebody killed it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A shell that becomes `program` at a word. Its locale is `C`, whatever this process has: a server must not
/// collate or speak differently on the machine of a developer.
pub(crate) fn becoming(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", BECOME, program]);
    for (name, _) in std::env::vars_os() {
        let of_locale = name
            .to_str()
            .is_some_and(|name| name.starts_with("LC_") || ["LANG", "LANGUAGE", "LOCPATH"].contains(&name));
        if of_locale {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    command
}

/// Whether a program of this name is on the path; the error says what to install.
pub(crate) fn installed(program: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Missing,
        format!("`{program}` is not on the path: install it, on Debian with `apt-get install {package}`"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn folder_of(child: &Child) -> PathBuf {
        PathBuf::from(format!("/proc/{}", child.id()))
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let failure = installed("ringhold-has-no-such-program", "some-package").unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Missing);
        assert!(failure.message().contains("apt-get install some-package"));
    }

    #[test]
    fn servers_have_the_locale_c() {
        let command = becoming("true");
        let mut set = command.get_envs().filter(|(_, value)| value.is_some());
        assert_eq!(set.next(), Some(("LC_ALL".as_ref(), Some("C".as_ref()))));
        assert_eq!(set.next(), None);
    }

    #[test]
    fn the_end_of_the_pipe_kills_what_is_entered_and_removes_the_folder() {
        let keeper = Keeper::new().unwrap();
        let folder = keeper.folder().to_owned();
        let log = File::create(folder.join("log")).unwrap();
        let start = || keeper.spawn("sleep", &["60"], &folder, &[], &log).unwrap();
        let (mut kept, mut ended) = (start(), start());
        keeper.end(&mut ended);
        assert!(folder_of(&kept).exists() && !folder_of(&ended).exists());
        drop(keeper);
        assert_eq!(kept.wait().unwrap().signal(), Some(9));
        assert!(!folder.exists());
    }
}
