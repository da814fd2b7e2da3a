//! What a failover lost is written again by who holds it.

use std::time::Duration;

use ringhold::Session;
use ringhold_testkit::launch::Reply;
use ringhold_testkit::wait_for;

use crate::support::{Bed, LONG, here, is_undisturbed, login, slot_of, stored};

/// Touched every 4 s.
const TTL: Duration = Duration::from_secs(12);

/// Keys with what they held.
type Copy = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything of a slot, as the promoted replica has it that never heard of what came after.
async fn copy_of(bed: &Bed, slot: u16) -> Copy {
    bed.with(move |cluster| {
        let master = cluster.master_of_slot(slot)?;
        let words = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"];
        let Reply::Array(keys) = cluster.command(master, &words)?.check()? else {
            panic!("no list of keys");
        };
        let mut copy = Vec::new();
        for key in keys {
            let Reply::Bytes(key) = key else { panic!("{key:?}") };
            match cluster.command(master, &[b"DUMP".as_slice(), &key])?.check()? {
                Reply::Bytes(held) => copy.push((key, held)),
                other => panic!("{other:?}"),
            }
        }
        Ok(copy)
    })
    .await
}

/// Puts the slot back, all of it at once.
async fn put_back(bed: &Bed, slot: u16, copy: Copy) {
    bed.with(move |cluster| {
        let master = cluster.master_of_slot(slot)?;
        for (key, held) in copy {
            let words = [b"RESTORE".as_slice(), &key, b"0", &held, b"REPLACE"];
            cluster.command(master, &words)?.check()?;
        }
        Ok(())
    })
    .await;
}

async fn save(session: &mut Session<u64>, value: u64) {
    *session.value_mut() = value;
    session.save().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_what_a_failover_lost_is_restored_by_its_holder() {
    let bed = Bed::start().await;
    let node = bed.node_with("n0", TTL).await;
    let backend = bed.backend().await;

    // A session that the store never heard of: somebody else's partition is known before it.
    let warm = here(login(&node, "ada").await);
    let slot = slot_of(&warm.id());
    warm.close().await.unwrap();
    let before = copy_of(&bed, slot).await;
    assert_eq!(before.len(), 3, "a partition is three keys");
    let mut ada = here(login(&node, "ada").await);
    save(&mut ada, 7).await;
    put_back(&bed, slot, before).await;
    assert_eq!(stored(&backend, &ada.id()).await, None, "it is lost");
    let back = wait_for("the session to be restored", LONG, async || {
        stored(&backend, &ada.id()).await.ok_or("it is not there")
    });
    assert_eq!(back.await, 7);
    is_undisturbed(&mut ada).await;
    save(&mut ada, 8).await;
    assert_eq!(stored(&backend, &ada.id()).await, Some(8));

    // An older version under the same fence.
    let mut bob = here(login(&node, "bob").await);
    let slot = slot_of(&bob.id());
    save(&mut bob, 1).await;
    let older = copy_of(&bed, slot).await;
    save(&mut bob, 2).await;
    save(&mut bob, 3).await;
    put_back(&bed, slot, older).await;
    assert_eq!(stored(&backend, &bob.id()).await, Some(1), "it is rolled back");
    save(&mut bob, 4).await;
    assert_eq!(stored(&backend, &bob.id()).await, Some(4));
    is_undisturbed(&mut bob).await;
    bob.close().await.unwrap();

    // A save that is lost for whoever saves nothing after it.
    drop(ada);
    let ada = here(login(&node, "ada").await);
    assert_eq!(*ada.value(), 8);
}
