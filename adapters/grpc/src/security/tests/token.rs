//! The secret that callers show.

use std::error::Error as _;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use ringhold_core::ErrorKind;

use super::pki::{Authority, Folder};
use super::*;

const SECRET: &str = "correct-horse-battery";

fn folder(token: &str) -> Folder {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    folder.write("token", token);
    folder
}

#[tokio::test]
async fn the_server_shows_a_certificate_and_the_client_a_token() {
    let folder = folder(&format!("  {SECRET}\r\n"));
    let (server, client) = (load(&folder.token()), load(&folder.caller_token()));
    let (io, accepted) = meet(&client, &server, "eu-1").await;
    let (mut near, (mut far, caller)) = (io.unwrap(), accepted.unwrap());
    talk(&mut near, &mut far).await;
    assert!(caller.may_be(&node("anyone")));

    let mut headers = HeaderMap::new();
    client.authorize(&mut headers);
    let header = &headers[AUTHORIZATION];
    assert_eq!(header, &format!("Bearer {SECRET}"));
    assert!(header.is_sensitive() && !format!("{headers:?}").contains(SECRET));
    server.admit(&caller, &headers).unwrap();
}

#[tokio::test]
async fn other_tokens_are_refused() {
    let folder = folder(SECRET);
    let secured = load(&folder.token());
    let (_, accepted) = meet(&secured, &secured, "eu-1").await;
    let (_, caller) = accepted.unwrap();
    let admit = |shown: &[&str]| {
        let mut headers = HeaderMap::new();
        for shown in shown {
            headers.append(AUTHORIZATION, HeaderValue::from_str(shown).unwrap());
        }
        secured.admit(&caller, &headers)
    };
    let whole = format!("Bearer {SECRET}");
    admit(&[&whole]).unwrap();
    admit(&[&whole.replace("Bearer", "bearer")]).unwrap();
    let (longer, shorter) = (format!("{whole}y"), &whole[..whole.len() - 1]);
    let other = whole.replace("horse", "house");
    for bad in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[SECRET],
        &[&longer],
        &[shorter],
        &[&other],
        &[&whole.replace("Bearer", "Basic")],
        &[&whole, &whole],
    ] {
        let error = admit(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{bad:?}");
        assert!(!error.is_retryable(), "{bad:?}");
        assert!(error.context().contains("token"), "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET) && error.source().is_none());
    }
}

#[test]
fn without_a_token_nothing_is_shown_or_asked() {
    let plain = load(&Security::Plain);
    let mut headers = HeaderMap::new();
    plain.authorize(&mut headers);
    assert!(headers.is_empty());
    let caller = Caller::anyone("127.0.0.1:1".parse().unwrap());
    plain.admit(&caller, &headers).unwrap();
}

#[test]
fn what_a_token_takes() {
    for good in ["x".repeat(16), "~!".repeat(2048), format!("\n{SECRET}\n")] {
        load(&folder(&good).token());
    }
    for bad in [
        String::new(),
        " ".repeat(20),
        "x".repeat(15),
        "x".repeat(4097),
        "correct horse battery".to_owned(),
        "correct-hörse-battery".to_owned(),
        "correct-horse\nbattery".to_owned(),
    ] {
        let error = Secured::load(&folder(&bad).token(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad:?}");
        assert!(error.context().contains("16 to 4096"), "{error}");
        assert!(!format!("{error:?}").contains("correct"), "{error:?}");
    }
}
