//! The backends that `examples/servers.rs` keeps running.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::run::{Problem, Result};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    /// Whether processes can share it.
    pub(super) shared: bool,
    pub(super) url: String,
}

/// All of them. They end when this is dropped, or with this process.
pub(super) struct Servers {
    list: Vec<Server>,
    program: Child,
}

impl Servers {
    /// Starts all backends that the program was built with.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let not_started = |error| Problem::new(format!("`{}` did not start: {error}", program.display()));
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        let stdout = child.stdout.take();
        let mut servers = Self {
            list: Vec::new(),
            program: child,
        };
        for line in stdout
            .into_iter()
            .flat_map(|stdout| BufReader::new(stdout).lines())
        {
            match line.map_err(not_started)?.as_str() {
                "ready" if !servers.list.is_empty() => return Ok(servers),
                line => servers.list.push(read(line)?),
            }
        }
        Err(Problem::new(
            "the servers ended before they were ready; see above",
        ))
    }

    pub(super) fn list(&self) -> &[Server] {
        &self.list
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of its input is what it waits for.
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

fn read(line: &str) -> Result<Server> {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, kind @ ("shared" | "embedded"), url] = words[..] else {
        return Err(Problem::new(format!(
            "the servers said {line:?}, which is no name, kind and URL"
        )));
    };
    Ok(Server {
        name: name.to_owned(),
        shared: kind == "shared",
        url: url.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_a_kind_and_a_url() {
        let server = read("redis shared redis://127.0.0.1:1?fleet=a").unwrap();
        assert_eq!((server.name.as_str(), server.shared), ("redis", true));
        assert_eq!(server.url, "redis://127.0.0.1:1?fleet=a");
        assert!(!read("memory embedded memory:").unwrap().shared);
        for line in ["", "memory", "memory perhaps memory:", "a shared b c"] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_ends_before_it_is_ready_is_a_problem() {
        for program in ["true", "ringhold-has-no-such-program"] {
            assert!(Servers::start(Path::new(program)).is_err(), "{program}");
        }
    }
}
