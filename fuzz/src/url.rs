//! URLs: what `ringhold::open` and the transport read out of them. Nothing is opened that is not in memory.

use std::fmt::Debug;

use ringhold::etcd::EtcdConfig;
use ringhold::grpc::GrpcConfig;
use ringhold::redb::EmbeddedConfig;
use ringhold::redis::RedisConfig;
use ringhold_core::{Error, ErrorKind, Result};
use url::Url;

use crate::peek;

/// Stands in the place of every password.
const SECRET: &str = "s3cr3t-m4rk3r";

/// Reads the bytes as a URL, with its own password and with one that can be told apart.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(mut url) = Url::parse(text) else {
        // Not a URL, so nothing can be opened by it.
        refused(&peek::now(ringhold::open(text)).unwrap_err());
        return;
    };
    // The fuzzer learns the marker from the comparison below, and writes it where it may be shown.
    let told = read(&url).contains(SECRET);
    if !told && url.password().is_some() && url.set_password(Some(SECRET)).is_ok() {
        let text = read(&url);
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// What is shown of a URL that was read.
fn read(url: &Url) -> String {
    match url.scheme() {
        scheme if ringhold::redis::SCHEMES.contains(&scheme) => shown(RedisConfig::from_url(url)),
        scheme @ ("redb" | "sled") => shown(EmbeddedConfig::from_url(scheme, url)),
        "etcd" | "etcds" => shown(EtcdConfig::from_url(url)),
        "grpc" | "grpcs" => shown(GrpcConfig::parse(url.as_str())),
        // In memory, or not known.
        _ => shown(peek::now(ringhold::open(url.as_str()))),
    }
}

/// Whatever comes of it keeps the password to itself.
fn shown<T: Debug>(result: Result<T>) -> String {
    match &result {
        Ok(config) => format!("{config:?}"),
        Err(error) => {
            refused(error);
            format!("{error} {error:?}")
        }
    }
}

fn refused(error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Unsupported),
        "{error}"
    );
    assert!(!error.is_retryable(), "{error}");
}
