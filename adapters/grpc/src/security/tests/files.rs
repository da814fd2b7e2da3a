//! Files that cannot be used.

use std::error::Error as _;

use ringhold_core::ErrorKind;

use super::pki::{Authority, Folder};
use super::*;

/// Loads what a change of one good file comes to, and looks for `words` in the error.
fn is_said(file: &str, text: &str, words: &str) {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write(file, text);
    let error = Secured::load(&folder.mutual(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(!error.is_retryable());
    assert!(error.context().contains(words), "{error}, without {words:?}");
    let said = format!("{error} {error:?}");
    assert!(!said.contains("SECRET"), "{said}");
}

#[test]
fn each_is_said_in_words_of_its_own() {
    let ours = Authority::new("ours");
    let signed = ours.sign(&["eu-1"]);
    is_said("ca.pem", "", "holds no certificate");
    is_said("ca.pem", &signed.key, "holds no certificate");
    is_said("ca.pem", &"SECRET".repeat(200_000), "more than 1 MiB");
    is_said("ca.pem", "-----BEGIN CERTIFICATE-----\nSECRET", "not PEM");
    is_said(
        "certificate.pem",
        "-----BEGIN CERTIFICATE-----\n!SECRET!\n-----END CERTIFICATE-----\n",
        "not PEM",
    );
    is_said(
        "key.pem",
        "-----BEGIN PRIVATE KEY-----\n!SECRET!\n-----END PRIVATE KEY-----\n",
        "no private key",
    );
    is_said("key.pem", "-----BEGIN PRIVATE KEY-----SECRET", "no private key");
    is_said("key.pem", &signed.certificate, "no private key");
    is_said("key.pem", &signed.key, "does not belong to the private key");
    is_said("certificate.pem", &signed.certificate, "wrong signature");
    // A certificate in form only.
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    is_said("ca.pem", hollow, "no certificate that can be used");
    is_said("certificate.pem", hollow, "damaged");
}

#[test]
fn this_sides_own_certificate_is_checked() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    for (signed, words) in [
        (ours.expired(&["eu-1"]), "has expired"),
        (ours.early(&["eu-1"]), "not valid yet"),
        (others.sign(&["eu-1"]), "none of the authorities"),
        (ours.for_servers(&["eu-1"]), "another use"),
    ] {
        let folder = Folder::new(&ours, &signed);
        let error = Secured::load(&folder.mutual(), Some(&fleet())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().contains(words), "{error}");
        assert!(error.context().contains("certificate.pem"), "{error}");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    for (path, words) in [
        (folder.path("absent"), "cannot be read"),
        (folder.path("."), "is no file"),
    ] {
        let Security::MutualTls { ca, certificate, .. } = folder.mutual() else {
            unreachable!()
        };
        let security = Security::MutualTls {
            ca,
            certificate,
            key: path,
        };
        let error = Secured::load(&security, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().contains(words), "{error}");
        assert_eq!(error.source().is_some(), words == "cannot be read");
    }
}

#[test]
fn a_certificate_needs_its_key() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write("token", "correct-horse-battery");
    let Security::Token {
        ca,
        certificate,
        token,
        ..
    } = folder.token()
    else {
        unreachable!()
    };
    let security = Security::Token {
        ca,
        certificate,
        key: None,
        token,
    };
    let error = Secured::load(&security, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.context().contains("one is missing"), "{error}");
}

#[test]
fn debug_shows_no_secret() {
    let ours = Authority::new("ours");
    let signed = ours.sign(&["eu-1"]);
    let folder = Folder::new(&ours, &signed);
    folder.write("token", "correct-horse-battery");
    let secured = load(&folder.token());
    let shown = format!("{secured:?} {secured:#?} {:?}", secured.loaded());
    assert!(shown.contains("key.pem"), "{shown}");
    assert!(!shown.contains("correct-horse") && !shown.contains(signed.key.lines().nth(1).unwrap()));
}

#[cfg(unix)]
#[test]
fn a_secret_that_all_can_read_is_noticed() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::files::is_exposed;

    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let key = folder.path("key.pem");
    for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_exposed(&key), exposed, "{mode:o}");
    }
}
