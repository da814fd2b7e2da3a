//! Files that change while they are in use.

use std::fs::File;
use std::time::Duration;

use ringhold_testkit::{Log, wait_for};
use tokio::time::{advance, pause, resume};

use super::super::{Looking, look};
use super::pki::{Authority, Folder};
use super::*;

/// Lets the time pass after which files are looked at again.
async fn a_second_later() {
    pause();
    advance(Duration::from_secs(1)).await;
    resume();
}

/// Whether the server shows a certificate of `target`.
async fn is(client: &Secured, server: &Secured, target: &str) -> bool {
    meet(client, server, target).await.0.is_ok()
}

#[tokio::test]
async fn the_next_handshake_shows_the_new_certificate() {
    let ours = Authority::new("ours");
    let (one, two) = (
        Folder::new(&ours, &ours.sign(&["eu-1"])),
        Folder::new(&ours, &ours.sign(&["eu-2"])),
    );
    let (server, client) = (load(&one.mutual()), load(&two.mutual()));
    let (mut near, mut far) = match meet(&client, &server, "eu-1").await {
        (Ok(near), Ok((far, _))) => (near, far),
        other => panic!("{other:?}"),
    };
    one.put(&ours.sign(&["eu-9"]));
    a_second_later().await;
    assert!(is(&client, &server, "eu-9").await);
    assert!(!is(&client, &server, "eu-1").await);
    talk(&mut near, &mut far).await;

    // The client's own are looked at when it connects.
    two.put(&ours.sign(&["eu-3"]));
    a_second_later().await;
    let (_, caller) = meet(&client, &server, "eu-9").await.1.unwrap();
    assert!(caller.may_be(&node("eu-3")) && !caller.may_be(&node("eu-2")));
}

#[tokio::test(start_paused = true)]
async fn one_handshake_in_a_second_looks() {
    let ours = Authority::new("ours");
    let server = load(&Folder::new(&ours, &ours.sign(&["eu-1"])).mutual());
    assert!(!server.is_due());
    advance(Duration::from_millis(999)).await;
    assert!(!server.is_due());
    advance(Duration::from_millis(1)).await;
    assert!(server.is_due());
    assert!(!server.is_due());
}

/// A disk that does not answer takes one thread, and not one more with each second.
#[tokio::test(start_paused = true)]
async fn nobody_looks_while_somebody_does() {
    let ours = Authority::new("ours");
    let server = load(&Folder::new(&ours, &ours.sign(&["eu-1"])).mutual());
    let looking = Looking::begin(&server.current).unwrap();
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        assert!(server.look_if_due().is_none());
    }
    drop(looking);
    advance(Duration::from_secs(1)).await;
    let look = server.look_if_due().expect("it is due");
    within("the look", look).await.unwrap();
    advance(Duration::from_secs(1)).await;
    assert!(server.look_if_due().is_some(), "one that has ended is over");
}

#[tokio::test]
async fn files_of_no_use_leave_the_old_ones_in_use() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let observer = Folder::new(&ours, &ours.sign(&[]));
    let (server, client) = (load(&folder.mutual()), load(&observer.mutual()));
    let next = ours.sign(&["eu-9"]);
    // Half of the pair, then bytes, then nothing at all.
    folder.write("certificate.pem", &next.certificate);
    a_second_later().await;
    assert!(is(&client, &server, "eu-1").await);
    folder.write("certificate.pem", "-----BEGIN");
    a_second_later().await;
    assert!(is(&client, &server, "eu-1").await);
    std::fs::remove_file(folder.path("certificate.pem")).unwrap();
    a_second_later().await;
    assert!(is(&client, &server, "eu-1").await);
    folder.put(&ours.expired(&["eu-9"]));
    a_second_later().await;
    assert!(is(&client, &server, "eu-1").await);
    folder.put(&next);
    a_second_later().await;
    assert!(is(&client, &server, "eu-9").await);
}

/// Though nobody connects: connections live long.
#[tokio::test]
async fn a_new_token_is_taken() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write("token", "correct-horse-battery");
    let (server, client) = (load(&folder.token()), load(&folder.caller_token()));
    let (_, caller) = meet(&client, &server, "eu-1").await.1.unwrap();
    let shown = || {
        let mut headers = http::HeaderMap::new();
        client.authorize(&mut headers);
        headers
    };
    let old = shown();
    server.admit(&caller, &old).unwrap();
    folder.write("token", "another-horse-battery");
    a_second_later().await;
    wait_for("the new token", Duration::from_secs(10), async || {
        let shown = shown();
        if shown == old {
            return Err("the client shows the old one".to_owned());
        }
        server.admit(&caller, &shown).map_err(|error| error.to_string())
    })
    .await;
    server.admit(&caller, &old).unwrap_err();
}

/// A look that failed is repeated, though the file looks the same from outside: it may be the clock that was
/// wrong, or the disk.
#[tokio::test]
async fn what_was_of_no_use_is_tried_again() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let observer = Folder::new(&ours, &ours.sign(&[]));
    let (server, client) = (load(&folder.mutual()), load(&observer.mutual()));
    let next = ours.sign(&["eu-9"]);
    let path = folder.path("certificate.pem");
    let good = next.certificate.clone().into_bytes();
    folder.put(&next);
    std::fs::write(&path, vec![b'x'; good.len()]).unwrap();
    let then = std::fs::metadata(&path).unwrap().modified().unwrap();
    a_second_later().await;
    assert!(is(&client, &server, "eu-1").await);
    std::fs::write(&path, good).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(then)
        .unwrap();
    a_second_later().await;
    assert!(is(&client, &server, "eu-9").await);
}

#[test]
fn a_bad_file_is_warned_of_once() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let secured = load(&folder.mutual());
    let log = Log::default();
    let warnings = || log.text().matches("WARN").count();
    let _listening = log.listen();
    let look = || look(&secured.security, &secured.current);
    look();
    assert_eq!(warnings(), 0);
    folder.write("key.pem", "nothing");
    look();
    look();
    assert_eq!(warnings(), 1);
    folder.write("key.pem", "nothing either");
    look();
    assert_eq!(warnings(), 2);
    folder.put(&ours.sign(&["eu-1"]));
    look();
    look();
    assert_eq!(warnings(), 2);
    let said = log.text();
    assert!(
        said.contains("no private key") && said.contains("read anew"),
        "{said}"
    );
}
