//! Rules of bad and odd input.

use bytes::Bytes;
use ringhold_core::session::{OnExisting, RestoreSession};
use ringhold_core::{ErrorKind, PlayerId};

use super::steps::{Bed, long};
use crate::StoreHarness;
use crate::expect::{done, refused};

/// `data_over_the_limit_is_too_large`, and exactly the limit is not.
pub async fn data_over_the_limit_is_too_large<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("data_over_the_limit_is_too_large", harness).await;
    let most = bed.store.limits().data_bytes_max();
    let (full, over) = (Bytes::from(vec![0xa5; most]), Bytes::from(vec![0xa5; most + 1]));
    let player = bed.make.player();

    let mut login = bed
        .make
        .login(&player, &bed.make.owner(), long())
        .with_data(over.clone());
    refused(
        "a login with one byte over",
        bed.store.create(login.clone()).await,
        ErrorKind::TooLarge,
    );
    assert_eq!(bed.ids(&player).await, [], "nothing was made");
    login.data = full.clone();
    let session = bed.create(login).await;
    assert_eq!(bed.get(session.id).await.data, full, "as much as is allowed");

    let mut save = bed.make.save(&session, b"");
    save.data = over.clone();
    refused(
        "a save with one byte over",
        bed.store.save(save.clone()).await,
        ErrorKind::TooLarge,
    );
    bed.is_unchanged("the session after a save that was refused", &session)
        .await;
    save.fence.epoch += 1;
    // The size is looked at before the store is asked anything.
    refused(
        "a save with one byte over and a wrong fence",
        bed.store.save(save).await,
        ErrorKind::TooLarge,
    );
    let mut save = bed.make.save(&session, b"");
    save.data = full.clone();
    done("a save of as much as is allowed", bed.store.save(save).await);

    let other = bed.make.player();
    let mut lost = session.clone();
    (lost.id, lost.player, lost.data) = (bed.make.session_id(&other), other.clone(), over);
    let mut restore = RestoreSession::new(lost, bed.make.nonce());
    let restored = bed.store.restore(restore.clone()).await;
    refused("a restoration with one byte over", restored, ErrorKind::TooLarge);
    assert_eq!(bed.ids(&other).await, [], "nothing was restored");
    restore.session.data = full.clone();
    let restored = done(
        "a restoration of as much as is allowed",
        bed.store.restore(restore).await,
    );
    assert_eq!(restored.session.data, full);
}

/// `odd_players_are_players`: each has a session of its own, found under exactly its name.
pub async fn odd_players_are_players<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("odd_players_are_players", harness).await;
    let wide = "\u{1F3AE}".repeat(PlayerId::LEN_MAX / 4);
    let long_one = "a".repeat(PlayerId::LEN_MAX);
    let names = [
        "{",
        "}",
        "{}",
        "{a}",
        "{b}",
        "a}{b",
        "\0",
        "\0\0",
        "a\0",
        "a\0b",
        "\r\n",
        "a\r\nGET b",
        "a\n",
        " ",
        "a ",
        " a",
        "a",
        "A",
        "a/b",
        "a:b",
        "*",
        "a*",
        "?",
        "[a]",
        "'",
        "\"",
        "\\",
        "$1",
        "%s",
        "..",
        "\u{7f}",
        "\u{feff}",
        "e\u{301}",
        "\u{e9}",
        "0",
        "-1",
        "null",
        &wide,
        &long_one,
    ];
    let mut sessions = Vec::new();
    for name in names {
        let player = PlayerId::new(name).expect("a player's name");
        assert_eq!(bed.find(&player).await, [], "{name:?} is nobody else");
        let login = bed
            .make
            .login_with(&player, &bed.make.owner(), long(), OnExisting::Reject);
        sessions.push(
            bed.create(login.with_data(Bytes::copy_from_slice(name.as_bytes())))
                .await,
        );
    }
    for session in &sessions {
        let name = session.player.as_str();
        let found = bed.ids(&session.player).await;
        assert_eq!(found, [session.id], "{name:?} has its own session alone");
        let shown = bed.get(session.id).await;
        assert_eq!(
            (shown.player.as_str(), shown.data.as_ref()),
            (name, name.as_bytes())
        );
        done("save", bed.store.save(bed.make.save(session, b"saved")).await);
        bed.remove(&bed.get(session.id).await).await;
        bed.is_gone("a removed session", session).await;
    }
}
