//! Two processes of ours.

use ringhold_core::ErrorKind;
use tokio::io::AsyncReadExt as _;

use super::pki::{Authority, Folder};
use super::*;

#[tokio::test]
async fn both_sides_know_each_other() {
    let ours = Authority::new("ours");
    let (one, two) = (
        Folder::new(&ours, &ours.sign(&["eu-1"])),
        Folder::new(&ours, &ours.sign(&["eu-2", "ringhold://arena/under_score"])),
    );
    let (server, client) = (load(&one.mutual()), load(&two.mutual()));
    let (io, accepted) = meet(&client, &server, "eu-1").await;
    let (mut near, (mut far, caller)) = (io.unwrap(), accepted.unwrap());
    for io in [&near, &far] {
        let alpn = match io {
            Io::Client(tls) => tls.get_ref().1.alpn_protocol(),
            Io::Server(tls) => tls.get_ref().1.alpn_protocol(),
            Io::Plain(_) => None,
        };
        assert_eq!(alpn, Some(&b"h2"[..]));
    }
    assert!(caller.address().ip().is_loopback());
    assert!(
        caller.may_be(&node("eu-2")) && caller.may_be(&node("EU-2")) && caller.may_be(&node("under_score"))
    );
    assert!(!caller.may_be(&node("eu-1")) && !caller.may_be(&node("eu-20")));
    talk(&mut near, &mut far).await;
}

#[tokio::test]
async fn plain_is_for_loopback() {
    let plain = load(&Security::Plain);
    let (io, accepted) = meet(&plain, &plain, "eu-1").await;
    let (mut near, (mut far, caller)) = (io.unwrap(), accepted.unwrap());
    assert!(caller.may_be(&node("anyone")));
    talk(&mut near, &mut far).await;

    for good in [
        "127.0.0.1:7000",
        "127.9.9.9:1",
        "[::1]:7000",
        "[::ffff:127.0.0.1]:1",
    ] {
        plain.may_serve(&node("eu-1"), good.parse().unwrap()).unwrap();
    }
    for bad in ["0.0.0.0:7000", "[::]:7000", "10.0.0.1:7000", "[fe80::1]:7000"] {
        let error = plain.may_serve(&node("eu-1"), bad.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().contains("MutualTls"), "{error}");
    }
}

/// A server that has another node's certificate is not spoken to.
#[tokio::test]
async fn another_node_is_not_the_one_that_is_meant() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write("token", "correct-horse-battery");
    for security in [folder.mutual(), folder.token()] {
        let both = load(&security);
        let (io, _) = meet(&both, &both, "eu-2").await;
        let error = io.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_retryable());
        assert!(
            error.context().contains("for eu-1, and not for node eu-2"),
            "{error}"
        );
    }
}

/// Under TLS 1.3 the client has connected by then.
#[tokio::test]
async fn a_client_that_is_refused_is_told_when_it_reads() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let one = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let two = Folder::new(&others, &others.sign(&["eu-2"]));
    two.write("ca.pem", &format!("{}{}", ours.pem(), others.pem()));
    let (server, client) = (load(&one.mutual()), load(&two.mutual()));
    let (io, accepted) = meet(&client, &server, "eu-1").await;
    let (mut io, refused) = (io.unwrap(), accepted.unwrap_err());
    assert!(refused.context().contains("none of the authorities"), "{refused}");
    let error = within("an alert", io.read_u8()).await.unwrap_err();
    let error: &ringhold_core::Error = error.get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.is_retryable());
    assert!(error.context().contains("does not trust"), "{error}");
}

#[tokio::test]
async fn a_host_that_is_none_is_said() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let client = load(&folder.mutual());
    let (near, _far) = pair().await;
    let error = client.connect(near, "a host", &node("eu-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.context().contains("\"a host\""), "{error}");
}
