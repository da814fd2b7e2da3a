//! Every body over its seeds, and over each beginning of them: on any toolchain, without a fuzzer.

use std::fs;
use std::path::Path;

use ringhold_fuzz::TARGETS;

#[test]
fn seeds_and_their_beginnings_break_no_promise() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut seeds = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // What a run has found here is thousands of files, and each of them was run then.
            let is_seed = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
            if !is_seed {
                continue;
            }
            seeds += 1;
            let bytes = fs::read(&path).unwrap();
            for len in 0..=bytes.len() {
                run(&bytes[..len]);
            }
        }
        assert!(seeds > 0, "{name} has nothing to start from");
    }
}

#[test]
fn each_target_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    files.retain(|name| cfg!(feature = "url") || name != "url");
    assert!(TARGETS.iter().map(|(name, _)| *name).eq(files.iter()));
}
