use ringhold::{Address, Error, ErrorKind, Fence, NodeId, Nonce, PlayerId, SessionId};

use super::*;

#[test]
fn requests_are_what_they_write() {
    let player = PlayerId::new("a".repeat(128)).unwrap();
    let session = SessionId::new(player.partition(), [7; 16]);
    let requests = [
        Request::Login(player.clone(), Entry::Ordinary),
        Request::Login(player.clone(), Entry::Resume(session)),
        Request::Login(player, Entry::Take),
        Request::Move(Step { dx: i32::MIN, dy: 1 }),
        Request::Tell(PlayerId::new("bob").unwrap(), "  so  it is ".to_owned()),
        Request::Tell(PlayerId::new("bob").unwrap(), "x".repeat(TEXT_BYTES_MAX)),
        Request::Quit,
    ];
    for request in requests {
        let line = request.to_string();
        assert!(line.len() < LINE_BYTES_MAX);
        assert_eq!(line.parse(), Ok(request));
    }
    assert!(
        "TAKE".parse::<SessionId>().is_err(),
        "no session is taken for the word"
    );
}

#[test]
fn replies_are_what_they_write() {
    let session = "35a-00112233445566778899aabbccddeeff".parse().unwrap();
    let position = Position { x: i64::MIN, y: 3 };
    let here = |new, seed, epoch, version| Reply::Here {
        session,
        fence: Fence {
            epoch,
            nonce: Nonce::from_bytes([seed; 16]),
        },
        new,
        position,
        version,
    };
    for reply in [
        here(true, 0, 1, 1),
        here(false, 0xff, u64::MAX, u64::MAX),
        Reply::Moved(Address::new("127.0.0.1:4000").unwrap()),
        Reply::Pos(position, 9),
        Reply::Told(PlayerId::new("bob").unwrap()),
        Reply::message(
            Some(NodeId::new("a".repeat(64)).unwrap()),
            "x".repeat(70_000).as_bytes(),
        ),
        Reply::message(Some(NodeId::new("-").unwrap()), b"  so  it is "),
        Reply::message(None, b""),
        Reply::message(None, b"\xff\r\n\0 \xc3\xa9"),
        Reply::Bye("fenced".to_owned()),
        Reply::kicked(""),
        Reply::kicked(&"for\ngood ".repeat(100)),
        Reply::refusal("usage", "say something else"),
    ] {
        let line = reply.to_string();
        assert!(
            line.len() < LINE_BYTES_MAX && !line.contains(char::is_control),
            "{line:?}"
        );
        if let Reply::Bye(reason) = &reply {
            assert_eq!(line.parse(), Ok(Reply::Bye(reason.trim().to_owned())));
        } else {
            assert_eq!(line.parse(), Ok(reply));
        }
    }
    for bad in [
        "",
        "POS",
        "POS 1 2",
        "POS 1 2 x",
        "HERE x new 0 0 1",
        "HERE 35a-00112233445566778899aabbccddeeff new 0 0 1",
        "HERE 35a-00112233445566778899aabbccddeeff 1 +123456789012345678901234567890a new 0 0 1",
        "HERE 35a-00112233445566778899aabbccddeeff 1 00 new 0 0 1",
        "HEREx",
        "MOVED",
        "FROM eu-1",
        "FROM a/b text",
        "BYE ",
    ] {
        assert!(bad.parse::<Reply>().is_err(), "{bad}");
    }
}

#[test]
fn garbage_is_answered_with_what_to_say() {
    let long = format!("LOGIN {}", "a".repeat(129));
    let wordy = format!("TELL bob {}", "x".repeat(TEXT_BYTES_MAX + 1));
    for bad in [
        "",
        "HELLO",
        "login ada",
        "LOGIN",
        "LOGIN a b",
        "LOGIN a take",
        "LOGIN a b c",
        "LOGIN a TAKE c",
        "MOVE 1",
        "MOVE 1 2147483648",
        "TELL",
        "TELL bob",
        "TELL bob ",
        "TELL  bob hello",
        &long,
        &wordy,
    ] {
        assert!(matches!(bad.parse::<Request>(), Err(Reply::Err(..))), "{bad}");
    }
}

#[test]
fn any_error_fits_into_one_line() {
    let context = "\u{e9}\r\n".repeat(200);
    let reply = Reply::from(&Error::new(ErrorKind::InvalidArgument, "test", context)).to_string();
    assert!(reply.len() < LINE_BYTES_MAX && !reply.contains('\n'), "{reply}");
}

#[test]
fn the_world_has_an_end() {
    let far = Position {
        x: i64::MAX,
        y: i64::MIN,
    };
    assert_eq!(far.after(Step { dx: 1, dy: -1 }), far);
}
