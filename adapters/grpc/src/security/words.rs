//! What goes wrong with a connection, in words that say what to do.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use ringhold_core::{Error, ErrorKind, NodeId};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::identity::Names;

pub(super) const LOAD: &str = "security";
pub(super) const SERVE: &str = "serve";
pub(super) const ACCEPT: &str = "accept";
pub(super) const CONNECT: &str = "connect";
pub(super) const ADMIT: &str = "admit";

/// Plain, and one end is not on this machine.
pub(super) fn plain(operation: &'static str, end: SocketAddr) -> Error {
    let context = format!(
        "{end} is not on loopback, and nothing is sent to or taken from elsewhere in plain text; set \
         `Security::MutualTls` or `Security::Token`"
    );
    Error::new(ErrorKind::InvalidArgument, operation, context)
}

/// The connection ended before anything could be known of it.
pub(super) fn gone(operation: &'static str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "the connection is gone").with_source(error)
}

/// The server's certificate is another node's.
pub(super) fn another_node(names: &Names, target: &NodeId) -> Error {
    let context = format!("the server's certificate is for {names}, and not for node {target}");
    refused(CONNECT, context)
}

/// This side's own certificate is of no use, for the reason that `error` gives.
pub(super) fn own(operation: &'static str, place: impl Display, error: TlsError) -> Error {
    let what = match &error {
        TlsError::InvalidCertificate(error) => certificate(error).unwrap_or("cannot be used"),
        TlsError::InconsistentKeys(_) => "does not belong to the private key",
        _ => "cannot be used with its private key",
    };
    let context = format!("this side's certificate ({place}) {what}");
    Error::new(ErrorKind::InvalidArgument, operation, context).with_source(error)
}

/// A handshake, or what came behind it, failed.
pub(super) fn handshake(operation: &'static str, error: io::Error) -> Error {
    let Some(tls) = tls_error(&error) else {
        let context = "the other side closed the connection amid the handshake; it may not speak TLS";
        return Error::new(ErrorKind::Unavailable, operation, context).with_source(error);
    };
    let context = words(tls);
    refused(operation, context).with_source(error)
}

/// What rustls has to say in `error`.
pub(super) fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

fn words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => {
            let what = certificate(error).unwrap_or("is not accepted");
            format!("the other side's certificate {what}")
        }
        TlsError::NoCertificatesPresented => {
            "the other side shows no certificate; it needs `Security::MutualTls`".to_owned()
        }
        TlsError::AlertReceived(alert) => self::alert(*alert).to_owned(),
        TlsError::InvalidMessage(_) | TlsError::PeerSentOversizedRecord => {
            "the other side does not speak TLS; it needs the same `Security`".to_owned()
        }
        TlsError::NoApplicationProtocol => "the other side does not speak HTTP/2".to_owned(),
        TlsError::PeerIncompatible(_) => {
            "the other side has no version or cipher of TLS that this one has".to_owned()
        }
        _ => "TLS with the other side failed".to_owned(),
    }
}

/// What is wrong with a certificate, where rustls says it in particular.
fn certificate(error: &CertificateError) -> Option<&'static str> {
    use CertificateError as E;
    let what = match error {
        E::Expired | E::ExpiredContext { .. } => "has expired; renew it, or put the clock right",
        E::NotValidYet | E::NotValidYetContext { .. } => "is not valid yet; put the clock right, or wait",
        E::UnknownIssuer => "is signed by none of the authorities in `ca`",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "is for another use; a server's needs the usage serverAuth, a caller's clientAuth"
        }
        E::BadSignature => "has a wrong signature: no authority in `ca` has signed it, or its key is another",
        E::BadEncoding => "is damaged",
        _ => return None,
    };
    Some(what)
}

/// What the other side has to say.
fn alert(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => {
            "the other side says that this side's certificate has expired or is not valid yet"
        }
        A::UnknownCA => {
            "the other side says that an authority it does not trust has signed this side's certificate"
        }
        A::DecryptError => "the other side says that this side's certificate has a wrong signature",
        A::CertificateRequired => "the other side asks for a certificate; set `Security::MutualTls`",
        A::UnsupportedCertificate => "the other side says that this side's certificate is for another use",
        A::BadCertificate | A::CertificateUnknown | A::CertificateRevoked | A::AccessDenied => {
            "the other side refuses this side's certificate"
        }
        A::NoApplicationProtocol => "the other side does not speak HTTP/2",
        A::ProtocolVersion => "the other side has no version of TLS that this one has",
        _ => "the other side broke TLS off",
    }
}

/// What the other side shows is not good enough, and will not be the next time.
fn refused(operation: &'static str, context: String) -> Error {
    Error::new(ErrorKind::Unavailable, operation, context).with_retryable(false)
}
