//! What every adapter checks before any I/O.

use crate::{Error, ErrorKind, Limits, PlayerId, Result, SessionId};

pub(super) fn check_partition(operation: &'static str, id: &SessionId, player: &PlayerId) -> Result<()> {
    if id.partition() == player.partition() {
        return Ok(());
    }
    let context = format!(
        "session {id:?} is not in {:?}, the partition of its player; make ids with the player's partition",
        player.partition()
    );
    Err(Error::new(ErrorKind::InvalidArgument, operation, context))
}

pub(super) fn check_sessions(operation: &'static str, number: u16) -> Result<()> {
    if (1..=Limits::SESSIONS_PER_PLAYER_MAX).contains(&number) {
        return Ok(());
    }
    let most = Limits::SESSIONS_PER_PLAYER_MAX;
    let context = format!("{number} sessions of one player is out of range; it takes 1 to {most}");
    Err(Error::new(ErrorKind::InvalidArgument, operation, context))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::id::NUMBER_MAX;
    use crate::session::{CreateSession, OnExisting, RestoreSession, SaveSession, SessionRecord};
    use crate::{
        ErrorKind, Incarnation, Limits, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, Result,
        SessionId, Ttl, Version,
    };

    fn kind(checked: Result<()>) -> Option<ErrorKind> {
        checked.err().map(|error| error.kind())
    }

    fn record() -> SessionRecord {
        let player = PlayerId::new("ada").unwrap();
        let nonce = Nonce::from_bytes([1; 16]);
        let owner = NodeIncarnation::new(NodeId::new("a").unwrap(), Incarnation { number: 1, nonce });
        let id = SessionId::new(player.partition(), [2; 16]);
        SessionRecord::new(id, player, owner, nonce, Ttl::MIN, Bytes::new())
    }

    #[test]
    fn a_login_is_of_its_players_partition_and_of_few_sessions() {
        let limits = Limits::default();
        let SessionRecord {
            id,
            player,
            owner,
            fence,
            ttl,
            ..
        } = record();
        let login = |max| {
            CreateSession::new(id, player.clone(), owner.clone(), fence.nonce, ttl)
                .with_on_existing(OnExisting::Allow { max })
        };
        for (max, expected) in [(0, Some(ErrorKind::InvalidArgument)), (1, None), (64, None)] {
            assert_eq!(kind(login(max).check(&limits)), expected, "{max}");
        }
        assert_eq!(kind(login(65).check(&limits)), Some(ErrorKind::InvalidArgument));
        let mut elsewhere = login(1);
        elsewhere.player = PlayerId::new("bob").unwrap();
        assert_eq!(kind(elsewhere.check(&limits)), Some(ErrorKind::InvalidArgument));
        let large = login(1).with_data(vec![0; 65_537]);
        assert_eq!(kind(large.check(&limits)), Some(ErrorKind::TooLarge));
    }

    #[test]
    fn numbers_end_where_scripts_can_no_longer_count() {
        let limits = Limits::default();
        let session = record();
        let operation = OperationId::from_bytes([3; 16]);
        for (number, expected) in [
            (NUMBER_MAX - 1, None),
            (NUMBER_MAX, Some(ErrorKind::InvalidArgument)),
        ] {
            let version = Version::new(number);
            let save = SaveSession::new(session.id, session.fence, version, session.ttl, "x", operation);
            assert_eq!(kind(save.check(&limits)), expected);
            let mut lost = session.clone();
            lost.version = version;
            let restore = RestoreSession::new(lost, session.fence.nonce);
            assert_eq!(kind(restore.check(&limits)), expected);
        }
    }

    #[test]
    fn what_is_restored_is_checked_like_a_login() {
        let restore = |change: fn(&mut RestoreSession)| {
            let session = record();
            let mut restore = RestoreSession::new(session.clone(), session.fence.nonce);
            change(&mut restore);
            kind(restore.check(&Limits::default()))
        };
        let invalid = Some(ErrorKind::InvalidArgument);
        assert_eq!(restore(|_| {}), None);
        assert_eq!(restore(|restore| restore.live_max = 64), None);
        assert_eq!(restore(|restore| restore.live_max = 0), invalid);
        assert_eq!(restore(|restore| restore.live_max = 65), invalid);
        assert_eq!(
            restore(|restore| restore.session.fence.epoch = NUMBER_MAX - 1),
            None
        );
        assert_eq!(
            restore(|restore| restore.session.fence.epoch = NUMBER_MAX),
            invalid
        );
        let bob = |restore: &mut RestoreSession| restore.session.player = PlayerId::new("bob").unwrap();
        assert_eq!(restore(bob), invalid);
        let large = |restore: &mut RestoreSession| restore.session.data = vec![0; 65_537].into();
        assert_eq!(restore(large), Some(ErrorKind::TooLarge));
        let session = record();
        let operation = OperationId::from_bytes([3; 16]);
        let data = vec![0; 65_537];
        let save = SaveSession::new(
            session.id,
            session.fence,
            session.version,
            session.ttl,
            data,
            operation,
        );
        assert_eq!(kind(save.check(&Limits::default())), Some(ErrorKind::TooLarge));
    }
}
