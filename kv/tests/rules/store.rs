//! That the store of the tests keeps what `Transaction` promises.

use crate::common::{Reach, TestStore};
use ringhold_kv::Transaction;

#[test]
fn a_write_between_is_seen_where_its_key_was_got_and_nowhere_else() {
    for (got, attempts) in [(&b"a"[..], 2), (b"b", 1)] {
        let store = TestStore::new(Reach::Near);
        let (answer, cost) = store
            .race(
                || store.set(b"a", Some(b"theirs")),
                |tx| {
                    tx.get(got)?;
                    let seen = tx.peek(b"a")?;
                    tx.put(b"c".to_vec(), b"mine".to_vec());
                    Ok(seen.is_some())
                },
            )
            .unwrap();
        assert_eq!((answer, cost.attempts), (attempts == 2, attempts), "{got:?}");
        assert_eq!(store.keys(), [b"a", b"c"]);
    }
}

#[test]
fn what_is_the_same_again_was_still_written() {
    let store = TestStore::new(Reach::Near);
    store.set(b"a", Some(b"1"));
    let (_, cost) = store
        .race(|| store.set(b"a", Some(b"1")), |tx| tx.get(b"a"))
        .unwrap();
    assert_eq!(cost.attempts, 2);
}

#[test]
fn what_is_far_is_fetched_together_where_it_was_expected() {
    for (expects, fetches) in [(true, 1), (false, 2)] {
        let store = TestStore::new(Reach::Far);
        store.set(b"a/1", Some(b"1"));
        let (answer, cost) = store
            .race(
                || {},
                |tx| {
                    if expects {
                        tx.expect_range(b"a/", b"a0", 9);
                        tx.expect(&[b"a/1", b"b"])?;
                    }
                    tx.put(b"a/2".to_vec(), b"2".to_vec());
                    tx.delete(b"a/1".to_vec());
                    tx.get(b"b")?;
                    tx.range(b"a/", b"a0", 9)
                },
            )
            .unwrap();
        let answer: Vec<_> = answer.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        assert_eq!(answer, [(&b"a/2"[..], &b"2"[..])], "its own writes are seen");
        assert_eq!((cost.fetches, cost.written, cost.compared), (fetches, 2, 1));
    }
}

#[test]
fn a_clock_moves_only_from_where_it_was_seen() {
    let store = TestStore::new(Reach::Near);
    let tick = |from, to| {
        store.run(|tx| {
            tx.tick(b"clock", from, to);
            Ok(())
        })
    };
    for (from, to, stored) in [
        (Some(3), 9, None),
        (None, 5, Some(5_u64)),
        (None, 7, Some(5)),
        (Some(5), 7, Some(7)),
    ] {
        tick(from, to).unwrap();
        let value = store.value(b"clock");
        assert_eq!(
            value.as_deref(),
            stored.map(u64::to_le_bytes).as_ref().map(|bytes| &bytes[..])
        );
    }
}
