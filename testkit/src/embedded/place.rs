//! Paths that cannot be one, a path that is opened twice, and a disk that is full.

use std::fs;
use std::path::Path;
use std::process::Command;

use ringhold_core::{Error, ErrorKind, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::{Make, WAIT_MAX, wait_for};

const OTHER: &str = "RINGHOLD_OTHER_PATH";
const FULL: &str = "RINGHOLD_FULL_PATH";

/// Opens `path`, which must fail.
async fn refused(harness: &dyn EmbeddedHarness, path: &Path) -> Error {
    match harness.open(&EmbeddedOpening::new(path)).await {
        Ok(backend) => panic!("{} was opened: {backend:?}", path.display()),
        Err(error) => error,
    }
}

/// What cannot be a store is told, and nothing is made of it. `is_folder` says what stores are.
pub async fn bad_places_are_told(harness: &dyn EmbeddedHarness, folder: &Path, is_folder: bool) {
    let (file, inner) = (folder.join("a file"), folder.join("a folder"));
    fs::write(&file, "nothing of ours").expect("a file");
    fs::create_dir(&inner).expect("a folder");
    let (other, own) = if is_folder {
        (&file, &inner)
    } else {
        (&inner, &file)
    };
    let error = refused(harness, other).await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let error = refused(harness, &folder.join("missing").join("store")).await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.context().contains("make it first"), "{error}");
    let error = refused(harness, &file.join("store")).await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(!folder.join("missing").exists());
    if is_folder {
        harness
            .open(&EmbeddedOpening::new(own))
            .await
            .expect("an empty folder is a new store");
    } else {
        let error = refused(harness, own).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        fs::write(&file, "").expect("a file");
        let error = refused(harness, own).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// One path is one store in a process, by whatever name, also while it is being closed; and no other process
/// gets it. `command` starts this program again, where it calls [`other_process`].
pub async fn one_path_is_one_store(
    harness: &dyn EmbeddedHarness,
    folder: &Path,
    command: impl Fn() -> Command,
) {
    let make = Make::new("one path");
    let plain = EmbeddedOpening::new(folder.join("store"));
    let mut around = plain.clone();
    fs::create_dir(folder.join("x")).expect("a folder");
    around.path = folder.join("x").join("..").join("store");
    let (first, second) = (harness.open(&plain), harness.open(&around));
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.expect("a new store"), second.expect("the same store"));
    let player = make.player();
    let login = make.login(&player, &make.owner(), Ttl::MAX);
    first.sessions.create(login).await.expect("a login");
    assert_eq!(second.sessions.find(&player).await.expect("a look").len(), 1);

    let output = command().env(OTHER, &plain.path).output().expect("this program");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("other: unavailable"), "{told}");
    assert!(told.contains("open already, in another process"), "{told}");

    drop((first, second));
    for _ in 0..20 {
        let backend = harness.open(&plain).await.expect("it opens again at once");
        // Whoever drops the last handle closes it, here on another thread.
        let closing = tokio::task::spawn_blocking(move || drop(backend));
        let backend = harness.open(&around).await.expect("it waits for the closing");
        assert_eq!(backend.sessions.find(&player).await.expect("a look").len(), 1);
        closing.await.expect("no panic");
    }
}

/// Opens what this process's parent has open, where it was started by [`one_path_is_one_store`].
pub async fn other_process(harness: &dyn EmbeddedHarness) {
    if let Ok(path) = std::env::var(OTHER) {
        let error = refused(harness, Path::new(&path)).await;
        println!("other: {}: {error}", error.kind());
    }
}

/// A full disk is told as such, loses nothing that was acknowledged, and works again when there is room.
/// `command` starts this program again with a limit for its files of so many KiB that it may raise, where it
/// calls [`full_disk`].
pub fn a_full_disk_is_survived(folder: &Path, program: &str, arguments: &[&str]) {
    // A program that is over the limit gets a signal; who ignores it gets an error, as of a full disk.
    let script = "trap '' XFSZ; ulimit -S -f 6144; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, program])
        .args(arguments)
        .env(FULL, folder.join("full"))
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("full: survived"),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Fills a disk, where this process was started by [`a_full_disk_is_survived`]; `make_room` raises the limit.
pub async fn full_disk(harness: &dyn EmbeddedHarness, make_room: impl FnOnce()) {
    let Ok(path) = std::env::var(FULL) else { return };
    let make = Make::new("full disk");
    let opening = EmbeddedOpening::new(path);
    let backend = harness.open(&opening).await.expect("a new store");
    let owner = make.owner();
    let mut kept = Vec::new();
    let failure = loop {
        let login = make
            .login(&make.player(), &owner, Ttl::MAX)
            .with_data(vec![kept.len().to_le_bytes()[0]; 60_000]);
        match backend.sessions.create(login).await {
            Ok(created) => kept.push(created.session),
            Err(error) => break error,
        }
        assert!(kept.len() < 2_000, "the disk is never full");
    };
    assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure:?}");
    assert!(!kept.is_empty());
    make_room();
    let session = kept.first().expect("one was kept");
    // The same write each time, so that one whose answer was lost does not stand in the way.
    let save = make.save(session, b"again");
    wait_for("the store to work again", WAIT_MAX, async || {
        backend.sessions.save(save.clone()).await
    })
    .await;
    for session in kept.iter().skip(1) {
        let found = backend.sessions.get(&session.id).await.expect("a look");
        assert_eq!(found.map(|found| found.data), Some(session.data.clone()));
    }
    let faults = harness.faults(&opening).await.expect("a look");
    assert!(faults.is_empty(), "{faults:#?}");
    println!("full: survived {} sessions and {failure}", kept.len());
}
