//! `sluice.yaml` as text -> [`FleetFile`]. An unknown key is named and the rest goes on; a wrong
//! type or value is an error, and all of them are told, each with file, line, key and next step.
//! Reads no file itself. The schema is documented in `assets/sluice.example.yaml`.

use std::collections::BTreeMap;

use super::{
    relay_way::relay_address,
    settings_keys::KEYS,
    yaml::{self, Node, Value},
};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, OwnerEntry, RelayAddress},
        ports::Trouble,
        settings::Settings,
    },
    domain::{
        fleet::Environment,
        names::{ClusterName, NsName, Text},
        source::Wanted,
    },
};

/// What was understood, and what a person should know about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    pub fleet: FleetFile,
    pub notices: Vec<Trouble>,
}

/// Folder beside those of the clusters; no cluster may be called like it.
pub const DISCOVERY: &str = "discovery";

/// Reads the text of the file that people know as `path`. The error holds every reason.
pub fn parse(path: &str, text: &str) -> Result<Parsed, Vec<Trouble>> {
    let mut reader = Reader { path, errors: Vec::new(), notices: Vec::new() };
    let node = match yaml::parse(text) {
        Ok(node) => node,
        Err(bad) => {
            reader.error(bad.line, bad.why.as_str(), "Correct the YAML there.");
            return Err(reader.errors);
        }
    };
    let known = [&["clusters", "namespaces", "owners", "categories", "feeds"][..], &KEYS].concat();
    let top = reader.map(&node, "the file", &known);
    let clusters = reader.clusters(top.get("clusters").copied());
    let (excluded, included) = reader.scope(top.get("namespaces").copied());
    let owners = reader.owners(top.get("owners").copied());
    let categories = reader.categories(top.get("categories").copied());
    let feeds = reader.feeds(top.get("feeds").copied());
    if clusters.is_empty() && reader.errors.is_empty() {
        reader.error(node.line, "it names no cluster", "List the clusters under `clusters:`.");
    }
    let path = Some(Text::new(path));
    let settings = Settings::default();
    let beside = Vec::new();
    let mut fleet =
        FleetFile { path, clusters, beside, excluded, included, owners, categories, feeds, settings };
    fleet.settings = reader.settings(&top, &fleet);
    if !reader.errors.is_empty() {
        return Err(reader.errors);
    }
    Ok(Parsed { fleet, notices: reader.notices })
}

/// A mapping's values by key.
pub(super) type Fields<'n> = BTreeMap<&'n str, &'n Node>;

/// Turns nodes into values and keeps what it could not accept.
pub(super) struct Reader<'p> {
    path: &'p str,
    errors: Vec<Trouble>,
    notices: Vec<Trouble>,
}

