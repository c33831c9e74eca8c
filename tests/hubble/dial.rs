//! A relay that listens on an address of its own: in the clear and with TLS, on loopback.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use sluice::{
    cockpit::ports::{RelayAddress, Trouble},
    domain::names::Text,
    flows::source::dial_address,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::TlsAcceptor;

/// Serves `hello` to each connection; with TLS where a certificate for `name` is wanted.
async fn serve(name: Option<&str>) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, ca) = match name {
        Some(name) => {
            let (acceptor, ca) = acceptor(name);
            (Some(acceptor), ca)
        }
        None => (None, String::new()),
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            match &acceptor {
                Some(acceptor) => {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let _ = stream.write_all(b"hello").await;
                    }
                }
                None => drop(stream.write_all(b"hello").await),
            }
        }
    });
    (port, ca)
}

fn acceptor(name: &str) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &ca).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a server");
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), ca.pem())
}

/// What comes first on a connection.
async fn greeting(port: u16, ca: Option<&str>) -> Result<String, Trouble> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.crt");
    if let Some(ca) = ca {
        std::fs::write(&file, ca).expect("written");
    }
    let relay = RelayAddress {
        host: Text::new("127.0.0.1"),
        port,
        tls: ca.is_some(),
        ca: ca.map(|_| Text::new(file.to_str().expect("UTF-8"))),
    };
    let mut stream = dial_address(relay)().await?;
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.expect("a greeting");
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn an_address_is_reached_in_the_clear_and_with_tls() {
    let (port, _) = serve(None).await;
    assert_eq!(greeting(port, None).await, Ok("hello".to_owned()));
    let (port, ca) = serve(Some("127.0.0.1")).await;
    assert_eq!(greeting(port, Some(&ca)).await, Ok("hello".to_owned()));
    let (port, ca) = serve(Some("*.hubble-relay.cilium.io")).await;
    assert_eq!(greeting(port, Some(&ca)).await, Ok("hello".to_owned()), "the name Cilium gives its relays");
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said() {
    let said = |answer: Result<String, Trouble>| {
        let trouble = answer.expect_err("a trouble");
        format!("{}. {}", trouble.fact, trouble.next)
    };
    let (port, _) = serve(Some("127.0.0.1")).await;
    let (_, other) = acceptor("127.0.0.1");
    let foreign = said(greeting(port, Some(&other)).await);
    assert!(foreign.starts_with("TLS failed: invalid peer certificate"), "{foreign}");
    assert!(foreign.ends_with("Check `ca` of this relay in sluice.yaml."), "{foreign}");
    let (port, ca) = serve(Some("elsewhere.example")).await;
    let elsewhere = said(greeting(port, Some(&ca)).await);
    assert!(elsewhere.contains("certificate not valid for name"), "{elsewhere}");
    let empty = said(greeting(port, Some("no certificate")).await);
    assert!(empty.contains("there is no certificate in it"), "{empty}");
    // Bound and never listening: nobody else gets the port meanwhile.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = closed.local_addr().expect("an address").port();
    let refused = said(greeting(port, None).await);
    assert!(refused.starts_with("Connection refused"), "{refused}");
}
