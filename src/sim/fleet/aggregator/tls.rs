//! The aggregator's self-signed chain, and the ConfigMap that its authority lies in. Keys are made fresh
//! each time; nothing is kept on disk. Clients show nothing.

use std::{io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

use super::{NAME, NAMESPACE};

pub struct Certificates {
    pub server: Arc<ServerConfig>,
    authority: String,
}

impl Certificates {
    pub fn new() -> io::Result<Self> {
        make().map_err(|error| io::Error::other(format!("certificates of the flow aggregator: {error}")))
    }

    pub fn object(&self, created: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "flow-aggregator-ca", "namespace": NAMESPACE, "creationTimestamp": created },
            "data": { "ca.crt": self.authority },
        })
    }
}

fn make() -> Result<Certificates, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "flow-aggregator-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![format!("{NAME}.{NAMESPACE}.svc")])?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let own = params.signed_by(&key, &issuer)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], der)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Certificates { server: Arc::new(server), authority: issuer.pem() })
}
