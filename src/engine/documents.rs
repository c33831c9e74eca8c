//! The companion of a discovery document, read in place of a collector that does not answer. Reads
//! files of the workspace and nothing else.

use std::path::Path;

use super::Engine;
use crate::{
    cockpit::ports::{Baseline, ClusterFact, Document, Documented, Fact, Trouble},
    documents::{discovery::companion, predict},
    domain::{
        edge::Window,
        flow::Direction,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    workspace::discovery,
};

/// What the workspace has of a namespace as this cluster saw it.
pub(super) fn read(root: &Path, cluster: &ClusterName, ns: &NsName) -> Documented {
    let path = Text::from(discovery::shown(root, &discovery::companion_path(root, ns)));
    part(root, path.as_str(), cluster, ns).map_or_else(
        |trouble| {
            let window = Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH };
            let baseline =
                Baseline { ns: ns.clone(), window, edges: Vec::new(), left_out: 0, trouble: Some(trouble) };
            let (doubts, uncovered) = (Vec::new(), Vec::new());
            let document = Document {
                path: path.clone(),
                written: Timestamp::UNIX_EPOCH,
                doubts,
                ingress_doubts: Vec::new(),
                uncovered,
            };
            Documented { baseline, document }
        },
        |part| {
            let document = Document {
                path: path.clone(),
                written: part.generated,
                doubts: predict::doubts(&part, Direction::Egress),
                ingress_doubts: predict::doubts(&part, Direction::Ingress),
                uncovered: predict::uncovered(&part),
            };
            let baseline = Baseline {
                ns: ns.clone(),
                window: part.window,
                edges: part.edges,
                left_out: 0,
                trouble: None,
            };
            Documented { baseline, document }
        },
    )
}

impl Engine {
    /// In the background: it may be large.
    pub(super) fn read_document(&self, cluster: ClusterName, ns: NsName) {
        let (Some(root), sender) = (self.desk.root(), self.sender.clone()) else { return };
        tokio::spawn(async move {
            let name = cluster.clone();
            let read = tokio::task::spawn_blocking(move || read(&root, &name, &ns));
            match read.await {
                Ok(told) => {
                    let fact = ClusterFact::Documented(Box::new(told));
                    let _ = sender.send(Fact::Cluster(cluster, fact)).await;
                }
                Err(stopped) => tracing::error!(%cluster, %stopped, "reading a document stopped"),
            }
        });
    }
}

