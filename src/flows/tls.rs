//! TLS on a byte stream to a flow source: whose authority is believed, what is shown of ours, and what
//! a failure means. Who it is and what a person can do about it is each source's own. Never prints or
//! keeps a key.

use std::{io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::AsyncBufReadExt as _,
    time::{Duration, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::source::Io;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Servers of HTTP/2 speak first, as soon as they accept who we are.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// What is believed and shown, as PEM. Has no `Debug`: it holds a key.
pub struct Pem {
    /// `None`: the system's.
    pub authorities: Option<Vec<u8>>,
    pub shown: Option<Shown>,
}

/// A certificate and its key.
pub struct Shown {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Why there is no TLS; the words are a fact without a full stop.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its certificate is made out to somebody else.
    OtherName(String),
    /// It wants to know who asks, and nothing is shown.
    WantsCertificate,
    /// It does not take what is shown.
    NotTaken(String),
    Failed(String),
    Late,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherName(why) | Self::Failed(why) => write!(f, "TLS failed: {why}"),
            Self::WantsCertificate => f.write_str("TLS failed: it asks for a client certificate"),
            Self::NotTaken(why) => write!(f, "TLS failed: it does not take our client certificate: {why}"),
            Self::Late => f.write_str("the TLS handshake took longer than 5 s"),
        }
    }
}

/// What of ours cannot be used, as a fact without a full stop.
pub fn config(pem: &Pem) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &pem.authorities {
        Some(authorities) => builder.with_root_certificates(roots(authorities)?),
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?,
    };
    let mut config = match &pem.shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let certificate: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&shown.certificate).collect();
            let certificate = certificate.map_err(|_| "the client certificate is not PEM")?;
            if certificate.is_empty() {
                return Err("there is no client certificate where one should be".to_owned());
            }
            // The errors would tell of the key's bytes.
            let key = PrivateKeyDer::from_pem_slice(&shown.key).map_err(|_| "the client's key is not PEM")?;
            builder
                .with_client_auth_cert(certificate, key)
                .map_err(|_| "the client's certificate and key do not belong together")?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(authorities: &[u8]) -> Result<RootCertStore, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("its authorities cannot be used: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() { Err(unusable(&"there is no certificate in it")) } else { Ok(roots) }
}

/// Speaks it to whoever has a certificate of this name. A server that does not take who we are says so
/// only after the handshake, so its first word is waited for.
pub async fn speak<S: Io + Unpin>(
    stream: S,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<TlsStream<S>, Refused> {
    let shows = config.client_auth_cert_resolver.has_certs();
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Refused::OtherName("no name to check its certificate against".to_owned()))?;
    let connecting = timeout(HANDSHAKE, TlsConnector::from(config).connect(name, stream)).await;
    let mut stream = connecting.map_err(|_| Refused::Late)?.map_err(|error| refused(&error, shows))?;
    match timeout(FIRST_WORD, stream.fill_buf()).await {
        Ok(Err(error)) => Err(refused(&error, shows)),
        Ok(Ok(_)) | Err(_) => Ok(stream),
    }
}

fn refused(error: &io::Error, shows: bool) -> Refused {
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match told {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Refused::OtherName(error.to_string()),
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => Refused::WantsCertificate,
        Some(Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError),
        )) => match shows {
            true => Refused::NotTaken(format!("{alert:?}")),
            false => Refused::WantsCertificate,
        },
        Some(_) | None => Refused::Failed(error.to_string()),
    }
}
