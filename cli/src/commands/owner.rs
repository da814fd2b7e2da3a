//! `ringhold owner KEY`: which node the ring gives a key to.

use ringhold::Observer;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::Output;

/// What the ring says of a key.
#[derive(Debug, Serialize)]
pub struct Owner {
    /// The key.
    pub key: String,
    /// The node.
    pub node: String,
    /// Which run of it.
    pub incarnation: u64,
    /// Where clients reach it.
    pub address: Option<String>,
    /// The membership revision that this is of.
    pub revision: u64,
}

/// Prints the owner.
///
/// # Errors
/// `No` when no node of the fleet takes keys.
pub fn run(observer: &Observer, key: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    let view = observer.view();
    let Some(node) = view.owner(key.as_bytes()) else {
        let fleet = &observer.backend().fleet;
        return Err(Failure::not_found(format!(
            "no node of the fleet {fleet} has a weight above 0"
        )));
    };
    let owner = Owner {
        key: key.to_owned(),
        node: node.record.id.to_string(),
        incarnation: node.record.incarnation.number,
        address: node.record.endpoint("player").map(ToString::to_string),
        revision: view.revision().number,
    };
    output.show(&owner, |owner| match &owner.address {
        Some(address) => format!("{} at {address}", owner.node),
        None => owner.node.clone(),
    })
}
