//! TLS on a byte stream to the flow aggregator: its certificate must be of its own authority and made
//! out to the Service. Nothing of ours is shown: it asks for no client certificate.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;

use crate::{
    cockpit::ports::Trouble,
    flows::source::{BoxIo, Io},
};

const HANDSHAKE: Duration = Duration::from_secs(5);
const NAME: &str = "flow-aggregator.flow-aggregator.svc";

/// `authority`: as PEM.
pub async fn speak(stream: impl Io + Unpin + 'static, authority: &[u8]) -> Result<BoxIo, Trouble> {
    let connector = TlsConnector::from(Arc::new(config(authority)?));
    let name = ServerName::try_from(NAME).map_err(|_| trouble("its name is not one of a server"))?;
    match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::pin(stream)),
        Ok(Err(error)) => Err(trouble(&format!("TLS failed: {error}"))),
        Err(_) => Err(trouble("the TLS handshake took longer than 5 s")),
    }
}

fn config(authority: &[u8]) -> Result<ClientConfig, Trouble> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|_| trouble("its authority is not PEM"))?;
        roots.add(certificate).map_err(|_| trouble("its authority is no certificate"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| trouble("no version of TLS is at hand"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn trouble(fact: &str) -> Trouble {
    let next = "Look at ConfigMap flow-aggregator/flow-aggregator-ca: kubectl -n flow-aggregator get configmap flow-aggregator-ca";
    Trouble::new("flow aggregator", fact, next)
}
