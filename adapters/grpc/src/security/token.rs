//! The secret that callers show.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use ringhold_core::{Error, ErrorKind, Result};
use subtle::ConstantTimeEq as _;

use super::files;
use super::words::ADMIT;

const LEN_MIN: usize = 16;
const LEN_MAX: usize = 4096;
const SCHEME: &str = "Bearer ";

/// The token of a fleet, as it stands in a header.
pub(super) struct Token(HeaderValue);

impl Token {
    /// Reads it from a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let what = "the token";
        let bytes = files::read(what, path)?;
        let token = bytes.trim_ascii();
        let takes = "a token takes 16 to 4096 visible ASCII characters";
        if !(LEN_MIN..=LEN_MAX).contains(&token.len()) {
            let wrong = format!("has {} bytes; {takes}", token.len());
            return Err(files::bad(what, path, &wrong));
        }
        let other = || files::bad(what, path, &format!("has other characters; {takes}"));
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(other());
        }
        let mut value = HeaderValue::from_bytes(&[SCHEME.as_bytes(), token].concat()).map_err(|_| other())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// What a caller sends in `authorization`, marked as a secret.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Compares in a time that depends on the lengths alone.
    pub(super) fn admit(&self, from: SocketAddr, headers: &HeaderMap) -> Result<()> {
        let refused = |what| {
            let context = format!("{from} shows {what}; both sides have to be given the same file");
            Err(Error::new(ErrorKind::Unavailable, ADMIT, context).with_retryable(false))
        };
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return refused("no token, or several");
        };
        let shown = shown.as_bytes();
        let Some((scheme, secret)) = shown.split_at_checked(SCHEME.len()) else {
            return refused("no token");
        };
        if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) {
            return refused("something else than a bearer token");
        }
        if !bool::from(secret.ct_eq(&self.0.as_bytes()[SCHEME.len()..])) {
            return refused("another token");
        }
        Ok(())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
