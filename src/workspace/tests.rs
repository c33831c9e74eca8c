//! The workspace on a real disk: a good one, and one file wrong in every way there is.

use std::{fs, path::Path};

use super::{policy_files::FILE_LIMIT, root};
use crate::domain::{
    flow::Direction,
    names::{ClusterName, NsName},
};

const FLEET: &str = "\
clusters:
- {name: a, environment: staging}
- {name: b, environment: production, relay: 'localhost:1', relayCA: ca.pem}
- {name: d, environment: production, relay: {ca: ca.pem, cert: own/cert.pem, key: /run/key.pem}}
namespaces: {exclude: [kube-system]}
";

fn deny(name: &str, ns: &str) -> String {
    let direction = if name.contains("egress") { "Egress" } else { "Ingress" };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\n  namespace: {ns}\nspec:\n  podSelector: {{}}\n  policyTypes: [{direction}]\n"
    )
}

fn workspace(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "sluice.yaml", FLEET);
    for (path, text) in files {
        put(folder.path(), &format!("network-policies/{path}"), text);
    }
    folder
}

fn read(folder: &tempfile::TempDir) -> Result<root::Workspace, Vec<crate::cockpit::ports::Trouble>> {
    root::read(&root::Place { root: folder.path().to_owned(), only: Vec::new() })
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// All complaints of a workspace with one policy file `egress-allowlist.yaml` of this text.
fn complaint(text: &str) -> String {
    let folder = workspace(&[("a/shop/egress-allowlist.yaml", text)]);
    let read = read(&folder).expect("sluice.yaml is fine");
    let key =
        (ClusterName::parse("a").expect("valid"), NsName::parse("shop").expect("valid"), Direction::Egress);
    let authored = &read.files.sets[&key];
    assert!(authored.set.is_empty() && authored.manifests.is_empty(), "{text}");
    assert_eq!(authored.complaints.len(), 1, "{:?}", authored.complaints);
    assert_eq!(read.notices.len(), 1, "the same is told where no row is looked at");
    authored.complaints[0].to_string()
}

#[test]
fn a_set_is_read_per_direction_and_sent_without_what_a_server_wrote() {
    let exported = deny("default-deny-egress", "shop").replace(
        "metadata:\n",
        "metadata:\n  uid: x\n  resourceVersion: '7'\n  managedFields: []\n  labels: {team: shop}\n",
    );
    let folder = workspace(&[
        ("a/shop/default-deny-egress.yaml", &exported),
        ("a/shop/egress-baseline-allow.yaml", &deny("egress-baseline-allow", "shop")),
        ("a/shop/ingress-allowlist.yaml", &deny("ingress-allowlist", "shop")),
        ("a/shop/.gitkeep", ""),
        ("discovery/shop.md", "# shop"),
    ]);
    let read = read(&folder).expect("sluice.yaml is fine");
    assert_eq!(read.notices, []);
    let sets: Vec<_> = read
        .files
        .sets
        .iter()
        .map(|((cluster, ns, direction), authored)| {
            (format!("{cluster}/{ns} {direction}"), authored.set.keys().copied().collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        sets,
        [
            ("a/shop egress".to_owned(), vec!["default-deny-egress", "egress-baseline-allow"]),
            ("a/shop ingress".to_owned(), vec!["ingress-allowlist"]),
        ]
    );
    let sent = &read.files.sets.values().next().expect("two").manifests["default-deny-egress"];
    insta::assert_snapshot!(sent, @r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"labels":{"team":"shop"},"name":"default-deny-egress","namespace":"shop"},"spec":{"podSelector":{},"policyTypes":["Egress"]}}"#);
    let files = |index: usize| {
        let mut relay = read.fleet.clusters[index].relay.clone().expect("it has one");
        relay.files_mut().map(|file| Path::new(file.as_str()).to_owned()).collect::<Vec<_>>()
    };
    let at = |file: &str| folder.path().join(file);
    assert_eq!(files(1), [at("ca.pem")]);
    assert_eq!(files(2), [at("ca.pem"), at("own/cert.pem"), at("/run/key.pem")], "relative to sluice.yaml");
}

#[test]
fn a_wrong_file_blocks_its_rollout_with_fact_and_next_step() {
    let good = deny("egress-allowlist", "shop");
    let cases = [
        good.replace("name: egress-allowlist", "name: egress-allow-list"),
        good.replace("namespace: shop", "namespace: pay"),
        good.replace("kind: NetworkPolicy", "kind: Deployment"),
        good.replace("networking.k8s.io/v1", "extensions/v1beta1"),
        format!("{good}---\n{good}"),
        good.replace("podSelector: {}", "podSelector: {"),
        good.replace("policyTypes: [Egress]", "policyTypes: Egress"),
        good.replace("policyTypes: [Egress]", "policyTypes: [Egress]\n  policyTypes: []"),
        good.replace("namespace: shop", "namespace: \"shop\\e[2J\""),
        String::new(),
        "just words".to_owned(),
        format!("{good}# {}", "x".repeat(2_000_000)),
    ];
    let said: String = cases.iter().map(|text| format!("{}\n", complaint(text))).collect();
    insta::assert_snapshot!(said, @r#"
    network-policies/a/shop/egress-allowlist.yaml: line 4: its metadata.name is "egress-allow-list", but its path says egress-allowlist. Write metadata.name: egress-allowlist, or move the file to where it belongs.
    network-policies/a/shop/egress-allowlist.yaml: line 5: its metadata.namespace is "pay", but its path says shop. Write metadata.namespace: shop, or move the file to where it belongs.
    network-policies/a/shop/egress-allowlist.yaml: line 2: its kind is "Deployment", but its path says NetworkPolicy. Write kind: NetworkPolicy, or move the file to where it belongs.
    network-policies/a/shop/egress-allowlist.yaml: line 1: its apiVersion is "extensions/v1beta1", but its path says networking.k8s.io/v1. Write apiVersion: networking.k8s.io/v1, or move the file to where it belongs.
    network-policies/a/shop/egress-allowlist.yaml: line 10: a second document begins. Keep egress-allowlist alone in this file; each pinned policy has a file of its own.
    network-policies/a/shop/egress-allowlist.yaml: line 7: unclosed bracket '{'. Correct the YAML there.
    network-policies/a/shop/egress-allowlist.yaml: line 6: NetworkPolicy shop/egress-allowlist: spec.policyTypes is not a list. Correct the policy; `kubectl explain` shows its fields.
    network-policies/a/shop/egress-allowlist.yaml: line 9: the key "policyTypes" stands there twice. Correct the YAML there.
    network-policies/a/shop/egress-allowlist.yaml: line 5: its metadata.namespace is "shop�[2J", but its path says shop. Write metadata.namespace: shop, or move the file to where it belongs.
    network-policies/a/shop/egress-allowlist.yaml: the file is empty. Write the NetworkPolicy egress-allowlist into it, or delete it.
    network-policies/a/shop/egress-allowlist.yaml: holds no Kubernetes object. Write the NetworkPolicy egress-allowlist into it.
    network-policies/a/shop/egress-allowlist.yaml: has 2000156 bytes; policy files are read up to 1048576. Shorten the policy: wider CIDRs, fewer rules.
    "#);
    const { assert!(FILE_LIMIT < 2_000_000) };
}

#[test]
fn what_is_in_the_wrong_place_is_told_and_the_rest_is_read() {
    let folder = workspace(&[
        ("c/shop/default-deny-egress.yaml", &deny("default-deny-egress", "shop")),
        ("a/Shop/default-deny-egress.yaml", ""),
        ("a/shop/default-deny-egress.yml", ""),
        ("a/shop/default-deny-egress.yaml", &deny("default-deny-egress", "shop")),
        ("a/default-deny-egress.yaml", ""),
        ("b/kube-system/default-deny-egress.yaml", &deny("default-deny-egress", "kube-system")),
    ]);
    let read = read(&folder).expect("sluice.yaml is fine");
    let said: String = read.notices.iter().map(|notice| format!("{notice}\n")).collect();
    insta::assert_snapshot!(said, @r#"
    network-policies/a/Shop: namespace "Shop" is not valid: it must start and end with a lower-case letter or digit. Call the folder exactly like its namespace.
    network-policies/a/default-deny-egress.yaml: a file stands where folders of namespaces are expected. Move it into its namespace's folder.
    network-policies/a/shop/default-deny-egress.yml: its name is not one of the pinned ones, so it is not used. Rename it to one of default-deny-egress.yaml, egress-baseline-allow.yaml, egress-allowlist.yaml, egress-allowlist-fqdn.yaml, default-deny-ingress.yaml, ingress-allowlist.yaml, or move it elsewhere.
    network-policies/b/kube-system: sluice.yaml leaves namespace kube-system out, so these files are never applied. Take it out of namespaces.exclude (or into include), or delete the folder.
    network-policies/c: sluice.yaml has no cluster "c", so nothing in this folder is used. Rename the folder, or add the cluster to sluice.yaml.
    "#);
    assert_eq!(read.files.sets.len(), 2);
    assert!(read.files.sets.values().all(|authored| authored.complaints.is_empty()));
}

/// A pinned policy that would isolate more, or less, than its name says never reaches a cluster.
#[test]
fn a_pinned_policy_means_what_its_name_says() {
    let good = deny("default-deny-egress", "shop");
    let cases = [
        good.replace("[Egress]", "[Ingress]"),
        good.replace("[Egress]", "[Egress, Ingress]"),
        good.replace("  policyTypes: [Egress]\n", ""),
        good.replace("podSelector: {}", "podSelector: {matchLabels: {a: b}}"),
        good.replace("podSelector: {}", "podSelector: {}\n  egress: [{}]"),
    ];
    let mut said = String::new();
    for text in &cases {
        let folder = workspace(&[("a/shop/default-deny-egress.yaml", text)]);
        let read = read(&folder).expect("sluice.yaml is fine");
        said.extend(read.notices.iter().map(|notice| format!("{notice}\n")));
    }
    insta::assert_snapshot!(said, @"
    network-policies/a/shop/default-deny-egress.yaml: line 6: it does not concern egress. Write policyTypes: [Egress].
    network-policies/a/shop/default-deny-egress.yaml: line 6: it isolates ingress too. Write policyTypes: [Egress].
    network-policies/a/shop/default-deny-egress.yaml: line 6: it does not concern egress. Write policyTypes: [Egress].
    network-policies/a/shop/default-deny-egress.yaml: line 6: its podSelector leaves pods out. Write podSelector: {}.
    network-policies/a/shop/default-deny-egress.yaml: line 6: it allows egress. Move its rules into the allowlist.
    ");
}

#[cfg(unix)]
#[test]
fn a_pipe_and_a_dangling_link_are_told_and_never_waited_for() {
    let folder = workspace(&[]);
    let ns = folder.path().join("network-policies/a/shop");
    fs::create_dir_all(&ns).expect("a folder");
    std::os::unix::fs::symlink("/nowhere", ns.join("default-deny-egress.yaml")).expect("a link");
    fs::create_dir_all(ns.join("egress-allowlist.yaml")).expect("a folder");
    let read = read(&folder).expect("sluice.yaml is fine");
    let said: String = read.notices.iter().map(|notice| format!("{notice}\n")).collect();
    insta::assert_snapshot!(said, @"
    network-policies/a/shop/default-deny-egress.yaml: cannot be read (No such file or directory (os error 2)). Correct the file's rights, then reload.
    network-policies/a/shop/egress-allowlist.yaml: is not a regular file. Put the policy itself there.
    ");
}

#[test]
fn the_workspace_is_found_upwards_and_an_asked_one_must_be_there() {
    let folder = workspace(&[("a/shop/default-deny-egress.yaml", "")]);
    let deep = folder.path().join("network-policies/a/shop");
    assert_eq!(root::find(None, &deep).expect("fine").as_deref(), Some(folder.path()));
    assert_eq!(root::find(Some(folder.path()), &deep).expect("fine").as_deref(), Some(folder.path()));
    let error = root::find(Some(&deep), &deep).expect_err("none there").to_string();
    assert!(error.ends_with("there is no sluice.yaml in this folder. Name the folder that holds it, or leave --workspace out to use the kubeconfig's contexts."), "{error}");
}

#[test]
fn contexts_stand_in_and_a_subset_names_what_it_does_not_know() {
    let mut fleet = root::stand_in(["one", "two", "thr\u{1b}ee"]);
    assert_eq!(fleet.fleet.path, None);
    assert_eq!(fleet.notices.len(), 1);
    let error = root::subset(&mut fleet.fleet, &["two".into(), "four".into()]).expect_err("four is unknown");
    assert_eq!(
        error.to_string(),
        "--context: there is no context or cluster \"four\". Known contexts: one, two."
    );
    root::subset(&mut fleet.fleet, &["two".into()]).expect("known");
    assert_eq!(fleet.fleet.clusters.len(), 1);
}

/// The fleet is read first and the policy files behind it: what becomes of sluice.yaml meanwhile is for the
/// next reading.
#[test]
fn policy_files_are_read_by_the_fleet_that_was_read() {
    let folder = workspace(&[("a/shop/default-deny-egress.yaml", &deny("default-deny-egress", "shop"))]);
    let place = root::Place { root: folder.path().to_owned(), only: vec!["a".to_owned()] };
    let fleet = root::read_fleet_of(&place).expect("sluice.yaml is fine").fleet;
    put(folder.path(), "sluice.yaml", "clusters: [");
    let (files, troubles) = root::read_files(&place, &fleet);
    assert_eq!((files.pending, files.sets.len(), troubles), (false, 1, Vec::new()));
}
