//! Names and numbers that cannot hold a bad value.
//!
//! Each type is checked once, where it is made; nothing downstream checks again. Text types share
//! their bytes, so a clone is a reference count.

mod address;
mod number;
mod player;
mod session_id;
mod text;

pub use number::{
    Epoch, Fence, Incarnation, NUMBER_MAX, NodeIncarnation, Nonce, OperationId, Ttl, Version, Weight,
};
pub use player::{Partition, PlayerId};
pub use session_id::SessionId;
pub use text::{Address, Build, EndpointName, FleetName, LabelKey, LabelValue, NodeId, Zone};