impl Reader<'_> {
    fn place(&self, line: u64) -> String {
        if line == 0 { self.path.to_owned() } else { format!("{} line {line}", self.path) }
    }

    pub(super) fn error(&mut self, line: u64, fact: &str, next: &str) {
        self.errors.push(Trouble::new(&self.place(line), fact, next));
    }

    pub(super) fn notice(&mut self, line: u64, fact: &str, next: &str) {
        self.notices.push(Trouble::new(&self.place(line), fact, next));
    }

    fn wrong(&mut self, node: &Node, key: &str, wanted: &str) {
        self.error(node.line, &format!("`{key}` is {}", node.kind()), &format!("Write {wanted} there."));
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, key: &str, known: &[&str]) -> Fields<'n> {
        let mut fields = Fields::new();
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for entry in entries {
                    if known.contains(&entry.key.as_str()) {
                        fields.insert(&entry.key, &entry.node);
                    } else {
                        let fact = format!("the key `{}` is not known and not read", Text::new(&entry.key));
                        self.notice(entry.line, &fact, &format!("Known in {key}: {}.", known.join(", ")));
                    }
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                self.wrong(node, key, &format!("a mapping with the keys {}", known.join(", ")));
            }
        }
        fields
    }

    pub(super) fn list<'n>(&mut self, node: Option<&'n Node>, key: &str) -> &'n [Node] {
        match node.map(|node| (&node.value, node)) {
            None | Some((Value::Null, _)) => &[],
            Some((Value::List(items), _)) => items,
            Some((Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_), node)) => {
                self.wrong(node, key, "a list");
                &[]
            }
        }
    }

    pub(super) fn text<'n>(&mut self, node: Option<&'n Node>, key: &str) -> Option<&'n str> {
        let node = node?;
        match &node.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text),
            Value::Null => None,
            Value::Text(_) => {
                self.error(node.line, &format!("`{key}` is empty"), "Write a value, or leave the key out.");
                None
            }
            Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.wrong(node, key, "text (in quotes if it looks like something else)");
                None
            }
        }
    }

    fn clusters(&mut self, node: Option<&Node>) -> Vec<ClusterEntry> {
        let mut out: Vec<ClusterEntry> = Vec::new();
        for (i, item) in self.list(node, "clusters").iter().enumerate() {
            let Some(entry) = self.cluster(item, &format!("clusters[{i}]")) else { continue };
            if out.iter().any(|other| other.name == entry.name) {
                let fact = format!("there are two clusters with the name {}", entry.name);
                self.error(item.line, &fact, "Give each cluster a name of its own.");
            } else if let Some(other) = out.iter().find(|other| other.context == entry.context) {
                let fact =
                    format!("{} and {} have the same context {}", other.name, entry.name, entry.context);
                self.error(item.line, &fact, "Keep one of them: a cluster is in the fleet once.");
            } else {
                out.push(entry);
            }
        }
        out
    }

    fn cluster(&mut self, node: &Node, key: &str) -> Option<ClusterEntry> {
        const CLUSTER: [&str; 7] =
            ["name", "context", "environment", "flows", "relay", "relayCA", "collector"];
        let fields = self.map(node, key, &CLUSTER);
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            return None;
        }
        let name_node = fields.get("name").copied();
        let raw = self.text(name_node, &format!("{key}.name"));
        let environment = self.environment(fields.get("environment").copied(), node, key);
        let relay = self.relay(fields.get("relay").copied(), fields.get("relayCA").copied(), key);
        let flows = self.flows(fields.get("flows").copied(), relay.is_some(), key);
        let collector = self.collector(fields.get("collector").copied(), key);
        let context = self.text(fields.get("context").copied(), &format!("{key}.context"));
        let Some(raw) = raw else {
            if name_node.is_none_or(Node::is_null) {
                self.error(
                    node.line,
                    &format!("{key} has no name"),
                    "Write `name:`, and `context:` where it differs.",
                );
            }
            return None;
        };
        let line = name_node.map_or(node.line, |node| node.line);
        if raw.contains(['/', '\\']) || raw.starts_with('.') || raw == DISCOVERY {
            let fact =
                format!("`{key}.name` {:?} cannot be a folder under network-policies/", Text::new(raw));
            self.error(line, &fact, "Choose a short name here and put the context's own into `context:`.");
            return None;
        }
        match ClusterName::parse(raw) {
            Ok(name) => {
                let context = Text::new(context.unwrap_or(raw));
                Some(ClusterEntry { name, context, environment, flows, relay, collector })
            }
            Err(bad) => {
                self.error(line, &format!("`{key}.name`: {bad}"), "Choose another name.");
                None
            }
        }
    }

    fn environment(&mut self, node: Option<&Node>, cluster: &Node, key: &str) -> Environment {
        const NEXT: &str = "Write staging or production.";
        let Some(raw) = self.text(node, &format!("{key}.environment")) else {
            if node.is_none_or(Node::is_null) {
                let fact = format!("{key} has no environment and is treated with the care of production");
                self.notice(cluster.line, &fact, NEXT);
            }
            return Environment::Unknown;
        };
        Environment::parse(raw).unwrap_or_else(|| {
            let line = node.map_or(cluster.line, |node| node.line);
            self.error(line, &format!("`{key}.environment` is {:?}", Text::new(raw)), NEXT);
            Environment::Unknown
        })
    }

    fn flows(&mut self, node: Option<&Node>, has_relay: bool, key: &str) -> Wanted {
        let raw = self.text(node, &format!("{key}.flows"));
        let (Some(raw), Some(node)) = (raw, node) else { return Wanted::Auto };
        let Some(wanted) = Wanted::parse(raw) else {
            let known = Wanted::ALL.map(Wanted::as_str).join(", ");
            let fact = format!("`{key}.flows` is {:?}", Text::new(raw));
            self.error(node.line, &fact, &format!("Write one of {known}."));
            return Wanted::Auto;
        };
        if has_relay && !matches!(wanted, Wanted::Auto | Wanted::Hubble) {
            let fact = format!("`{key}.relay` names a Hubble Relay, and `{key}.flows` is {raw}");
            self.error(node.line, &fact, "Keep one of the two.");
        }
        wanted
    }

    fn collector(&mut self, node: Option<&Node>, key: &str) -> Option<RelayAddress> {
        let raw = self.text(node, &format!("{key}.collector"))?;
        // It speaks plain HTTP; whoever wants TLS puts it behind a tunnel.
        let address = relay_address(raw, None).filter(|address| address.tls.is_none());
        if let (None, Some(node)) = (&address, node) {
            let fact = format!("`{key}.collector` is {:?}", Text::new(raw));
            self.error(node.line, &fact, "Write host:port.");
        }
        address
    }

    fn scope(&mut self, node: Option<&Node>) -> (Vec<NsName>, Vec<NsName>) {
        let Some(node) = node else { return Default::default() };
        let fields = self.map(node, "namespaces", &["exclude", "include"]);
        let excluded = self.namespaces(fields.get("exclude").copied(), "namespaces.exclude");
        let included = self.namespaces(fields.get("include").copied(), "namespaces.include");
        if let Some(ns) = included.iter().find(|ns| excluded.contains(ns)) {
            let fact = format!("{ns} is both in namespaces.include and in namespaces.exclude, which wins");
            self.notice(node.line, &fact, "Take it out of one of them.");
        }
        (excluded, included)
    }

    pub(super) fn namespaces(&mut self, node: Option<&Node>, key: &str) -> Vec<NsName> {
        let mut out = Vec::new();
        for (i, item) in self.list(node, key).iter().enumerate() {
            let key = format!("{key}[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            match NsName::parse(raw) {
                Ok(ns) => out.push(ns),
                Err(bad) => {
                    self.error(item.line, &format!("`{key}`: {bad}"), "Write the namespace's exact name.");
                }
            }
        }
        out
    }

    fn owners(&mut self, node: Option<&Node>) -> Vec<OwnerEntry> {
        let mut out = Vec::new();
        for (i, item) in self.list(node, "owners").iter().enumerate() {
            let key = format!("owners[{i}]");
            let fields = self.map(item, &key, &["namespaces", "owner", "contact"]);
            let namespaces = self.namespaces(fields.get("namespaces").copied(), &format!("{key}.namespaces"));
            let contact = self.text(fields.get("contact").copied(), &format!("{key}.contact")).map(Text::new);
            let owner = self.text(fields.get("owner").copied(), &format!("{key}.owner")).map(Text::new);
            match owner {
                Some(owner) => out.push(OwnerEntry { namespaces, owner, contact }),
                None if fields.get("owner").is_none_or(|node| node.is_null()) => {
                    self.error(
                        item.line,
                        &format!("{key} has no owner"),
                        "Write `owner:` with the team's name.",
                    );
                }
                None => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::plan::{RelayWay, ShownFiles, TlsFiles},
        domain::destination::{Category, Severity},
    };

    fn complaints(text: &str) -> String {
        let troubles = match parse("sluice.yaml", text) {
            Ok(parsed) => parsed.notices,
            Err(errors) => errors,
        };
        troubles.iter().map(|trouble| format!("{trouble}\n")).collect()
    }

    #[test]
    fn the_documented_example_is_read_without_a_word() {
        let parsed = parse("sluice.yaml", include_str!("../../assets/sluice.example.yaml")).expect("valid");
        assert_eq!(parsed.notices, []);
        let entries: Vec<_> = parsed
            .fleet
            .clusters
            .iter()
            .map(|c| (c.name.as_str(), c.context.as_str(), c.environment))
            .collect();
        assert_eq!(
            entries,
            [
                ("staging-eu", "kind-staging-eu", Environment::Staging),
                ("prod-eu", "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu", Environment::Production),
                ("prod-us", "prod-us", Environment::Production),
            ]
        );
        let tls = |ca: &str, shown| Some(TlsFiles { ca: Some(Text::new(ca)), shown });
        let own = ShownFiles {
            cert: Text::new("certificates/hubble-client.pem"),
            key: Text::new("certificates/hubble-client.key"),
        };
        let relays: Vec<_> = parsed.fleet.clusters.iter().map(|c| c.relay.clone()).collect();
        assert_eq!(
            relays,
            [
                Some(RelayWay::Forward(tls("certificates/staging-hubble-ca.pem", Some(own)))),
                None,
                Some(RelayWay::Address(RelayAddress {
                    host: Text::new("hubble-relay.example.net"),
                    port: 443,
                    tls: tls("certificates/hubble-ca.pem", None),
                })),
            ]
        );
        let flows: Vec<_> = parsed.fleet.clusters.iter().map(|c| c.flows).collect();
        assert_eq!(flows, [Wanted::Auto, Wanted::Goldmane, Wanted::Auto]);
        let collector = parsed.fleet.clusters[2].collector.clone().expect("it has one");
        assert_eq!((collector.host.as_str(), collector.port), ("collect.example.net", 7117));
        assert!(parsed.fleet.excludes(&NsName::parse("kube-system").expect("valid")));
        let shop = NsName::parse("shop").expect("valid");
        assert!(!parsed.fleet.excludes(&shop));
        let categories: Vec<_> =
            parsed.fleet.categories.iter().map(|c| (c.category, c.label.as_str())).collect();
        assert_eq!(
            categories,
            [
                (Category::Customer, "customers' own endpoints"),
                (Category::Infra, "our mail relay"),
                (Category::Registry, "our Harbor"),
            ]
        );
        let feed = &parsed.fleet.feeds[0];
        assert_eq!((feed.file.as_str(), feed.severity), ("feeds/phishing.txt", Some(Severity::High)));
        assert_eq!(parsed.fleet.owner_of(&shop).map(|entry| entry.owner.as_str()), Some("team-shop"));
    }

    #[test]
    fn unknown_keys_are_named_and_the_rest_is_read() {
        let text = "cluster: x\nclusters:\n- name: a\n  environment: staging\n  colour: red\n";
        insta::assert_snapshot!(complaints(text), @"
        sluice.yaml line 1: the key `cluster` is not known and not read. Known in the file: clusters, namespaces, owners, categories, feeds, state, soak, baseline, waves, risks, dependencies, hours, blocked, people, escalation, notify, probes, author.
        sluice.yaml line 5: the key `colour` is not known and not read. Known in clusters[0]: name, context, environment, flows, relay, relayCA, collector.
        ");
        assert!(parse("sluice.yaml", text).is_ok());
    }

    #[test]
    fn every_wrong_value_is_told_with_its_line() {
        let text = "\
clusters:
- name: a
  environment: prod
  relay: nowhere
  flows: tetragon
  collector: tls://collect:7117
- context: b
- name: c/d
- name: 7
- name: e
  relayCA: ca.pem
- name: f
  context: e
- name: f
- [g]
namespaces: shop
owners:
- namespaces: [Shop, 3]
- namespaces: [shop]
  owner: ' '
";
        insta::assert_snapshot!(complaints(text), @r#"
        sluice.yaml line 3: `clusters[0].environment` is "prod". Write staging or production.
        sluice.yaml line 4: `clusters[0].relay` is "nowhere". Write host:port, or tls://host:port.
        sluice.yaml line 5: `clusters[0].flows` is "tetragon". Write one of auto, hubble, goldmane, calico-files, antrea, kernel-log, none.
        sluice.yaml line 6: `clusters[0].collector` is "tls://collect:7117". Write host:port.
        sluice.yaml line 7: clusters[1] has no name. Write `name:`, and `context:` where it differs.
        sluice.yaml line 8: `clusters[2].name` "c/d" cannot be a folder under network-policies/. Choose a short name here and put the context's own into `context:`.
        sluice.yaml line 9: `clusters[3].name` is a number. Write text (in quotes if it looks like something else) there.
        sluice.yaml line 11: `clusters[4].relayCA` stands without `relay`. Write `relay: host:port` too.
        sluice.yaml line 12: e and f have the same context e. Keep one of them: a cluster is in the fleet once.
        sluice.yaml line 15: `clusters[7]` is a list. Write a mapping with the keys name, context, environment, flows, relay, relayCA, collector there.
        sluice.yaml line 16: `namespaces` is text. Write a mapping with the keys exclude, include there.
        sluice.yaml line 18: `owners[0].namespaces[0]`: namespace "Shop" is not valid: it must start and end with a lower-case letter or digit. Write the namespace's exact name.
        sluice.yaml line 18: `owners[0].namespaces[1]` is a number. Write text (in quotes if it looks like something else) there.
        sluice.yaml line 18: owners[0] has no owner. Write `owner:` with the team's name.
        sluice.yaml line 20: `owners[1].owner` is empty. Write a value, or leave the key out.
        "#);
    }

    fn way(relay: &str) -> Option<RelayWay> {
        let text = format!("clusters:\n- name: a\n  environment: staging\n  relay: {relay}\n");
        let parsed = parse("sluice.yaml", &text).expect("valid");
        assert_eq!(parsed.notices, [], "{relay}");
        parsed.fleet.clusters[0].relay.clone()
    }

    #[test]
    fn a_relay_is_reached_in_each_way_that_can_be_written() {
        let at = |tls| Some(RelayWay::Address(RelayAddress { host: Text::new("h"), port: 1, tls }));
        let ca = TlsFiles { ca: Some(Text::new("c")), shown: None };
        let shown = Some(ShownFiles { cert: Text::new("d"), key: Text::new("e") });
        let both = TlsFiles { shown: shown.clone(), ..ca.clone() };
        for (written, expected) in [
            ("'h:1'", at(None)),
            ("'tls://h:1'", at(Some(TlsFiles::default()))),
            ("{address: 'h:1'}", at(None)),
            ("{address: 'h:1', tls: false}", at(None)),
            ("{address: 'h:1', tls: true}", at(Some(TlsFiles::default()))),
            ("{address: 'tls://h:1'}", at(Some(TlsFiles::default()))),
            ("{address: 'h:1', cert: d, key: e}", at(Some(TlsFiles { ca: None, shown }))),
            ("{address: 'h:1', ca: c, cert: d, key: e}", at(Some(both.clone()))),
            ("{tls: true, ca: c}", Some(RelayWay::Forward(Some(ca.clone())))),
            ("{ca: c}", Some(RelayWay::Forward(Some(ca)))),
            ("{tls: true, ca: c, cert: d, key: e}", Some(RelayWay::Forward(Some(both)))),
            ("{tls: false}", Some(RelayWay::Forward(None))),
        ] {
            assert_eq!(way(written), expected, "{written}");
        }
    }

    #[test]
    fn a_relay_that_cannot_be_reached_as_written_is_told() {
        let said: String = [
            "{}",
            "{tls: true}",
            "{cert: d, key: e}",
            "{address: nowhere, ca: c}",
            "{ca: c, cert: d}",
            "{address: 'h:1', key: e}",
            "{tls: false, ca: c}",
            "{tls: false, address: 'tls://h:1'}",
            "{tls: perhaps, ca: c}",
            "{ca: c}\n  relayCA: c",
            "[h]",
        ]
        .iter()
        .map(|relay| complaints(&format!("clusters:\n- name: a\n  environment: staging\n  relay: {relay}\n")))
        .collect();
        insta::assert_snapshot!(said, @r#"
        sluice.yaml line 4: `clusters[0].relay` says nothing. Write `address`, or `tls: true` and `ca`.
        sluice.yaml line 4: `clusters[0].relay` asks for TLS over the port-forward without `ca`. Write `ca`: no public authority vouches for a relay's own name.
        sluice.yaml line 4: `clusters[0].relay` asks for TLS over the port-forward without `ca`. Write `ca`: no public authority vouches for a relay's own name.
        sluice.yaml line 4: `clusters[0].relay.address` is "nowhere". Write host:port, or tls://host:port.
        sluice.yaml line 4: `clusters[0].relay` has one of `cert` and `key`. Write both, or neither.
        sluice.yaml line 4: `clusters[0].relay` has one of `cert` and `key`. Write both, or neither.
        sluice.yaml line 4: `clusters[0].relay.tls` is false, and the rest of `clusters[0].relay` asks for it. Write `tls: true`, or keep `address: host:port` alone.
        sluice.yaml line 4: `clusters[0].relay.tls` is false, and the rest of `clusters[0].relay` asks for it. Write `tls: true`, or keep `address: host:port` alone.
        sluice.yaml line 4: `clusters[0].relay.tls` is "perhaps". Write true or false.
        sluice.yaml line 5: `clusters[0].relayCA` stands beside a table `clusters[0].relay`. Write it as `ca` into the table.
        sluice.yaml line 4: `clusters[0].relay` is a list. Write text (in quotes if it looks like something else) there.
        "#);
    }

    #[test]
    fn broken_files_end_in_a_sentence() {
        for (text, part) in [
            ("", "line 1: it names no cluster. List the clusters under `clusters:`."),
            ("clusters: []\n", "line 1: it names no cluster."),
            ("- a\n", "line 1: `the file` is a list."),
            ("clusters: [\n", "Correct the YAML there."),
            ("clusters:\n- name: a\n---\nb: 2\n", "line 4: a second document begins."),
            ("\u{1b}[2J: 1\n", "Correct the YAML there."),
        ] {
            let complaints = complaints(text);
            assert!(complaints.contains(part), "{text:?}: {complaints}");
            assert!(!complaints.contains('\u{1b}'));
        }
    }
}
