//! Mutual TLS on a byte stream to Goldmane: its certificate must be of the operator's authority and
//! made out to the Service, and ours is shown. Never prints or keeps a key.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;

use crate::{
    cockpit::ports::Trouble,
    flows::source::{BoxIo, Io},
};

const HANDSHAKE: Duration = Duration::from_secs(5);
/// What the operator makes Goldmane's certificate out to.
const NAME: &str = "goldmane.calico-system.svc";

/// What is shown and believed, as PEM. Has no `Debug`: it holds a key.
pub struct Pem {
    pub authorities: Vec<u8>,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

pub async fn speak(stream: impl Io + Unpin + 'static, pem: &Pem) -> Result<BoxIo, Trouble> {
    let connector = TlsConnector::from(Arc::new(config(pem)?));
    let name = ServerName::try_from(NAME).map_err(|_| trouble("its name is not one of a server"))?;
    match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::pin(stream)),
        Ok(Err(error)) => Err(trouble(&format!("TLS failed: {error}"))),
        Err(_) => Err(trouble("the TLS handshake took longer than 5 s")),
    }
}

fn config(pem: &Pem) -> Result<ClientConfig, Trouble> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&pem.authorities) {
        let authority = authority.map_err(|_| trouble("its authorities are not PEM"))?;
        roots.add(authority).map_err(|_| trouble("an authority of its bundle is no certificate"))?;
    }
    let certificate: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.certificate).collect();
    let certificate = certificate.map_err(|_| trouble("the client certificate is not PEM"))?;
    // The error would tell of the key's bytes.
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| trouble("the client's key is not PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| trouble("no version of TLS is at hand"))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificate, key)
        .map_err(|_| trouble("the client's certificate and key do not belong together"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn trouble(fact: &str) -> Trouble {
    Trouble::new("Goldmane", fact, "Look at the Tigera operator's certificates in calico-system.")
}
