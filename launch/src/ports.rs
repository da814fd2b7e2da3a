//! Free ports.

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::{Error, Result};

/// So many free ports of each address. All are found before any is given back, so that they differ.
/// Until the servers listen somebody else may take one: whoever starts servers chooses again then.
pub(crate) fn free(addresses: &[IpAddr], each: usize) -> Result<Vec<Vec<u16>>> {
    let mut held = Vec::new();
    let mut found = Vec::new();
    for address in addresses {
        let mut ports = Vec::new();
        for _ in 0..each {
            let doing = format!("finding a free port of {address}");
            let listener = TcpListener::bind(SocketAddr::new(*address, 0)).map_err(Error::io(&doing))?;
            ports.push(listener.local_addr().map_err(Error::io(&doing))?.port());
            held.push(listener);
        }
        found.push(ports);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    #[test]
    fn they_differ() {
        let ports = free(&[Ipv4Addr::LOCALHOST.into(); 4], 2).unwrap();
        let distinct: BTreeSet<u16> = ports.iter().flatten().copied().collect();
        assert_eq!(distinct.len(), 8);
    }
}
