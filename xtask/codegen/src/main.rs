//! `cargo xtask codegen`: the Rust code of the protocol files, made by protox instead of protoc.
//!
//! A package of its own, so that nothing else waits for a compiler of protocol files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use prost::Message as _;

/// Where the protocol files lie, seen from the root of the repository.
const PROTO: &str = "adapters/grpc/proto";
const FILE: &str = "ringhold/v1/peer.proto";
/// Where the code goes.
const OUT: &str = "adapters/grpc/src/generated";
const DESCRIPTORS: &str = "ringhold.v1.bin";
const CODE: &str = "ringhold.v1.rs";
const HEAD: &str = "// Made from proto/ by `cargo xtask codegen`; changes here are lost.\n\n";

/// One file and what belongs into it.
type Made = (PathBuf, Vec<u8>);

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("error: {other:?} is not known; there is `--check`");
            return ExitCode::FAILURE;
        }
    };
    let outcome = make().and_then(|made| if check { compare(&made) } else { write(&made) });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<Vec<Made>, Box<dyn Error>> {
    let descriptors = protox::compile([FILE], [PROTO])?;
    let bytes = descriptors.encode_to_vec();
    let folder = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(folder.path())
        .bytes(".ringhold.v1")
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    let code = with_reasons(&fs::read_to_string(folder.path().join(CODE))?);
    let out = Path::new(OUT);
    Ok(vec![
        (out.join(CODE), format!("{HEAD}{code}").into_bytes()),
        (out.join(DESCRIPTORS), bytes),
    ])
}

/// The code as the rules of the house want it: a reason beside lints that are silenced, and none silenced
/// where nothing is found.
fn with_reasons(code: &str) -> String {
    let reason = "reason = \"made by a generator\"";
    code.replace(
        "        clippy::let_unit_value,\n    )]",
        &format!("        clippy::let_unit_value,\n        {reason},\n    )]"),
    )
    .replace("                    #[allow(non_camel_case_types)]\n", "")
}

fn write(made: &[Made]) -> Result<(), Box<dyn Error>> {
    for (path, bytes) in made {
        fs::write(path, bytes)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn compare(made: &[Made]) -> Result<(), Box<dyn Error>> {
    for (path, bytes) in made {
        if fs::read(path).ok().as_ref() != Some(bytes) {
            let path = path.display();
            return Err(format!("{path} is not what proto/ says; run `cargo xtask codegen`").into());
        }
    }
    Ok(())
}
