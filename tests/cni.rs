//! Text cases of CNI recognition: what a cluster shows, and what is said of it.

use serde::Deserialize;
use sluice::k8s::cni::{Seen, recognise};

#[derive(Deserialize)]
struct Case {
    look: Seen,
    expect: String,
}

#[test]
fn each_network_plugin_is_recognised_with_its_evidence() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/cni");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable case");
        let case: Case =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let cni = recognise(&case.look);
        let version = cni.version.as_ref().map_or("-", |version| version.as_str());
        let said = format!("{} {version} {:?}\n{}\n", cni.kind.as_str(), cni.enforcement, cni.evidence);
        assert_eq!(said, case.expect, "{}", file.display());
    }
}
