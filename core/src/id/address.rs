//! Whether another host can connect to an address.

// The type alone: core does no I/O.
use core::net::Ipv6Addr;

use super::Address;
use crate::{Error, ErrorKind, Result};

impl Address {
    /// Checks that the address names a host and a port, and not where a server listens: `0.0.0.0`, `[::]`,
    /// `[::ffff:0.0.0.0]`, `*` and an empty host stand for every interface, and port 0 for any free port. A node
    /// that announces one of them cannot be reached.
    ///
    /// Reads `host:port`, `[ipv6]:port` and URLs with `//`. Other forms, names and loopback addresses pass;
    /// no name is resolved.
    ///
    /// # Errors
    /// `InvalidArgument`, with advice.
    ///
    /// ```
    /// use ringhold_core::id::Address;
    ///
    /// let address = |text| Address::new(text).unwrap();
    /// assert!(address("wss://eu-1.example/play").ensure_reachable().is_ok());
    /// assert!(address("ws://0.0.0.0:4000/play").ensure_reachable().is_err());
    /// ```
    pub fn ensure_reachable(&self) -> Result<()> {
        let authority = authority(self.as_str());
        let (host, port) = host_and_port(authority);
        let advice = if is_unspecified(&decoded(host)) || (host.is_empty() && port.is_some_and(is_number)) {
            "its host stands for every interface of a server; give a host name or an IP address that others \
             can connect to"
        } else if port.is_some_and(is_zero) {
            "port 0 stands for any free port; give the port that the server listens on"
        } else {
            return Ok(());
        };
        let context = format!("expected where others can connect, got {authority:?}: {advice}");
        Err(Error::new(ErrorKind::InvalidArgument, "address", context))
    }
}

/// The part of a URL that names the host; elsewhere what is before a path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match authority.rsplit_once(':') {
        // An IPv6 address without brackets, whose last group may be meant as a port.
        Some((host, port)) if host.contains(':') => {
            if is_unspecified(host) {
                (host, Some(port))
            } else {
                (authority, None)
            }
        }
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// Resolves percent-encoding, as clients do in the host of a URL. What is malformed stays.
fn decoded(host: &str) -> String {
    let mut decoded = String::with_capacity(host.len());
    let mut rest = host;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        match after.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) if byte.is_ascii_graphic() => {
                decoded.push(char::from(byte));
                rest = &after[2..];
            }
            _ => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded + rest
}

fn is_unspecified(host: &str) -> bool {
    // An IPv6 address may name a zone, as in `::%eth0`.
    let address = host.split('%').next().unwrap_or(host);
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        return address.is_unspecified()
            || address
                .to_ipv4_mapped()
                .is_some_and(|mapped| mapped.is_unspecified());
    }
    // The root of the names, which resolvers take off.
    let host = host.strip_suffix('.').unwrap_or(host);
    // Resolvers and URL parsers take an IPv4 address of one to four numbers: `0`, `0x0`, `00.0`.
    host == "*" || (!host.is_empty() && host.split('.').count() <= 4 && host.split('.').all(is_zero_number))
}

/// Whether this is 0 in decimal, octal or hexadecimal.
fn is_zero_number(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits.map_or_else(
        || is_zero(text),
        |digits| digits.bytes().all(|digit| digit == b'0'),
    )
}

fn is_zero(text: &str) -> bool {
    is_number(text) && text.bytes().all(|digit| digit == b'0')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str) -> Result<()> {
        Address::new(address).unwrap().ensure_reachable()
    }

    #[test]
    fn an_address_that_stands_for_every_interface_or_any_port_is_refused_with_advice() {
        for (address, advice) in [
            ("0.0.0.0:4000", "host name"),
            ("0.0.0.0", "host name"),
            ("[::]:4000", "host name"),
            ("[::]", "host name"),
            ("::", "host name"),
            (":::4000", "host name"),
            ("0:0:0:0:0:0:0:0:4000", "host name"),
            ("[::0]:4000", "host name"),
            ("[0:0:0:0:0:0:0:0]:1", "host name"),
            ("[::0.0.0.0]:1", "host name"),
            ("[::ffff:0.0.0.0]:4000", "host name"),
            ("[::ffff:0:0]:4000", "host name"),
            ("[::%eth0]:4000", "host name"),
            ("[::%25eth0]:4000", "host name"),
            ("ws://[::%25eth0]:1/", "host name"),
            ("0:4000", "host name"),
            ("0", "host name"),
            ("00:1", "host name"),
            ("0x0:1", "host name"),
            ("0X00:1", "host name"),
            ("0x:1", "host name"),
            ("0.0:1", "host name"),
            ("0.0x0.00.0:1", "host name"),
            ("0.0.0.0.:4000", "host name"),
            ("0.:4000", "host name"),
            (":4000", "host name"),
            ("*:4000", "host name"),
            ("ws://0.0.0.0:1/play", "host name"),
            ("ws://0.0.0.0/play", "host name"),
            ("WSS://0.0.0.0?room=1", "host name"),
            ("ws://0.0.0.0#x", "host name"),
            ("ws://0.0.0.0\\play", "host name"),
            ("ws://user:secret@0.0.0.0:1/", "host name"),
            ("ws://a@b@0.0.0.0:1/", "host name"),
            ("ws://0%2e0%2E0.0:1/", "host name"),
            ("ws://%30:1", "host name"),
            ("ws://%30%78%30:1", "host name"),
            ("ws://[::]:1/play", "host name"),
            ("ws://[::ffff:0.0.0.0]:1/play", "host name"),
            ("ws://:1/play", "host name"),
            ("//0.0.0.0:1/play", "host name"),
            ("eu-1:0", "listens on"),
            ("eu-1:00000", "listens on"),
            ("10.0.0.7:0", "listens on"),
            ("[2001:db8::1]:0", "listens on"),
            ("ws://eu-1:0/play", "listens on"),
            ("ws://eu-1:00", "listens on"),
        ] {
            let error = check(address).expect_err(address);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{address}");
            assert!(error.context().contains(advice), "{address}: {error}");
            assert!(!error.to_string().contains("secret"), "{address}: {error}");
        }
    }

    #[test]
    fn an_address_that_others_may_reach_is_accepted() {
        for address in [
            "10.0.0.7:4000",
            "10.0.0.0:4000",
            "0.0.0.1:4000",
            "100.0.0.0:1",
            "127.0.0.1:4000",
            "localhost:10",
            "eu-1:4000",
            "eu-1",
            "0.example:1",
            "0x0.example:1",
            "0.0.0.0.0:1",
            "0..0:1",
            "0.0.0.0.example.:1",
            "[::1]:4000",
            "::1",
            "[::ffff:10.0.0.0]:4000",
            "[fe80::1%25eth0]:1",
            "wss://eu-1.example/play",
            "wss://eu-1.example:443/play?from=0.0.0.0:0",
            "wss://0.0.0.0@eu-1.example/play",
            "ws://user:0@eu-1:1",
            "ws://eu-1/0.0.0.0:0",
            "ws://eu-1:/",
            ":name",
            "ws://a%2",
            "ws://%",
            "ws://%zz:1",
            "ws://%e9%a0:1",
            "unix:///run/game.sock",
            "steam:1:0",
            "a:b:0",
            "room=0",
            "[",
            "[::",
            "]:1",
            "@",
        ] {
            check(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
    }
}
