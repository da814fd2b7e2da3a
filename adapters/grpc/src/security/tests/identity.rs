//! Which node a certificate is.

use ringhold_core::ErrorKind;

use super::pki::{Authority, Folder, Signed};
use super::*;

const ANYWHERE: &str = "0.0.0.0:0";

/// Who the holder of a certificate may be, for a server of the fleet `arena`.
async fn caller(ours: &Authority, signed: &Signed) -> Caller {
    let server = Folder::new(ours, &ours.sign(&["eu-1"]));
    let client = Folder::new(ours, signed);
    let (_, accepted) = meet(&load(&client.mutual()), &load(&server.mutual()), "eu-1").await;
    accepted.unwrap().1
}

#[tokio::test]
async fn names_that_are_nodes() {
    let ours = Authority::new("ours");
    for (names, may, may_not) in [
        (&["eu-2"][..], &["eu-2", "Eu-2"][..], &["eu-1", "eu-2.arena"][..]),
        (&["ringhold://arena/*"], &["eu-1", "eu-2", "any"], &[]),
        (
            &["ringhold://arena/eu-2", "eu-3"],
            &["eu-2", "eu-3"],
            &["EU-2", "eu-1"],
        ),
        (&["ringhold://other/*", "ringhold://other/eu-2"], &[], &["eu-2"]),
        (&["*.example"], &[], &["a.example", "eu-2"]),
        (&["https://arena/eu-2"], &[], &["eu-2"]),
        // An observer's.
        (&[], &[], &["eu-1", "eu-2"]),
    ] {
        let caller = caller(&ours, &ours.sign(names)).await;
        for id in may {
            assert!(caller.may_be(&node(id)), "{names:?} {id}");
        }
        for id in may_not {
            assert!(!caller.may_be(&node(id)), "{names:?} {id}");
        }
    }
}

/// The fleet's own URI covers a server, and another fleet's does not, but for a client that has no fleet.
#[tokio::test]
async fn servers_that_share_a_certificate() {
    let ours = Authority::new("ours");
    let server = Folder::new(&ours, &ours.sign(&["ringhold://arena/*"]));
    let client = Folder::new(&ours, &ours.sign(&[]));
    let server = load(&server.mutual());
    let other = FleetName::new("other").unwrap();
    for (fleet, well) in [(Some(&fleet()), true), (None, true), (Some(&other), false)] {
        let client = Secured::load(&client.mutual(), fleet).unwrap();
        let (io, _) = meet(&client, &server, "eu-7").await;
        assert_eq!(io.is_ok(), well, "{fleet:?}: {io:?}");
    }
}

#[test]
fn who_may_serve() {
    let ours = Authority::new("ours");
    let may = |signed: &Signed| {
        let folder = Folder::new(&ours, signed);
        load(&folder.mutual()).may_serve(&node("eu-1"), ANYWHERE.parse().unwrap())
    };
    may(&ours.sign(&["eu-1"])).unwrap();
    may(&ours.sign(&["ringhold://arena/*"])).unwrap();
    for (signed, words) in [
        (ours.sign(&["eu-2"]), "for eu-2; to serve node eu-1"),
        (ours.sign(&[]), "for no node of this fleet; to serve node eu-1"),
        (ours.for_callers(&["eu-1"]), "for another use"),
    ] {
        let error = may(&signed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().contains(words), "{error}");
    }
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write("token", "correct-horse-battery");
    load(&folder.token())
        .may_serve(&node("eu-1"), ANYWHERE.parse().unwrap())
        .unwrap();
    let error = load(&folder.caller_token())
        .may_serve(&node("eu-1"), ANYWHERE.parse().unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.context().contains("needs `certificate`"), "{error}");
}
