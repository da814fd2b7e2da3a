//! Members that speak TLS, with and without certificates of clients.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use ringhold_core::{Error, ErrorKind};
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions, ServerTls};
use ringhold_testkit::{Make, WAIT_MAX, file_parameter, wait_for, without_parameters};

use crate::support::{config, open, start, ttl};

/// The URL that another process is to open.
const URL: &str = "RINGHOLD_TEST_ETCDS";

/// So that a refusal does not take the twenty seconds of an `open`.
const SOON: &str = "&attempt_ms=1500&deadline_ms=2500";

async fn one(tls: ServerTls) -> EtcdCluster {
    start(EtcdOptions::new().members(1).tls(tls)).await
}

/// The error of `open` that has these words; on a busy machine an earlier one says that the time was up.
async fn refusal(url: &str, words: &str) -> Error {
    let url = url.to_owned() + SOON;
    wait_for(words, WAIT_MAX, async || match open(&url).await {
        Err(error) if error.context().contains(words) => Ok(error),
        other => Err(format!("{other:?}")),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_client_certificate_is_named_in_the_error() {
    let cluster = one(ServerTls::ClientCertificates).await;
    open(&cluster.url("arena")).await.unwrap();
    let url = without_parameters(&cluster.url("arena"), &["cert", "key"]);
    let error = refusal(&url, "cert= and key=").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("client certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_authority_is_named_in_the_error() {
    let (one, other) = (one(ServerTls::On).await, one(ServerTls::On).await);
    let strange = format!("&ca={}", file_parameter(&other.url("arena"), "ca").display());
    for ca in ["", &strange] {
        let url = without_parameters(&one.url("arena"), &["ca"]) + ca;
        let error = refusal(&url, "ca= names the authorities").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_retryable(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_file_is_named_in_the_error() {
    let cluster = one(ServerTls::ClientCertificates).await;
    let folder = tempfile::tempdir().unwrap();
    let spoiled = folder.path().join("spoiled.pem");
    fs::write(&spoiled, "no certificate").unwrap();
    for parameter in ["ca", "cert", "key"] {
        for path in [&spoiled, Path::new("/no/such/file.pem")] {
            let url = without_parameters(&cluster.url("arena"), &[parameter]);
            let error = open(&format!("{url}&{parameter}={}", path.display()))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.context().contains(&format!("{parameter}=")), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_used_without_a_restart() {
    let (one, other) = (
        one(ServerTls::ClientCertificates).await,
        one(ServerTls::ClientCertificates).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let take = |from: &EtcdCluster| {
        for name in ["ca", "cert", "key"] {
            fs::copy(file_parameter(&from.url("arena"), name), folder.path().join(name)).unwrap();
        }
    };
    take(&one);
    let mut url = without_parameters(&one.url("arena"), &["ca", "cert", "key"]);
    for name in ["ca", "cert", "key"] {
        write!(url, "&{name}={}", folder.path().join(name).display()).unwrap();
    }
    // An error of its own comes in time, and a busy machine has enough.
    url += "&deadline_ms=5000";
    let backend = open(&url).await.unwrap();
    let make = Make::new("new certificates");
    let login = make.login(&make.player(), &make.owner(), ttl(600));
    let session = backend.sessions.create(login).await.unwrap().session;
    let read = async |what: &str| {
        wait_for(what, WAIT_MAX, async || {
            match backend.sessions.get(&session.id).await {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    };

    // The member has certificates of another authority from now on, and the client gets them later.
    let folder_of = |cluster: &EtcdCluster| {
        let ca = file_parameter(&cluster.url("arena"), "ca");
        ca.parent().unwrap().to_owned()
    };
    for file in ["ca.pem", "server.pem", "server.key"] {
        fs::copy(folder_of(&other).join(file), folder_of(&one).join(file)).unwrap();
    }
    let restart = |cluster: EtcdCluster| {
        tokio::task::spawn_blocking(move || {
            cluster.restart(0).expect("it starts again");
            cluster
        })
    };
    let one = restart(one).await.unwrap();
    let error = wait_for("a refused certificate", WAIT_MAX, async || {
        match backend.sessions.get(&session.id).await {
            Err(error) if error.context().contains("ca= names the authorities") => Ok(error),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(error.is_retryable(), "{error}");
    take(&other);
    read("a read over a new connection").await;

    // Files that are of no use leave the certificates before them in use.
    fs::write(folder.path().join("cert"), "no certificate").unwrap();
    let one = restart(one).await.unwrap();
    read("a read with the certificates before").await;
    drop(one);
}

/// Does nothing, but in the process that the other test starts: which authorities are trusted is a matter
/// of the environment.
#[tokio::test(flavor = "multi_thread")]
async fn client() {
    let Ok(url) = std::env::var(URL) else { return };
    match open(&url).await {
        Ok(_) => println!("said: it works"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(!error.is_retryable(), "{error}");
            println!("said: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_of_the_system_are_trusted_without_ca() {
    let options = EtcdOptions::new()
        .members(1)
        .tls(ServerTls::On)
        .password("hunter2");
    let (cluster, other) = (start(options).await, one(ServerTls::On).await);
    let full = cluster.url("tls");
    assert!(!format!("{:?}", config(&full)).contains("hunter2"));
    let (ca, others) = (
        file_parameter(&full, "ca"),
        file_parameter(&other.url("tls"), "ca"),
    );
    let url = without_parameters(&full, &["ca"]);
    let named = url.replace("127.0.0.1", "localhost");
    for (url, authorities, said) in [
        (&url, &ca, "it works"),
        (&url, &others, "certificate"),
        (&named, &ca, "certificate"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tls::client", "--nocapture"])
            .env(URL, url)
            .env("SSL_CERT_FILE", authorities)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = words.lines().find(|line| line.contains("said: "));
        assert!(
            output.status.success(),
            "{words}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(told.is_some_and(|told| told.contains(said)), "{words}");
        assert!(!words.contains("hunter2"), "{words}");
    }
}
