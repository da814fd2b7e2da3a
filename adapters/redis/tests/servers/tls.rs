//! Servers that speak TLS, with and without certificates of clients.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ringhold_core::{Backend, Error, ErrorKind, SessionId};
use ringhold_testkit::launch::{RedisOptions, RedisServer, ServerTls};
use ringhold_testkit::{Make, WAIT_MAX, file_parameter, run, wait_for, without_parameters};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};

/// So that a refusal does not take the five seconds of an `open`.
const SOON: &str = "&attempt_ms=400&deadline_ms=800";

/// The error of `open` that has these words; on a busy machine an earlier one says that the time was up.
async fn refusal(url: &str, words: &str) -> Error {
    let url = url.to_owned() + SOON;
    wait_for(words, WAIT_MAX, async || match open(&url).await {
        Err(error) if error.context().contains(words) => Ok(error),
        other => Err(format!("{other:?}")),
    })
    .await
}

fn server(tls: ServerTls) -> RedisServer {
    RedisServer::start(&RedisOptions::new().tls(tls)).unwrap()
}

/// Reads a session until that works, over whatever connection.
async fn read(backend: &Backend, id: SessionId, what: &str) {
    wait_for(what, WAIT_MAX, async || match backend.sessions.get(&id).await {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

fn missing_client_certificate_is_named_in_the_error(client: &str) {
    let server = server(ServerTls::ClientCertificates);
    run("no client certificate", async {
        open(&(server.url("arena") + client)).await.unwrap();
        let url = without_parameters(&server.url("arena"), &["cert", "key"]) + client;
        let error = refusal(&url, "cert= and key=").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.context().contains("client certificate"), "{error}");
    });
}

fn unknown_authority_is_named_in_the_error(client: &str) {
    let (one, other) = (server(ServerTls::On), server(ServerTls::On));
    run("an unknown authority", async {
        let strange = format!("&ca={}", file_parameter(&other.url("arena"), "ca").display());
        for ca in ["", &strange] {
            let url = without_parameters(&one.url("arena"), &["ca"]) + ca + client;
            let error = refusal(&url, "ca= names the authorities").await;
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
    });
}

fn unusable_file_is_named_in_the_error(client: &str) {
    let server = server(ServerTls::ClientCertificates);
    let folder = tempfile::tempdir().unwrap();
    let spoiled = folder.path().join("spoiled.pem");
    fs::write(&spoiled, "no certificate").unwrap();
    run("an unusable file", async {
        for parameter in ["ca", "cert", "key"] {
            for path in [&spoiled, Path::new("/no/such/file.pem")] {
                let url = without_parameters(&server.url("arena"), &[parameter])
                    + &format!("&{parameter}={}", path.display());
                let error = open(&(url + client)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                assert!(error.context().contains(&format!("{parameter}=")), "{error}");
            }
        }
    });
}

fn new_certificates_are_used_without_a_restart(client: &str) {
    let (one, other) = (
        server(ServerTls::ClientCertificates),
        server(ServerTls::ClientCertificates),
    );
    let folder = tempfile::tempdir().unwrap();
    let take = |from: &RedisServer| {
        for name in ["ca", "cert", "key"] {
            fs::copy(file_parameter(&from.url("arena"), name), folder.path().join(name)).unwrap();
        }
    };
    run("new certificates", async {
        take(&one);
        let mut url = without_parameters(&one.url("arena"), &["ca", "cert", "key"]) + client;
        for name in ["ca", "cert", "key"] {
            write!(url, "&{name}={}", folder.path().join(name).display()).unwrap();
        }
        let backend = open(&url).await.unwrap();
        let make = Make::new("new certificates");
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let session = backend.sessions.create(login).await.unwrap().session;

        // The server has certificates of another authority from now on, and so has the client.
        let folder = file_parameter(&other.url("arena"), "ca")
            .parent()
            .unwrap()
            .to_owned();
        let path = |name: &str| folder.join(name).display().to_string();
        let (ca, cert, key) = (path("ca.pem"), path("server.pem"), path("server.key"));
        let set = [
            "CONFIG",
            "SET",
            "tls-ca-cert-file",
            &ca,
            "tls-cert-file",
            &cert,
            "tls-key-file",
            &key,
        ];
        one.ask(&set.map(str::as_bytes));
        take(&other);
        one.ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        read(&backend, session.id, "a read over a new connection").await;

        // Files that are of no use leave the certificates before them in use.
        fs::write(file_parameter(&url, "cert"), "no certificate").unwrap();
        one.ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        read(&backend, session.id, "a read with the certificates before").await;
    });
}

on_each_client!(
    missing_client_certificate_is_named_in_the_error
    unknown_authority_is_named_in_the_error
    unusable_file_is_named_in_the_error
    new_certificates_are_used_without_a_restart
);
