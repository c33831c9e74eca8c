//! Ways to a relay at a given address: `host:port` in the clear, `tls://host:port` with a CA file.
//! The usual way, a port-forward, is handed in by the engine instead.

use std::{path::PathBuf, sync::Arc};

use futures::FutureExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    net::TcpStream,
    time::{Duration, timeout},
};
use tokio_rustls::TlsConnector;

use crate::cockpit::ports::Trouble;

use super::source::{BoxIo, Dial};

const CONNECT: Duration = Duration::from_secs(5);

/// How to trust a relay that speaks TLS, and how it may trust us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The CA that signed the relay's certificate.
    pub ca_file: Option<PathBuf>,
    /// The name in its certificate, where it is not the address's host; Cilium's own certificates
    /// say `*.hubble-relay.cilium.io`.
    pub server_name: Option<String>,
    /// Our certificate and key, where the relay wants them.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A dial for an address out of `sluice.yaml`. Reads the files now, connects later.
pub fn dial_address(address: &str, tls: &Tls) -> Result<Dial, Trouble> {
    let (host_port, secure) = match address.strip_prefix("tls://") {
        Some(rest) => (rest, true),
        None => (address, false),
    };
    let (host, port) = host_port.rsplit_once(':').unwrap_or((host_port, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(wrong(
            address,
            "it is not host:port",
            "Write it as relay.example:4245 or tls://relay.example:443.",
        ));
    }
    let target: Arc<str> = host_port.into();
    if !secure {
        return Ok(Arc::new(move || {
            let target = Arc::clone(&target);
            async move { Ok(Box::pin(connect(&target).await?) as BoxIo) }.boxed()
        }));
    }
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| {
        wrong(address, "the server name is no DNS name", "Set the name that its certificate holds.")
    })?;
    let connector = TlsConnector::from(Arc::new(config(address, tls)?));
    Ok(Arc::new(move || {
        let (target, name, connector) = (Arc::clone(&target), name.clone(), connector.clone());
        async move {
            let stream = connect(&target).await?;
            match timeout(CONNECT, connector.connect(name, stream)).await {
                Ok(Ok(stream)) => Ok(Box::pin(stream) as BoxIo),
                Ok(Err(error)) => Err(wrong(
                    &target,
                    &format!("TLS failed: {error}"),
                    "Check the CA file and the server name given for this relay.",
                )),
                Err(_) => Err(silent(&target, "the TLS handshake took longer than 5 s")),
            }
        }
        .boxed()
    }))
}

async fn connect(target: &str) -> Result<TcpStream, Trouble> {
    match timeout(CONNECT, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for more; a failure here only costs time.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(silent(target, &error.to_string())),
        Err(_) => Err(silent(target, "no connection within 5 s")),
    }
}

fn config(address: &str, tls: &Tls) -> Result<ClientConfig, Trouble> {
    let Some(ca_file) = &tls.ca_file else {
        return Err(wrong(
            address,
            "it speaks TLS and no CA file is given",
            "Name the CA file of this relay.",
        ));
    };
    let unreadable = |file: &PathBuf, error: &dyn std::fmt::Display| {
        wrong(address, &format!("{} cannot be used: {error}", file.display()), "It must be readable PEM.")
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|e| unreadable(ca_file, &e))? {
        let certificate = certificate.map_err(|e| unreadable(ca_file, &e))?;
        roots.add(certificate).map_err(|e| unreadable(ca_file, &e))?;
    }
    if roots.is_empty() {
        return Err(unreadable(ca_file, &"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(address, &error.to_string(), "Report this: it cannot happen."))?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| unreadable(certificate, &e))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
            builder.with_client_auth_cert(chain, private).map_err(|e| unreadable(key, &e))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn wrong(address: &str, fact: &str, next: &str) -> Trouble {
    Trouble::new(&format!("relay address {address}"), fact, next)
}

fn silent(address: &str, fact: &str) -> Trouble {
    wrong(address, fact, "Check that the relay listens there and that the network lets us through.")
}
