//! The other side is a TLS of its own, no TLS, or nothing.

use std::sync::Arc;

use ringhold_core::{Error, ErrorKind};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pki::{Authority, Folder, Signed};
use super::*;

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

fn parts(signed: &Signed) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
    (
        chain,
        PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap(),
    )
}

fn roots(ours: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let ours = CertificateDer::from_pem_slice(ours.pem().as_bytes()).unwrap();
    roots.add(ours).unwrap();
    roots
}

/// One of ours, as the node `eu-1`.
fn secured_as_eu_1(ours: &Authority) -> Secured {
    load(&Folder::new(ours, &ours.sign(&["eu-1"])).mutual())
}

/// A client as rustls makes it.
fn client(
    ours: &Authority,
    signed: Option<&Signed>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(ours));
    let config = match signed.map(parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// A server as rustls makes it.
fn server(signed: &Signed) -> TlsAcceptor {
    let (chain, key) = parts(signed);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(BOTH)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What `secured` makes of a client that is one of rustls'.
async fn accept(secured: &Secured, client: &TlsConnector) -> Result<(Io, Caller)> {
    let (near, far) = pair().await;
    let connect = client.connect(ServerName::try_from("eu-1").unwrap(), near);
    let (_, accepted) = within("a handshake", async {
        tokio::join!(connect, secured.accept(far))
    })
    .await;
    accepted
}

fn is_refused(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.context().contains(words), "{error}, without {words:?}");
}

/// One row: what a certificate is like, the certificate, and what is said of it.
fn bad(ours: &Authority, others: &Authority, wrong_use: Signed) -> [(&'static str, Signed, &'static str); 4] {
    [
        (
            "wrong authority",
            others.sign(&["eu-1"]),
            "none of the authorities",
        ),
        ("expired", ours.expired(&["eu-1"]), "has expired"),
        ("early", ours.early(&["eu-1"]), "not valid yet"),
        ("wrong use", wrong_use, "another use"),
    ]
}

#[tokio::test]
async fn a_client_with_a_bad_certificate() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let secured = load(&folder.mutual());
    let good = ours.sign(&["eu-2"]);
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for (name, signed, words) in bad(&ours, &others, ours.for_servers(&["eu-1"])) {
            let client = client(&ours, Some(&signed), versions);
            let error = accept(&secured, &client).await.err();
            is_refused(&error.unwrap_or_else(|| panic!("{name} was taken")), words);
        }
        let error = accept(&secured, &client(&ours, None, versions))
            .await
            .unwrap_err();
        is_refused(&error, "shows no certificate");
        let (_, caller) = accept(&secured, &client(&ours, Some(&good), versions))
            .await
            .unwrap();
        assert!(caller.may_be(&node("eu-2")) && !caller.may_be(&node("eu-1")));
    }
}

#[tokio::test]
async fn a_server_with_a_bad_certificate() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let folder = Folder::new(&ours, &ours.sign(&["eu-2"]));
    folder.write("token", "correct-horse-battery");
    for security in [folder.mutual(), folder.caller_token()] {
        let secured = load(&security);
        let connect = async |signed: &Signed| {
            let (near, far) = pair().await;
            let (target, server) = (node("eu-1"), server(signed));
            let connect = secured.connect(near, "localhost", &target);
            let (io, _) = within("a handshake", async { tokio::join!(connect, server.accept(far)) }).await;
            io
        };
        for (name, signed, words) in bad(&ours, &others, ours.for_callers(&["eu-1"])) {
            let error = connect(&signed).await.err();
            is_refused(&error.unwrap_or_else(|| panic!("{name} was taken")), words);
        }
        connect(&ours.sign(&["eu-1"])).await.unwrap();
    }
}

/// Who shows a certificate has to have its key: certificates are no secret.
#[tokio::test]
async fn a_certificate_of_somebody_else() {
    let ours = Authority::new("ours");
    let secured = load(&Folder::new(&ours, &ours.sign(&["eu-2"])).mutual());
    let (stolen, own) = (ours.sign(&["eu-1"]), ours.sign(&["eu-3"]));
    let ((chain, _), (_, key)) = (parts(&stolen), parts(&own));
    let key = ring::sign::any_supported_type(&key).unwrap();
    let stolen = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    for version in BOTH {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap();
        let config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&stolen) as _);
        let server = TlsAcceptor::from(Arc::new(config));
        let (near, far) = super::pair().await;
        let target = node("eu-1");
        let connect = secured.connect(near, "localhost", &target);
        let (io, _) = within("a handshake", async { tokio::join!(connect, server.accept(far)) }).await;
        is_refused(&io.unwrap_err(), "its key is another");

        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&ours));
        let config = builder.with_client_cert_resolver(Arc::clone(&stolen) as _);
        let error = accept(&secured_as_eu_1(&ours), &TlsConnector::from(Arc::new(config))).await;
        is_refused(&error.unwrap_err(), "its key is another");
    }
}

/// Each handshake looks at certificates: none is a continuation of another.
#[tokio::test]
async fn nothing_is_resumed() {
    let ours = Authority::new("ours");
    let secured = secured_as_eu_1(&ours);
    for version in BOTH {
        let client = client(&ours, Some(&ours.sign(&["eu-2"])), &[version]);
        for _ in 0..3 {
            let (near, far) = super::pair().await;
            let connect = client.connect(ServerName::try_from("eu-1").unwrap(), near);
            let (tls, accepted) = within("a handshake", async {
                tokio::join!(connect, secured.accept(far))
            })
            .await;
            let (mut tls, (mut io, _)) = (tls.unwrap(), accepted.unwrap());
            // What a session is resumed with would come with the first bytes.
            io.write_all(b"ok").await.unwrap();
            io.flush().await.unwrap();
            tls.read_exact(&mut [0; 2]).await.unwrap();
            assert_ne!(tls.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

/// Two authorities of the same name: the signature tells them apart.
#[tokio::test]
async fn an_authority_that_calls_itself_ours() {
    let (ours, false_ours) = (Authority::new("ours"), Authority::new("ours"));
    let secured = load(&Folder::new(&ours, &ours.sign(&["eu-1"])).mutual());
    let client = client(&ours, Some(&false_ours.sign(&["eu-1"])), BOTH);
    is_refused(
        &accept(&secured, &client).await.unwrap_err(),
        "no authority in `ca`",
    );
}

#[tokio::test]
async fn a_client_that_speaks_something_else() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let secured = load(&folder.mutual());
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 64],
        &[0xff; 5000],
        // A record of a handshake, with a message in it that is longer than any may be.
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
    ] {
        let (mut near, far) = pair().await;
        near.write_all(bytes).await.unwrap();
        let error = within("an answer", secured.accept(far)).await.unwrap_err();
        is_refused(&error, "does not speak TLS");
    }
    // One that begins well and goes.
    let (mut near, far) = pair().await;
    near.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    drop(near);
    let error = within("an answer", secured.accept(far)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("closed the connection"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_something_else() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let secured = load(&folder.mutual());
    let (near, mut far) = pair().await;
    far.write_all(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d")
        .await
        .unwrap();
    let target = node("eu-1");
    let error = within("an answer", secured.connect(near, "127.0.0.1", &target)).await;
    is_refused(&error.unwrap_err(), "does not speak TLS");
}
