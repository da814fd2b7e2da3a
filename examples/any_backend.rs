//! A user's test that runs on every backend.
//!
//! ```text
//! $ cargo test --features testing,redis --example any_backend       # as a test
//! $ cargo run --features testing,redis --example any_backend        # to see it
//! ```
//!
//! What is under test stands first: a bank in which each player has a purse. It knows nothing of backends.
//! The test below says what must hold, and runs on each of them.

use ringhold::{Fleet, Login, LoginOptions, PlayerId, Result, Session};

/// Pays into a player's purse, and answers what is in it once that is safe.
async fn pay(purse: &mut Session<u64>, coins: u64) -> Result<u64> {
    *purse.value_mut() += coins;
    purse.save().await?;
    Ok(*purse.value())
}

/// Opens a player's purse at this branch; at another one it says which.
async fn open(branch: &Fleet, player: &PlayerId) -> Result<Result<Session<u64>, String>> {
    match branch.login(player, LoginOptions::new()).await? {
        Login::Here(purse) => Ok(Ok(purse)),
        Login::Elsewhere(to) => Ok(Err(to.node.node.to_string())),
    }
}

/// What must hold on every backend. `ringhold::testing` gives each run a fleet of its own.
async fn coins_are_safe(backend: &ringhold::testing::TestBackend) -> Result<()> {
    let mut branches = Vec::new();
    for (name, backend) in ["north", "south"].into_iter().zip(backend.nodes(2).await?) {
        branches.push(Fleet::builder(backend).node(name).join().await?);
    }
    for branch in &branches {
        branch.wait_for(|view| view.nodes().len() == 2).await;
    }
    let [north, south] = &branches[..] else {
        unreachable!("two were opened")
    };

    let ada = PlayerId::new("ada")?;
    let mut purse = open(north, &ada).await?.expect("she is new");
    assert_eq!(pay(&mut purse, 3).await?, 3, "on {backend}");
    assert_eq!(open(south, &ada).await?.unwrap_err(), "north", "on {backend}");

    // A branch that closes leaves its purses to the others, with everything that was paid in.
    north.leave().await?;
    south.wait_for(|view| view.nodes().len() == 1).await;
    let mut purse = open(south, &ada).await?.expect("nobody else has it");
    assert_eq!(pay(&mut purse, 4).await?, 7, "on {backend}");
    south.leave().await
}

#[tokio::test]
async fn slow_coins_are_safe_on_every_backend() {
    for backend in ringhold::testing::backends().await.unwrap() {
        coins_are_safe(&backend).await.unwrap();
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    for backend in ringhold::testing::backends().await? {
        coins_are_safe(&backend).await?;
        println!("{backend}: coins are safe");
    }
    Ok(())
}
