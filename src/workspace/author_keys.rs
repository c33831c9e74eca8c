//! The key `author:` of `sluice.yaml`: pods among themselves, Harbor, and the networks that providers
//! publish. Reads no file.

use super::{
    fleet_file::Reader,
    yaml::{Node, Value},
};
use crate::{
    cockpit::{
        plan::ClusterEntry,
        settings::{AuthorSettings, HarborEntry},
    },
    domain::{
        author::settings::{Harbor, Published},
        edge::DnsName,
        names::Text,
        policy::Labels,
    },
};
use ipnet::IpNet;

impl Reader<'_> {
    pub(super) fn author(&mut self, node: Option<&Node>, clusters: &[ClusterEntry]) -> AuthorSettings {
        let Some(node) = node else { return AuthorSettings::default() };
        let fields = self.map(node, "author", &["podToPod", "harbor", "published"]);
        let get = |key: &str| fields.get(key).copied();
        let pod_to_pod = self.flag(get("podToPod"), "author.podToPod").unwrap_or(true);
        let items = self.list(get("harbor"), "author.harbor").iter().enumerate();
        let harbor = items
            .filter_map(|(i, item)| self.harbor(item, &format!("author.harbor[{i}]"), clusters))
            .collect();
        let items = self.list(get("published"), "author.published").iter().enumerate();
        let published =
            items.filter_map(|(i, item)| self.published(item, &format!("author.published[{i}]"))).collect();
        AuthorSettings { pod_to_pod, harbor, published }
    }

    fn harbor(&mut self, node: &Node, key: &str, clusters: &[ClusterEntry]) -> Option<HarborEntry> {
        const KEYS: [&str; 7] = ["clusters", "landed", "names", "networks", "namespace", "labels", "port"];
        let fields = self.map(node, key, &KEYS);
        let get = |name: &str| fields.get(name).copied();
        let at = |name: &str| format!("{key}.{name}");
        let mut named = Vec::new();
        for (i, item) in self.list(get("clusters"), &at("clusters")).iter().enumerate() {
            let key = format!("{key}.clusters[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            match clusters.iter().find(|entry| entry.name.as_str() == raw) {
                Some(entry) => named.push(entry.name.clone()),
                None => {
                    let known: Vec<_> = clusters.iter().map(|entry| entry.name.to_string()).collect();
                    let fact = format!("`{key}` is {:?}, which is no cluster of this file", Text::new(raw));
                    self.error(
                        item.line,
                        &fact,
                        &format!("Write one of the clusters: {}.", known.join(", ")),
                    );
                }
            }
        }
        let landed = self.flag(get("landed"), &at("landed"));
        let names = self.dns_names(get("names"), &at("names"));
        let networks = self.networks(get("networks"), &at("networks"));
        let ns = get("namespace").and_then(|ns| self.namespace(Some(ns), node, &at("namespace")));
        let labels = self.labels(get("labels"), &at("labels"));
        let port = self.port(get("port"), &at("port")).unwrap_or(443);
        let Some(landed) = landed else {
            if get("landed").is_none_or(Node::is_null) {
                self.error(node.line, &format!("`{}` is missing", at("landed")), "Write true or false.");
            }
            return None;
        };
        if landed && networks.is_empty() && ns.is_none() {
            let fact = format!("{key} has landed and says no place");
            self.error(node.line, &fact, "Write its `networks:`, or the `namespace:` of its pods.");
            return None;
        }
        let harbor = Harbor { landed, names, networks, ns, labels, port };
        Some(HarborEntry { clusters: named, harbor })
    }

    fn published(&mut self, node: &Node, key: &str) -> Option<Published> {
        let fields = self.map(node, key, &["names", "networks", "source"]);
        let get = |name: &str| fields.get(name).copied();
        let names = self.dns_names(get("names"), &format!("{key}.names"));
        let networks = self.networks(get("networks"), &format!("{key}.networks"));
        let source = self.text(get("source"), &format!("{key}.source")).map(Text::new);
        match source.filter(|_| !names.is_empty() && !networks.is_empty()) {
            Some(source) => Some(Published { names, networks, source }),
            None => {
                let fact = format!("{key} needs names, networks and a source");
                self.error(
                    node.line,
                    &fact,
                    "Write all three: the source says where they are published, and when.",
                );
                None
            }
        }
    }

    fn dns_names(&mut self, node: Option<&Node>, key: &str) -> Vec<DnsName> {
        let mut out = Vec::new();
        for (i, item) in self.list(node, key).iter().enumerate() {
            let key = format!("{key}[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            match DnsName::parse(raw) {
                Some(name) => out.push(name),
                None => {
                    let fact = format!("`{key}` {:?} is not a DNS name", Text::new(raw));
                    self.error(item.line, &fact, "Write a name such as api.example.com or '*.example.com'.");
                }
            }
        }
        out
    }

    fn networks(&mut self, node: Option<&Node>, key: &str) -> Vec<IpNet> {
        let mut out = Vec::new();
        for (i, item) in self.list(node, key).iter().enumerate() {
            let key = format!("{key}[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            match super::feeds::network(raw) {
                Some(network) => out.push(network),
                None => {
                    let fact = format!("`{key}` {:?} is not a network", Text::new(raw));
                    self.error(item.line, &fact, "Write a network such as 10.0.0.0/8, or an address.");
                }
            }
        }
        out
    }

    fn labels(&mut self, node: Option<&Node>, key: &str) -> Labels {
        let Some(node) = node else { return Labels::default() };
        let Value::Map(entries) = &node.value else {
            self.error(node.line, &format!("`{key}` is {}", node.kind()), "Write a mapping of labels there.");
            return Labels::default();
        };
        let pairs = entries.iter().filter_map(|entry| {
            let value = self.text(Some(&entry.node), &format!("{key}.{}", Text::new(&entry.key)))?;
            Some((entry.key.as_str().into(), value.into()))
        });
        Labels::new(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::{domain::names::ClusterName, workspace::fleet_file};

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let text = "\
clusters: [{name: a, environment: staging}]
author:
  podToPod: 3
  harbor:
  - {clusters: [b], landed: true, networks: [10.0.0.0/8]}
  - {names: [x]}
  - {landed: true}
  published:
  - {names: [x.example]}
  - {names: ['x y'], networks: [here], source: s}
";
        let troubles = fleet_file::parse("sluice.yaml", text).expect_err("wrong");
        let said: String = troubles.iter().map(|trouble| format!("{trouble}\n")).collect();
        let all = "Write all three: the source says where they are published, and when.";
        assert_eq!(
            said,
            format!(
                "\
sluice.yaml line 3: `author.podToPod` is 3. Write true or false.
sluice.yaml line 5: `author.harbor[0].clusters[0]` is \"b\", which is no cluster of this file. Write one of the clusters: a.
sluice.yaml line 6: `author.harbor[1].landed` is missing. Write true or false.
sluice.yaml line 7: author.harbor[2] has landed and says no place. Write its `networks:`, or the `namespace:` of its pods.
sluice.yaml line 9: author.published[0] needs names, networks and a source. {all}
sluice.yaml line 10: `author.published[1].names[0]` \"x y\" is not a DNS name. Write a name such as api.example.com or '*.example.com'.
sluice.yaml line 10: `author.published[1].networks[0]` \"here\" is not a network. Write a network such as 10.0.0.0/8, or an address.
sluice.yaml line 10: author.published[1] needs names, networks and a source. {all}
"
            )
        );
    }

    #[test]
    fn the_first_harbor_that_fits_is_the_clusters() {
        let text = include_str!("../../assets/sluice.example.yaml");
        let author = fleet_file::parse("sluice.yaml", text).expect("valid").fleet.settings.author;
        let of =
            |name: &str| author.of(&ClusterName::parse(name).expect("a name")).harbor.map(|it| it.landed);
        assert_eq!((of("prod-eu"), of("staging-eu")), (Some(true), None));
    }
}
