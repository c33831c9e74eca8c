//! A collector that is given by its address in sluice.yaml: it is read there, with no API server.

use std::{fs, process::Command};

use sluice::flows::baseline::serve;

use super::door;

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: east, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: nobody, user: {}}]
contexts: [{name: east, context: {cluster: east, user: nobody}}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_reads_the_collector_at_the_address_that_is_given() {
    let house = door::house();
    let any = "127.0.0.1:0".parse().expect("an address");
    let (listener, address) = serve::bind(any).await.expect("a free port");
    tokio::spawn(serve::listen(listener, house.door.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let kubeconfig = put("kubeconfig", KUBECONFIG);
    put("sluice.yaml", &format!("clusters: [{{name: east, context: east, collector: '{address}'}}]\n"));
    let mut discover = Command::new(env!("CARGO_BIN_EXE_sluice"));
    discover
        .args(["discover", "--cluster", "east", "-n", "pay", "-o", "json", "--kubeconfig"])
        .arg(kubeconfig)
        .arg("--workspace")
        .arg(folder.path())
        .env_clear()
        .env("HOME", folder.path());
    let output =
        tokio::task::spawn_blocking(move || discover.output()).await.expect("no panic").expect("it starts");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 1, "{said}{errors}");
    for part in [r#""cluster":"east","namespace":"pay""#, r#""addresses":["203.0.113.80"]"#, r#""port":1,"#] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
