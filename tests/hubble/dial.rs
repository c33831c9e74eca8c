//! A relay that listens on an address of its own: in the clear, with TLS, and with client certificates,
//! on loopback.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::PrivateKeyDer,
    server::{NoClientAuth, WebPkiClientVerifier},
};
use sluice::{
    cockpit::{
        plan::{ShownFiles, TlsFiles},
        ports::{RelayAddress, Trouble},
    },
    domain::names::Text,
    flows::{dial::dial_address, source::Dial},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::TlsAcceptor;

pub type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Whether a server asks who its clients are.
#[derive(Clone, Copy, PartialEq)]
pub enum Asks {
    Nothing,
    Certificate,
}

pub fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// Of a server with a certificate for `name`; its clients' are of the same authority.
pub fn server(ca: &Issuer, name: &str, asks: Asks) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, ca).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    let verifier = match asks {
        Asks::Nothing => Arc::new(NoClientAuth),
        Asks::Certificate => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            verifier.build().expect("a verifier")
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a server");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Files of a client in a folder: the authority that it believes, and what another one gave it.
pub fn files(folder: &Path, believed: &str, shown: Option<&Issuer>) -> TlsFiles {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("written");
        Text::new(file.to_str().expect("UTF-8"))
    };
    let shown = shown.map(|ca| {
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(Vec::new()).expect("parameters").signed_by(&key, ca);
        let cert = write("client.crt", &own.expect("a certificate").pem());
        ShownFiles { cert, key: write("client.key", &key.serialize_pem()) }
    });
    TlsFiles { ca: Some(write("ca.crt", believed)), shown }
}

/// Serves `hello` to each connection, with TLS where it is given.
async fn serve(tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            match tls.clone().map(TlsAcceptor::from) {
                Some(acceptor) => {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let _ = stream.write_all(b"hello").await;
                    }
                }
                None => drop(stream.write_all(b"hello").await),
            }
        }
    });
    port
}

fn dial(port: u16, tls: Option<TlsFiles>) -> Dial {
    dial_address(RelayAddress { host: Text::new("127.0.0.1"), port, tls })
}

/// What comes first on a connection.
async fn greeting(dial: &Dial) -> Result<String, Trouble> {
    let mut stream = dial().await?;
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.expect("a greeting");
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn said(answer: Result<String, Trouble>) -> String {
    let trouble = answer.expect_err("a trouble");
    format!("{}. {}", trouble.fact, trouble.next)
}

#[tokio::test]
async fn an_address_is_reached_in_the_clear_and_with_tls() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority());
    let hello = Ok("hello".to_owned());
    let port = serve(None).await;
    assert_eq!(greeting(&dial(port, None)).await, hello);
    for name in ["127.0.0.1", "*.hubble-relay.cilium.io", "ui.hubble-relay.cilium.io"] {
        let port = serve(Some(server(&ca, name, Asks::Nothing))).await;
        let files = files(folder.path(), &ca.pem(), None);
        assert_eq!(greeting(&dial(port, Some(files))).await, hello, "{name}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority());
    let port = serve(Some(server(&ca, "127.0.0.1", Asks::Nothing))).await;
    let to = |port, believed: &str| dial(port, Some(files(folder.path(), believed, None)));
    let foreign = said(greeting(&to(port, &authority().pem())).await);
    assert!(foreign.starts_with("TLS failed: invalid peer certificate"), "{foreign}");
    assert!(foreign.ends_with("Check `ca` of this relay in sluice.yaml."), "{foreign}");
    let empty = said(greeting(&to(port, "no certificate")).await);
    assert!(empty.contains("there is no certificate in it"), "{empty}");
    let port = serve(Some(server(&ca, "elsewhere.example", Asks::Nothing))).await;
    let elsewhere = said(greeting(&to(port, &ca.pem())).await);
    assert!(elsewhere.contains("certificate not valid for name"), "{elsewhere}");
    // Bound and never listening: nobody else gets the port meanwhile.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = closed.local_addr().expect("an address").port();
    let refused = said(greeting(&dial(port, None)).await);
    assert!(refused.starts_with("Connection refused"), "{refused}");
}

#[tokio::test]
async fn a_relay_that_asks_who_we_are_is_shown_a_certificate() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority());
    let port = serve(Some(server(&ca, "127.0.0.1", Asks::Certificate))).await;
    let nothing = dial(port, Some(files(folder.path(), &ca.pem(), None)));
    assert_eq!(
        said(greeting(&nothing).await),
        "TLS failed: it asks for a client certificate. Set `cert` and `key` of this relay: a client certificate of Cilium's authority, such as that of Secret hubble-ui-client-certs."
    );
    let foreign = dial(port, Some(files(folder.path(), &ca.pem(), Some(&authority()))));
    let foreign = said(greeting(&foreign).await);
    assert!(foreign.starts_with("TLS failed: it does not take our client certificate"), "{foreign}");
    let good = dial(port, Some(files(folder.path(), &ca.pem(), Some(&ca))));
    assert_eq!(greeting(&good).await, Ok("hello".to_owned()));

    // Each attempt reads the files anew, and what is in them is never told.
    let key = folder.path().join("client.key");
    let text = std::fs::read_to_string(&key).expect("a key");
    let other = KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(&key, &other).expect("written");
    let wrong = said(greeting(&good).await);
    assert_eq!(
        wrong,
        "the client's certificate and key do not belong together. Set `ca`, `cert` and `key` of this relay to PEM files; `key` is the one of `cert`."
    );
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2Vrcml0\n").expect("written");
    let broken = said(greeting(&good).await);
    assert!(broken.starts_with("the client's key is not PEM.") && !broken.contains("c2Vrcml0"), "{broken}");
    std::fs::remove_file(&key).expect("removed");
    let gone = said(greeting(&good).await);
    assert!(gone.starts_with("the file ") && gone.contains("client.key cannot be read"), "{gone}");
    std::fs::write(&key, &text).expect("written");
    assert_eq!(greeting(&good).await, Ok("hello".to_owned()));
}
