//! The rule of [`DiscoveryConnector`].

use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use ringhold_core::Membership;
use ringhold_core::discovery::{DiscoveryConnector, RegisterNode};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};

use super::steps::Bed;
use crate::DiscoveryHarness;

/// How long the other runtime may take while this one is blocked.
const LIMIT: Duration = Duration::from_secs(20);

/// `connect_shares_no_connection`.
pub async fn connect_shares_no_connection<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("connect_shares_no_connection", harness).await;
    let (discovery, connector) = harness.connected_discovery().await;
    bed.discovery = discovery;
    assert_eq!(
        connector.is_some(),
        harness.capabilities().shared,
        "a shared backend has a connector, and one inside the process has none"
    );
    let Some(connector) = connector else { return };
    let here = bed.join().await;
    let (record, timing) = (bed.make.node(), bed.timing);
    let id = record.id.clone();
    let blocked = blocked();
    let register = RegisterNode::new(record, timing);
    let working = std::thread::spawn(move || elsewhere(&*connector, register));
    // Joined and not awaited: this thread is blocked like the workers.
    let members = working.join().expect("the thread beside the blocked runtime");
    drop(blocked);
    let members = members.unwrap_or_else(|seen| panic!("while the opening runtime is blocked: {seen}"));
    assert!(
        members.get(&here.node).is_some() && members.get(&id).is_some(),
        "both connections must lead to one membership; over the second: {members:?}"
    );
    bed.renew(&here).await;
    let members = bed.members().await;
    assert!(
        members.get(&id).is_some(),
        "after the end of the second one's runtime, the first must see {id}: {members:?}"
    );
}

/// Blocks the workers of this runtime until the result is dropped.
fn blocked() -> Vec<mpsc::Sender<()>> {
    let runtime = Handle::current();
    let workers = match runtime.runtime_flavor() {
        // The caller blocks its only thread.
        RuntimeFlavor::CurrentThread => 0,
        _ => runtime.metrics().num_workers(),
    };
    let all = Arc::new(Barrier::new(workers + 1));
    let block = |_| {
        let (until, dropped) = mpsc::channel();
        let all = Arc::clone(&all);
        runtime.spawn(async move {
            all.wait();
            // Only the end of its sender ends this.
            let _ = dropped.recv();
        });
        until
    };
    let blocked = (0..workers).map(block).collect();
    all.wait();
    blocked
}

/// Connects on a runtime of its own, registers a node there, and returns the members that it sees, or what failed.
fn elsewhere(connector: &dyn DiscoveryConnector, register: RegisterNode) -> Result<Membership, String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let work = async {
        let discovery = connector.connect().await?;
        discovery.register(register).await?;
        discovery.members().await
    };
    match runtime.block_on(async { tokio::time::timeout(LIMIT, work).await }) {
        Ok(Ok(members)) => Ok(members),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {LIMIT:?}")),
    }
}
