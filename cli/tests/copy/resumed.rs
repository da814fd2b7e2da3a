//! Copies that stop half-way, and go on.

use ringhold_cli::copy::{Copy, Event, Stage};
use ringhold_cli::exit::{Exit, Failure};
use ringhold_testkit::{Make, wait_for};
use tokio::sync::oneshot;

use crate::support::{all, are_same, memory, populate, run};

#[tokio::test]
async fn a_copy_that_stopped_anywhere_goes_on_where_it_was() {
    let make = Make::new("stopped copies");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    let sessions = populate(&from, &make, 1_500).await;
    // At the first step, later, at the last one, while it verifies.
    let mut came = Vec::new();
    for stop_at in [1, 4, 9, 14] {
        let mut copy = Copy::new(from.clone(), to.clone());
        let mut steps = 0;
        let outcome = copy
            .run(&mut |event| {
                steps += u32::from(matches!(event, Event::Step { .. }));
                if steps == stop_at {
                    return Err(Failure::interrupted());
                }
                Ok(())
            })
            .await;
        assert_eq!(outcome.unwrap_err().exit(), Exit::Interrupted);
        assert!(!copy.report().ok);
        came.push(all(&to).await.len());
    }
    assert!(came.is_sorted() && came[1] > 0, "{came:?}");
    assert!(came[1] < came[3], "{came:?}");

    let mut copy = Copy::new(from.clone(), to.clone());
    run(&mut copy).await.0.unwrap();
    assert_eq!(
        (copy.report().copied, copy.report().verified),
        (sessions, sessions)
    );
    are_same(&from, &to).await;
}

/// What a process does that is killed: its future is gone, wherever it was.
#[tokio::test]
async fn a_copy_that_was_dropped_half_way_leaves_nothing_odd() {
    let make = Make::new("dropped copies");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    populate(&from, &make, 1_500).await;
    let (half, half_way) = oneshot::channel();
    let mut half = Some(half);
    let mut copy = Copy::new(from.clone(), to.clone());
    let copying = tokio::spawn(async move {
        copy.run(&mut |event| {
            if let Event::Step {
                stage: Stage::Copying,
                partitions: 300..,
                ..
            } = event
                && let Some(half) = half.take()
            {
                half.send(()).unwrap();
            }
            Ok(())
        })
        .await
    });
    half_way.await.unwrap();
    copying.abort();
    assert!(copying.await.unwrap_err().is_cancelled());
    // What was under way may have been written still.
    let left = wait_for(
        "writes under way to end",
        ringhold_testkit::WAIT_MAX,
        async || {
            let before = all(&to).await.len();
            tokio::task::yield_now().await;
            if all(&to).await.len() == before {
                Ok(before)
            } else {
                Err(before)
            }
        },
    )
    .await;
    assert!(left > 0 && left < all(&from).await.len(), "{left}");
    run(&mut Copy::new(from.clone(), to.clone())).await.0.unwrap();
    are_same(&from, &to).await;
}

#[tokio::test]
async fn a_copy_that_is_whole_can_be_repeated() {
    let make = Make::new("repeated copies");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    populate(&from, &make, 100).await;
    for _ in 0..3 {
        run(&mut Copy::new(from.clone(), to.clone())).await.0.unwrap();
        are_same(&from, &to).await;
    }
    // And back: everything is there already.
    let before = all(&from).await;
    run(&mut Copy::new(to, from.clone())).await.0.unwrap();
    assert_eq!(all(&from).await, before);
}

#[tokio::test]
async fn a_copy_onto_itself_is_refused() {
    let make = Make::new("a copy onto itself");
    let (from, _) = memory("eu");
    populate(&from, &make, 10).await;
    let before = all(&from).await;
    let mut copy = Copy::new(from.clone(), from.clone());
    let failure = run(&mut copy).await.0.unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(
        failure.message().contains("both URLs lead to one fleet"),
        "{failure}"
    );
    assert_eq!(all(&from).await, before);
}
