//! TLS: who shows a certificate that is not trusted is told nothing.

use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringhold_core::ErrorKind;
use ringhold_testkit::Make;
use ringhold_testkit::launch::EtcdOptions;

use crate::support::{open, start, ttl};

/// What the process of its own is to open.
const URL: &str = "RINGHOLD_TEST_ETCDS";

/// Does nothing, but in the process that the other test starts: which authorities are trusted is a matter
/// of the environment.
#[tokio::test(flavor = "multi_thread")]
async fn client() {
    let Ok(url) = std::env::var(URL) else { return };
    let make = Make::new("client");
    match open(&url).await {
        Ok(backend) => {
            let login = make.login(&make.player(), &make.owner(), ttl(60));
            backend.sessions.create(login).await.unwrap();
            println!("said: it works");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(!error.is_retryable(), "{error}");
            println!("said: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        (authority, path)
    };
    let (ours, ours_file) = authority("ours.pem");
    let (_, others_file) = authority("others.pem");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let options = EtcdOptions::new()
        .tls(certificate.pem(), key.serialize_pem())
        .password("hunter2");
    let cluster = start(options).await;
    let url = cluster.url("tls");
    assert!(url.starts_with("etcds://"));
    let named = url.replace("127.0.0.1", "localhost");
    for (url, authorities, said) in [
        (&url, &ours_file, "it works"),
        (&url, &others_file, "certificate"),
        (&named, &ours_file, "certificate"),
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
