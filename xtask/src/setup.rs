//! Installs what a fresh Debian machine lacks, and only that.

mod python;

use std::path::Path;

pub(crate) use self::python::valkey;
use crate::run::{Call, Problem, Result};

/// A program, or an absolute path to a file, from the system's packages.
struct Need {
    name: &'static str,
    packages: &'static [&'static str],
}

impl Need {
    fn is_met(&self) -> bool {
        if self.name.starts_with('/') {
            Path::new(self.name).exists()
        } else {
            on_path(self.name)
        }
    }
}

/// This program was linked, so some linker is there; the cargo tools below also compile C, and call
/// the compiler by this name.
///
/// The tests of Redis and etcd start servers of their own, some of them with another collation, which
/// `localedef` makes from the source of a locale. The client of etcd is built with protoc, which
/// reads include files of its own. Instructions are counted by valgrind. libFuzzer, which
/// `cargo xtask fuzz` builds, is C++.
const SYSTEM: &[Need] = &[
    Need {
        name: "cc",
        packages: &["gcc", "libc6-dev"],
    },
    Need {
        name: "c++",
        packages: &["g++"],
    },
    Need {
        name: "redis-server",
        packages: &["redis-server"],
    },
    Need {
        name: "localedef",
        packages: &["libc-bin"],
    },
    Need {
        name: "/usr/share/i18n/locales/en_US",
        packages: &["locales"],
    },
    Need {
        name: "etcd",
        packages: &["etcd-server"],
    },
    Need {
        name: "protoc",
        packages: &["protobuf-compiler", "libprotobuf-dev"],
    },
    Need {
        name: "valgrind",
        packages: &["valgrind"],
    },
];

/// A cargo subcommand, built from source at the version that CI uses.
pub(crate) struct Tool {
    command: &'static str,
    package: &'static str,
    version: &'static str,
}

pub(crate) const NEXTEST: Tool = Tool {
    command: "nextest",
    package: "cargo-nextest",
    version: "0.9.143",
};
pub(crate) const DENY: Tool = Tool {
    command: "deny",
    package: "cargo-deny",
    version: "0.20.2",
};
pub(crate) const FUZZ: Tool = Tool {
    command: "fuzz",
    package: "cargo-fuzz",
    version: "0.13.1",
};
pub(crate) const HACK: Tool = Tool {
    command: "hack",
    package: "cargo-hack",
    version: "0.6.46",
};

pub(crate) const MUTANTS: Tool = Tool {
    command: "mutants",
    package: "cargo-mutants",
    version: "27.1.0",
};

/// What to do about system packages that are absent.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Install(Vec<&'static str>),
    Ask(String),
}

/// Installs everything that the tests need.
pub(crate) fn for_tests() -> Result<()> {
    run(&[NEXTEST])?;
    python::grpc_clients()
}

/// Installs the system's packages and the cargo tools that are absent.
pub(crate) fn run(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Need> = SYSTEM.iter().filter(|need| !need.is_met()).collect();
    match plan(&missing, is_root(), on_path("apt-get")) {
        Plan::Nothing => {}
        Plan::Ask(text) => return Err(Problem::new(text)),
        Plan::Install(packages) => install_packages(&packages)?,
    }
    tools.iter().try_for_each(install_tool)
}

fn plan(missing: &[&Need], root: bool, apt: bool) -> Plan {
    if missing.is_empty() {
        return Plan::Nothing;
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    if root && apt {
        return Plan::Install(packages);
    }
    let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    let names = names.join(", ");
    Plan::Ask(if apt {
        let packages = packages.join(" ");
        format!("missing: {names}; install it with `sudo apt-get install {packages}`, then run this again")
    } else {
        format!("missing: {names}; install it with this system's package manager, then run this again")
    })
}

fn install_packages(packages: &[&str]) -> Result<()> {
    eprintln!("installing with apt-get: {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        Call::new("apt-get", arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .advice("look at apt-get's message above; with no network, install the packages by hand")
            .run()
    };
    apt(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    apt(&install)
}

fn install_tool(tool: &Tool) -> Result<()> {
    let Tool {
        command,
        package,
        version,
    } = tool;
    if let Ok(found) = Call::cargo([command, "--version"]).silent().output() {
        eprintln!("{package}: {}", found.lines().next().unwrap_or_default());
        return Ok(());
    }
    eprintln!("{package} is missing: building {version} from source, which takes some minutes");
    Call::cargo(["install", package, "--locked", "--version", version])
        .advice("install it by hand with that command, then run this again")
        .run()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;

    // The owner of a process's own entry is its effective user.
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need = Need {
        name: "cc",
        packages: &["gcc", "libc6-dev"],
    };

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        assert_eq!(plan(&[], true, true), Plan::Nothing);
        assert_eq!(plan(&[], false, false), Plan::Nothing);
    }

    #[test]
    fn root_on_debian_installs_the_packages_of_what_is_missing() {
        assert_eq!(
            plan(&[&NEED], true, true),
            Plan::Install(vec!["gcc", "libc6-dev"])
        );
    }

    #[test]
    fn others_are_told_what_to_run() {
        let Plan::Ask(text) = plan(&[&NEED], false, true) else {
            panic!("it must ask")
        };
        assert!(text.contains("sudo apt-get install gcc libc6-dev"), "{text}");
        let Plan::Ask(text) = plan(&[&NEED], true, false) else {
            panic!("it must ask")
        };
        assert!(text.contains("cc") && text.contains("package manager"), "{text}");
    }

    #[test]
    fn need_is_a_program_on_the_path_or_an_absolute_path() {
        let is_met = |name| Need { name, packages: &[] }.is_met();
        assert!(is_met("sh") && is_met("/usr"));
        assert!(!is_met("ringhold-has-no-such-program") && !is_met("/usr/no-such-file"));
    }
}
