//! Certificates as the Tigera operator makes them: its authority, Goldmane's own, and those of its
//! clients; and the objects they lie in. Keys are made fresh each time; nothing is kept on disk.

use std::{collections::BTreeMap, io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};

use super::{NAME, NAMESPACE};

/// Secrets in calico-system whose certificates Goldmane takes.
pub const CLIENTS: [&str; 2] = ["node-certs", "whisker-backend-key-pair"];

pub struct Certificates {
    /// Takes clients of the operator's authority only.
    pub server: Arc<ServerConfig>,
    bundle: String,
    /// Certificate and key by Secret, as PEM.
    secrets: BTreeMap<&'static str, (String, String)>,
}

type Anyhow = Box<dyn std::error::Error + Send + Sync>;

impl Certificates {
    pub fn new() -> io::Result<Self> {
        make().map_err(|error| io::Error::other(format!("certificates of Goldmane: {error}")))
    }

    /// The ConfigMap and the Secrets, as the operator leaves them.
    pub fn objects(&self, created: &str) -> Vec<Value> {
        let meta = |name: &str| json!({ "name": name, "namespace": NAMESPACE, "creationTimestamp": created });
        let bundle = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("goldmane-ca-bundle"),
            "data": { "tigera-ca-bundle.crt": self.bundle },
        });
        let secret = |(name, (certificate, key)): (&&str, &(String, String))| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta(name),
                "data": { "tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key) },
            })
        };
        self.secrets.iter().map(secret).chain([bundle]).collect()
    }
}

fn make() -> Result<Certificates, Anyhow> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "tigera-operator-signer");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone())?;

    let key = KeyPair::generate()?;
    let names = [NAME.to_owned(), format!("{NAME}.{NAMESPACE}"), format!("{NAME}.{NAMESPACE}.svc")];
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let own = params.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.der().clone()], der)?;
    server.alpn_protocols = vec![b"h2".to_vec()];

    let mut secrets = BTreeMap::from([("goldmane-key-pair", (own.pem(), key.serialize_pem()))]);
    for name in CLIENTS {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        secrets.insert(name, (params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()));
    }
    Ok(Certificates { server: Arc::new(server), bundle: issuer.pem(), secrets })
}
