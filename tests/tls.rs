//! What is said when the way to an API server fails below HTTP: on loopback, with a certificate
//! made for the occasion.

use std::sync::Arc;

use base64::Engine as _;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use sluice::{
    cockpit::ports::{ClusterFact, Fact},
    domain::names::ClusterName,
    k8s::{
        connect::{Contexts, Proxies},
        watch,
    },
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket},
    sync::{Notify, mpsc},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server that finishes the handshake if it can, and says nothing. Its port.
async fn serve(issuer: &Issuer, name: &str, expired: bool) -> u16 {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    if expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut bytes = [0; 16];
                let _ = stream.read(&mut bytes).await;
            }
        }
    });
    port
}

/// What a cluster behind this address is said to be.
async fn said(server: &str, authority: &Issuer) -> String {
    let ca = base64::engine::general_purpose::STANDARD.encode(authority.pem());
    let config = format!(
        "apiVersion: v1
kind: Config
clusters:
- {{name: c, cluster: {{server: '{server}', certificate-authority-data: {ca}}}}}
users:
- {{name: u, user: {{token: sekrit}}}}
contexts:
- {{name: one, context: {{cluster: c, user: u}}}}
"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    std::fs::write(&path, config).expect("written");
    let access = Contexts::read(vec![path], Proxies::default()).expect("a kubeconfig").access("one");
    let (sender, mut inbox) = mpsc::channel(8);
    let name = ClusterName::parse("one").expect("a name");
    let (_asks, asks) = tokio::sync::watch::channel(watch::Asks::default());
    let wishes =
        watch::Wishes { again: Arc::new(Notify::new()), asks, bodies: watch::SharedBodies::default() };
    let task = tokio::spawn(watch::run(name, access, sender, wishes));
    let fact = inbox.recv().await;
    task.abort();
    match fact {
        Some(Fact::Cluster(_, ClusterFact::Away(trouble))) => trouble.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn faults_below_http_are_told_apart() {
    let (ours, theirs) = (authority(), authority());
    let good = serve(&ours, "localhost", false).await;
    let expired = serve(&ours, "localhost", true).await;
    // Bound and never listening: nobody else gets the port meanwhile.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let unused = closed.local_addr().expect("one").port();
    for (server, authority, said_of_it) in [
        (
            format!("https://localhost:{expired}"),
            &ours,
            "one: the server's certificate has expired. Renew the API server's certificate.",
        ),
        (
            format!("https://localhost:{good}"),
            &theirs,
            "one: the server's certificate is signed by an unknown authority. Check certificate-authority of this context: it is not the CA of this server.",
        ),
        (
            format!("https://127.0.0.1:{good}"),
            &ours,
            "one: the server's certificate is for another name. Check the server address, or set tls-server-name in the kubeconfig.",
        ),
        (
            format!("https://127.0.0.1:{unused}"),
            &ours,
            "one: connection refused. Check that the API server runs and that its address and port are right.",
        ),
        (
            format!("https://localhost:{good}"),
            &ours,
            "one: the connection broke. Check that the API server runs and that its address and port are right.",
        ),
    ] {
        assert_eq!(said(&server, authority).await, said_of_it);
    }
}
