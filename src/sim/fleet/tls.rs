//! Certificates of one simulated cluster: its own authority, the server's certificate, one that has
//! expired, and one for each person. Keys are made fresh each time; nothing is kept on disk here.

use std::{collections::HashMap, io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

use crate::sim::{api::cluster::CertName, fleet::people::Person};

pub struct Authority {
    /// The authority's certificate as PEM, for kubeconfigs.
    pub pem: String,
    pub good: Arc<ServerConfig>,
    pub expired: Arc<ServerConfig>,
    /// Certificate and key of a person, as PEM.
    pub people: HashMap<Person, (String, String)>,
    /// Who a client certificate of ours belongs to, by its bytes.
    names: HashMap<Vec<u8>, CertName>,
}

impl Authority {
    pub fn new(cluster: &str) -> io::Result<Self> {
        make(cluster).map_err(|e| io::Error::other(format!("certificates of {cluster}: {e}")))
    }

    /// Whose certificate this is.
    pub fn name_of(&self, certificate: &[u8]) -> Option<&CertName> {
        self.names.get(certificate)
    }
}

type Anyhow = Box<dyn std::error::Error + Send + Sync>;

fn make(cluster: &str) -> Result<Authority, Anyhow> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(&format!("{cluster}-ca"), &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone())?;
    let roots = Arc::new(roots);

    let server_key = KeyPair::generate()?;
    let config = |expired: bool| -> Result<Arc<ServerConfig>, Anyhow> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name = name("kube-apiserver", &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if expired {
            params.not_after = date_time_ymd(2025, 1, 1);
        }
        server_config(params.signed_by(&server_key, &issuer)?.der().clone(), &server_key, &roots)
    };
    let (good, expired) = (config(false)?, config(true)?);

    let (mut people, mut names) = (HashMap::new(), HashMap::new());
    for person in Person::ALL {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name(person.name(), &person.groups());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let who = CertName { user: person.name().to_owned(), groups: person.groups() };
        names.insert(certificate.der().to_vec(), who);
        people.insert(person, (certificate.pem(), key.serialize_pem()));
    }
    Ok(Authority { pem: issuer.pem(), good, expired, people, names })
}

fn name(common: &str, organizations: &[String]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    for organization in organizations {
        name.push(DnType::OrganizationName, organization.as_str());
    }
    name
}

/// HTTP/1.1 over TLS; a client may show a certificate of ours and need not.
fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    roots: &Arc<RootCertStore>,
) -> Result<Arc<ServerConfig>, Anyhow> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
