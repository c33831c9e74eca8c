use chrono::Utc;
use hyper_util::rt::TokioIo;
use sluice::sim::api::clock::Clock;
use sluice::sim::api::cluster::*;
#[tokio::main]
async fn main() {
    let cluster = Cluster::new(ClusterSetup {
        accounts: vec![Account {
            name: "admin".into(),
            groups: vec!["system:masters".into()],
            uid: "u".into(),
            token: "t".into(),
        }],
        extra_resources: vec![],
        controllers: true,
        clock: Clock::new(Utc::now(), 1.0),
        seed: 1,
        address: "127.0.0.1:8001".into(),
    });
    for n in ["kube-system", "kube-public", "kube-node-lease", "default"] {
        cluster.seed_namespace(n);
    }
    let l = tokio::net::TcpListener::bind(std::env::args().nth(1).unwrap()).await.unwrap();
    loop {
        let (s, _) = l.accept().await.unwrap();
        let svc = cluster.service(Peer {
            certificate: Some(CertName { user: "admin".into(), groups: vec!["system:masters".into()] }),
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(s), svc)
                .with_upgrades()
                .await;
        });
    }
}
