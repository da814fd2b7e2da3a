//! The program before a Redis that is set up in some special way: over TLS, or so that it loses sessions.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringhold_testkit::launch::{RedisOptions, RedisServer};

const CLIENTS: &[&str] = &[
    "redis",
    #[cfg(feature = "fred")]
    "fred",
];

/// Exit code, and what stood on standard error.
fn nodes(url: &str, environment: &[(&str, &Path)], log: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .arg("nodes")
        .env("RINGHOLD_BACKEND", url)
        .env("RUST_LOG", log)
        .env_remove("SSL_CERT_FILE")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn tls_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &authority).unwrap();
    let ca = file("ca.pem", authority.pem());
    let (certificate, key) = (
        file("server.pem", certificate.pem()),
        file("server.key", key.serialize_pem()),
    );

    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let options = RedisOptions::new()
        .password("hunter2")
        .config_line(format!("tls-port {port}"))
        .config_line(format!("tls-cert-file {}", certificate.display()))
        .config_line(format!("tls-key-file {}", key.display()))
        .config_line(format!("tls-ca-cert-file {}", ca.display()))
        .config_line("tls-auth-clients no");
    let _server = RedisServer::start(&options).unwrap();
    let trusted = [("SSL_CERT_FILE", ca.as_path())];

    for client in CLIENTS {
        let url = |password: &str, host: &str| {
            format!("rediss://:{password}@{host}:{port}?deadline_ms=2000&client={client}")
        };
        assert_eq!(
            nodes(&url("hunter2", "localhost"), &trusted, "off"),
            (Some(0), String::new()),
            "{client}"
        );
        for (password, host, environment, code, said) in [
            ("wrong", "localhost", &trusted[..], 2, "user or password"),
            ("hunter2", "127.0.0.1", &trusted[..], 4, "certificate"),
            ("hunter2", "localhost", &[][..], 4, "certificate"),
        ] {
            let (exit, words) = nodes(&url(password, host), environment, "off");
            assert_eq!(exit, Some(code), "{client}, {host}: {words}");
            assert!(
                words.contains(said) && !words.contains("hunter2"),
                "{client}, {host}: {words}"
            );
        }
    }
}

#[test]
fn settings_that_lose_sessions_are_warned_of() {
    let options = RedisOptions::new()
        .config_line("maxmemory-policy allkeys-lru")
        .config_line("save \"\"");
    let server = RedisServer::start(&options).unwrap();
    let (exit, words) = nodes(&server.url("warned"), &[], "warn");
    assert_eq!(exit, Some(0), "{words}");
    for said in ["maxmemory-policy to noeviction", "keeps nothing on disk"] {
        assert!(words.contains(said), "{said} is not in {words}");
    }

    let options = RedisOptions::new()
        .append_only(true)
        .config_line("maxmemory-policy noeviction");
    let server = RedisServer::start(&options).unwrap();
    let (exit, words) = nodes(&server.url("calm"), &[], "warn");
    assert_eq!((exit, words), (Some(0), String::new()), "nothing to warn of");
}
