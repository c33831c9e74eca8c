//! The way to a relay that listens on an address of its own, in the clear or with TLS.
//! The usual way, a port-forward, is handed in by the engine instead.

use std::{io, sync::Arc};

use futures::FutureExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    net::TcpStream,
    time::{Duration, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::cockpit::ports::{RelayAddress, Trouble};

use super::source::{BoxIo, Dial};

const CONNECT: Duration = Duration::from_secs(5);

/// What Cilium's own certificates are made out to (`*.hubble-relay.cilium.io`). Believed only under
/// a CA that was named for this relay.
const CILIUM_NAME: &str = "relay.hubble-relay.cilium.io";

/// A dial for an address out of `sluice.yaml`. The CA file is read at each attempt, so a renewed one
/// needs no restart.
pub fn dial_address(relay: RelayAddress) -> Dial {
    let relay = Arc::new(relay);
    Arc::new(move || {
        let relay = Arc::clone(&relay);
        async move {
            if relay.tls {
                Ok(Box::pin(connect_tls(&relay).await?) as BoxIo)
            } else {
                Ok(Box::pin(connect(&relay).await?) as BoxIo)
            }
        }
        .boxed()
    })
}

async fn connect(relay: &RelayAddress) -> Result<TcpStream, Trouble> {
    let open = TcpStream::connect((relay.host.as_str(), relay.port));
    match timeout(CONNECT, open).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for more; a failure here only costs time.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(silent(relay, &error.to_string())),
        Err(_) => Err(silent(relay, "no connection within 5 s")),
    }
}

async fn connect_tls(relay: &RelayAddress) -> Result<TlsStream<TcpStream>, Trouble> {
    let connector = TlsConnector::from(Arc::new(config(relay)?));
    let mut names = vec![relay.host.as_str()];
    if relay.ca.is_some() {
        names.push(CILIUM_NAME);
    }
    let mut refused = String::from("no name to check its certificate against");
    for name in names {
        let Ok(name) = ServerName::try_from(name.to_owned()) else { continue };
        let stream = connect(relay).await?;
        match timeout(CONNECT, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if is_other_name(&error) => refused = error.to_string(),
            Ok(Err(error)) => return Err(untrusted(relay, &error.to_string())),
            Err(_) => return Err(silent(relay, "the TLS handshake took longer than 5 s")),
        }
    }
    Err(untrusted(relay, &refused))
}

fn is_other_name(error: &io::Error) -> bool {
    use rustls::{CertificateError, Error};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        inner,
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ))
    )
}

fn config(relay: &RelayAddress) -> Result<ClientConfig, Trouble> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: rustls::Error| {
        wrong(relay, &error.to_string(), "Name the relay's certificate authority as `ca`.")
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let builder = match &relay.ca {
        Some(file) => builder.with_root_certificates(roots(file.as_str()).map_err(|fact| {
            wrong(relay, &fact, "Set `ca` to a readable PEM file with the relay's certificate authority.")
        })?),
        None => builder.with_platform_verifier().map_err(broken)?,
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(file: &str) -> Result<RootCertStore, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("the CA file {file} cannot be used: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() { Err(unreadable(&"there is no certificate in it")) } else { Ok(roots) }
}

fn wrong(relay: &RelayAddress, fact: &str, next: &str) -> Trouble {
    Trouble::new(&format!("relay {}:{}", relay.host, relay.port), fact, next)
}

fn silent(relay: &RelayAddress, fact: &str) -> Trouble {
    wrong(relay, fact, "Check that the relay listens there and that the network lets us through.")
}

fn untrusted(relay: &RelayAddress, fact: &str) -> Trouble {
    wrong(relay, &format!("TLS failed: {fact}"), "Check `ca` of this relay in sluice.yaml.")
}
