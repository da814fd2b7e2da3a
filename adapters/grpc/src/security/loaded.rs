//! What the files of a `Security` come to.

use std::path::Path;
use std::sync::Arc;

use ringhold_core::{Error, ErrorKind, Result};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::token::Token;
use super::verifier::Verifier;
use super::words::{self, ACCEPT, CONNECT, LOAD, SERVE};
use super::{Security, files};

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const HTTP2: &[u8] = b"h2";

/// What is used by handshakes and requests until the files change.
#[derive(Debug)]
pub(crate) struct Loaded {
    tls: Option<Tls>,
    token: Option<Token>,
}

struct Tls {
    connector: TlsConnector,
    acceptor: Option<TlsAcceptor>,
    /// This side's certificate, and those between it and an authority.
    own: Vec<CertificateDer<'static>>,
    verifier: Arc<Verifier>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Loaded {
    /// Reads the files, and checks that the other side can make use of what they hold.
    pub(super) fn read(security: &Security) -> Result<Self> {
        match security {
            Security::Plain => Ok(Self {
                tls: None,
                token: None,
            }),
            Security::MutualTls { ca, certificate, key } => {
                let pair = Pair::read(certificate, key)?;
                let tls = Material::read(ca)?.mutual(&pair)?;
                Ok(Self {
                    tls: Some(tls),
                    token: None,
                })
            }
            Security::Token {
                ca,
                certificate,
                key,
                token,
            } => {
                let pair = match (certificate, key) {
                    (Some(certificate), Some(key)) => Some(Pair::read(certificate, key)?),
                    (None, None) => None,
                    _ => {
                        let context = "of `certificate` and `key`, one is missing: give both, or neither";
                        return Err(Error::new(ErrorKind::InvalidArgument, LOAD, context));
                    }
                };
                let tls = Material::read(ca)?.one_sided(pair.as_ref())?;
                Ok(Self {
                    tls: Some(tls),
                    token: Some(Token::read(token)?),
                })
            }
        }
    }

    /// For the client's side of a handshake.
    pub(super) fn connector(&self) -> Result<&TlsConnector> {
        let tls = self.tls.as_ref().ok_or_else(|| no_tls(CONNECT))?;
        Ok(&tls.connector)
    }

    /// For the server's side of a handshake.
    pub(super) fn acceptor(&self) -> Result<&TlsAcceptor> {
        let tls = self.tls.as_ref().ok_or_else(|| no_tls(ACCEPT))?;
        tls.acceptor.as_ref().ok_or_else(|| no_certificate(ACCEPT))
    }

    /// The certificate that this side shows where it serves, checked as a caller would.
    pub(super) fn serving(&self) -> Result<&CertificateDer<'static>> {
        let tls = self.tls.as_ref().ok_or_else(|| no_tls(SERVE))?;
        let [own, between @ ..] = tls.own.as_slice() else {
            return Err(no_certificate(SERVE));
        };
        let checked = tls.verifier.check(own, between, UnixTime::now());
        checked.map_err(|error| words::own(SERVE, "in use", error))?;
        Ok(own)
    }

    /// What callers show, where that is a token.
    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

/// A certificate with its chain and key.
struct Pair<'a> {
    path: &'a Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl<'a> Pair<'a> {
    fn read(path: &'a Path, key: &Path) -> Result<Self> {
        Ok(Self {
            path,
            chain: files::certificates("the certificate", path)?,
            key: files::key(key)?,
        })
    }
}

/// What both sides of all connections are made of.
struct Material {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    verifier: Arc<Verifier>,
}

impl Material {
    fn read(ca: &Path) -> Result<Self> {
        let what = "the authority";
        let mut roots = RootCertStore::empty();
        for certificate in files::certificates(what, ca)? {
            roots.add(certificate).map_err(|error| {
                files::bad(what, ca, "is no certificate that can be used").with_source(error)
            })?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        Ok(Self {
            verifier: Arc::new(Verifier::new(Arc::clone(&roots), Arc::clone(&provider))),
            provider,
            roots,
        })
    }

    /// Both sides show a certificate.
    fn mutual(&self, pair: &Pair<'_>) -> Result<Tls> {
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&self.provider));
        let callers = callers.build().map_err(unusable)?;
        // Everyone calls. Whether it may serve as well is asked when it serves.
        if let [own, between @ ..] = pair.chain.as_slice() {
            let checked = callers.verify_client_cert(own, between, UnixTime::now());
            checked.map_err(|error| words::own(LOAD, pair.path.display(), error))?;
        }
        let client = self
            .client()?
            .with_client_auth_cert(pair.chain.clone(), pair.key.clone_key());
        let client = client.map_err(|error| words::own(LOAD, pair.path.display(), error))?;
        let acceptor = self.acceptor(pair, Some(callers))?;
        Ok(self.tls(client, Some(acceptor), pair.chain.clone()))
    }

    /// Only the server shows one.
    fn one_sided(&self, pair: Option<&Pair<'_>>) -> Result<Tls> {
        let client = self.client()?.with_no_client_auth();
        let Some(pair) = pair else {
            return Ok(self.tls(client, None, Vec::new()));
        };
        if let [own, between @ ..] = pair.chain.as_slice() {
            let checked = self.verifier.check(own, between, UnixTime::now());
            checked.map_err(|error| words::own(LOAD, pair.path.display(), error))?;
        }
        let acceptor = self.acceptor(pair, None)?;
        Ok(self.tls(client, Some(acceptor), pair.chain.clone()))
    }

    fn tls(
        &self,
        mut client: ClientConfig,
        acceptor: Option<TlsAcceptor>,
        own: Vec<CertificateDer<'static>>,
    ) -> Tls {
        client.alpn_protocols = vec![HTTP2.to_vec()];
        // A resumed connection would not look at certificates again, and connections live long.
        client.resumption = Resumption::disabled();
        Tls {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor,
            own,
            verifier: Arc::clone(&self.verifier),
        }
    }

    fn client(&self) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(VERSIONS)
            .map_err(unusable)?;
        // Ours checks all that rustls' own does, but for the name, which `Secured::connect` checks.
        Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier) as _))
    }

    fn acceptor(&self, pair: &Pair<'_>, callers: Option<Arc<dyn ClientCertVerifier>>) -> Result<TlsAcceptor> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(VERSIONS)
            .map_err(unusable)?;
        let builder = match callers {
            Some(callers) => builder.with_client_cert_verifier(callers),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder
            .with_single_cert(pair.chain.clone(), pair.key.clone_key())
            .map_err(|error| words::own(LOAD, pair.path.display(), error))?;
        server.alpn_protocols = vec![HTTP2.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(server)))
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        LOAD,
        "TLS cannot be set up with these files",
    )
    .with_source(error)
}

fn no_tls(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        operation,
        "there is no TLS without security",
    )
}

fn no_certificate(operation: &'static str) -> Error {
    let context = "a process that serves needs `certificate` and `key`";
    Error::new(ErrorKind::InvalidArgument, operation, context)
}