fn part(root: &Path, shown: &str, cluster: &ClusterName, ns: &NsName) -> Result<companion::Part, Trouble> {
    const NEXT: &str = "Write it anew with `sluice discover --write`.";
    let text = discovery::read(root, ns)?.companion.unwrap_or_default();
    let bad = |bad: &companion::BadLine| Trouble::new(&format!("{shown} line {}", bad.line), &bad.why, NEXT);
    let (mut companion, wrong) = companion::from_text(&text).map_err(|first| bad(&first))?;
    // The line that cannot be read may be the one that matters.
    if let Some(first) = wrong.first() {
        return Err(bad(first));
    }
    let missing = || Trouble::new(shown, &format!("it holds nothing of cluster {cluster}"), NEXT);
    companion.parts.remove(cluster).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        cockpit::{
            ports::{Change, ClusterFact, Fact},
            proposal::propose,
        },
        documents::tests::{cluster, denial, now, ns, pod, world},
        domain::{
            fleet::Pod,
            flow::{Direction, End},
            names::{PodName, Workload},
            policy::Labels,
        },
        workspace::extra,
    };

    const HEADER: &str = r#"{"schema":"sluice.edges/1","namespace":"shop","clusters":[{"cluster":"east","from":"2026-11-16T00:00:00Z","to":"2026-11-23T00:00:00Z","generatedAt":"2026-11-23T00:05:00Z","edges":1,"readiness":"ready","credited":[],"gaps":[{"from":"2026-11-18T10:00:00Z","to":"2026-11-18T10:20:00Z","node":null,"lost":null,"why":"the agent restarted"}],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}]}"#;
    const EDGE: &str = r#"{"cluster":"east","namespace":"shop","workload":{"kind":"Pod","name":"cart-0"},"direction":"egress","peer":{"address":"203.0.113.7"},"protocol":"TCP","port":443,"outcome":"allowed","flows":12,"first":"2026-11-17T08:00:00Z","last":"2026-11-22T21:30:00Z","hours":[498560,498571]}"#;

    fn told(companion: &str, cluster_: &str) -> Documented {
        let root = tempfile::tempdir().expect("a folder");
        let path = discovery::companion_path(root.path(), &ns("shop"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, companion).expect("written");
        read(root.path(), &cluster(cluster_), &ns("shop"))
    }

    #[test]
    fn a_companion_tells_its_edges_its_age_and_what_it_has_not_seen() {
        let told = told(&format!("{HEADER}\n{EDGE}\n"), "east");
        assert_eq!(told.baseline.edges.len(), 1);
        assert_eq!(told.baseline.trouble, None);
        assert_eq!(told.document.path.as_str(), "network-policies/discovery/shop.edges.jsonl");
        assert_eq!(told.document.written.to_rfc3339(), "2026-11-23T00:05:00+00:00");
        assert_eq!(told.document.doubts, []);
        let uncovered: Vec<_> = told.document.uncovered.iter().map(Text::as_str).collect();
        assert_eq!(uncovered, ["1 gap in which nothing was recorded, 20m in all"]);
    }

    #[test]
    fn what_cannot_be_read_whole_tells_no_edge() {
        let why = |companion: &str, cluster: &str| {
            let told = told(companion, cluster);
            assert_eq!(told.baseline.edges, []);
            told.baseline.trouble.map(|trouble| trouble.to_string()).unwrap_or_default()
        };
        let next = "Write it anew with `sluice discover --write`.";
        let path = "network-policies/discovery/shop.edges.jsonl";
        assert_eq!(
            why(&format!("{HEADER}\n{EDGE}\n"), "west"),
            format!("{path}: it holds nothing of cluster west. {next}")
        );
        let bad = why(&format!("{HEADER}\n{EDGE}\n{{\"cluster\":\"east\"}}\n"), "east");
        assert!(bad.starts_with(&format!("{path} line 3: ")), "{bad}");
        assert!(why("", "east").starts_with(&format!("{path} line 1: ")));
    }

    /// What is copied from a denial is a whole file of the kind that authoring takes rules from.
    #[test]
    fn a_proposed_rule_is_one_that_authoring_takes() {
        let mut world = world();
        let api = Pod {
            ns: ns("pay"),
            name: PodName::parse("api-0").expect("a name"),
            workload: Workload::new("Deployment", "api"),
            labels: Labels::new(vec![("app".into(), "api".into())]),
            ..pod("api-0")
        };
        let mut inside = denial(9, [203, 0, 113, 7], now());
        inside.destination = End {
            ns: Some(ns("pay")),
            pod: PodName::parse("api-0").ok(),
            workload: Some(Workload::new("Deployment", "api")),
            ..End::default()
        };
        inside.port = 5432;
        for fact in [ClusterFact::Pods(Change::Put(api)), ClusterFact::Flows(vec![inside])] {
            world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
        }
        world.settle();
        let rules = world.denials().groups().map(|group| {
            let rule = propose(&world, group).rule.expect("a rule");
            assert_eq!(rule.file.as_str(), "network-policies/prod-eu/shop/egress-allowlist.extra.yaml");
            let read = extra::parse("extra", &rule.yaml, Direction::Egress).expect("a file");
            let [one] = &read[..] else { panic!("{}", rule.yaml) };
            one.rule.0.to_string()
        });
        let mut rules: Vec<_> = rules.collect();
        rules.sort();
        assert_eq!(
            rules,
            [
                r#"{"ports":[{"port":443,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"198.51.100.1/32"}}]}"#,
                r#"{"ports":[{"port":443,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"203.0.113.7/32"}}]}"#,
                r#"{"ports":[{"port":5432,"protocol":"TCP"}],"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"pay"}},"podSelector":{"matchLabels":{"app":"api"}}}]}"#,
            ]
        );
    }
}
