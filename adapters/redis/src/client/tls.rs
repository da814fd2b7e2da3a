//! TLS connections: their certificates, and the reason where none is made.

use std::sync::Arc;

use ringhold_access::{Certificates, ClientCertificates, TlsFiles};

use super::{Command, Link, LinkError};

/// The certificates of one backend.
pub(crate) struct Tls(ClientCertificates);

impl Tls {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self(ClientCertificates::new(files))
    }

    /// The certificates of the files as they are now.
    pub(crate) async fn certificates(&self) -> Result<Arc<Certificates>, LinkError> {
        self.0.load().await.map_err(LinkError::Denied)
    }

    /// A link that was made, once its server has answered on it: only then has it accepted this side's certificate.
    pub(crate) async fn accepted(
        &self,
        made: Result<Arc<dyn Link>, LinkError>,
    ) -> Result<Arc<dyn Link>, LinkError> {
        let answered = match made {
            Ok(link) => link.send(&[Command::of(&["PING"])]).await.map(|_| link),
            Err(error) => Err(error),
        };
        answered.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: LinkError) -> LinkError {
        let LinkError::Broken(source) = error else {
            return error;
        };
        // A library may keep of an error what its `Debug` shows.
        match self.0.refusal(&format!("{source} {source:?}")) {
            Some(refusal) => LinkError::Tls(refusal.context),
            None => LinkError::Broken(source),
        }
    }
}
