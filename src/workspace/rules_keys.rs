//! The keys `categories:` and `feeds:` of `sluice.yaml`, read in the manner of [`super::fleet_file`]:
//! unknown keys are named, wrong values are errors with line and next step. Reads no file.

use super::{
    fleet_file::Reader,
    yaml::{Node, Value},
};
use crate::{
    cockpit::plan::{CategoryEntry, FeedEntry},
    domain::{
        destination::{Category, Severity},
        edge::DnsName,
        lookup::Pattern,
        names::Text,
        suspect::Entries,
    },
};

impl Reader<'_> {
    pub(super) fn categories(&mut self, node: Option<&Node>) -> Vec<CategoryEntry> {
        let items = self.list(node, "categories");
        items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| self.category(item, &format!("categories[{i}]")))
            .collect()
    }

    fn category(&mut self, node: &Node, key: &str) -> Option<CategoryEntry> {
        let fields = self.map(node, key, &["category", "label", "names", "networks", "namespaces", "ports"]);
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            return None;
        }
        let at = |name: &str| format!("{key}.{name}");
        let get = |name: &str| fields.get(name).copied();
        let label = self.text(get("label"), &at("label")).map(Text::new);
        let entries = self.entries(get("names"), get("networks"), key);
        let namespaces = self.namespaces(get("namespaces"), &at("namespaces"));
        let ports = self.ports(get("ports"), &at("ports"));
        let known = Category::ALL.map(Category::as_str).join(", ");
        let category = self.word(get("category"), node, &at("category"), &known, Category::parse)?;
        if entries == Entries::default() && namespaces.is_empty() && ports.is_empty() {
            let fact = format!("{key} names nothing");
            self.error(node.line, &fact, "Write `names:`, `networks:`, `namespaces:` or `ports:`.");
            return None;
        }
        let label = label.unwrap_or_else(|| Text::from(format!("{key} of sluice.yaml")));
        Some(CategoryEntry { category, label, entries, namespaces, ports })
    }

    /// `example.com` is an ending, `=example.com` that name only; with `*` it is a pattern.
    fn entries(&mut self, names: Option<&Node>, networks: Option<&Node>, key: &str) -> Entries {
        let mut entries = Entries::default();
        for (i, item) in self.list(names, &format!("{key}.names")).iter().enumerate() {
            let key = format!("{key}.names[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            let added = match raw.strip_prefix('=') {
                Some(exact) => DnsName::parse(exact).map(|name| entries.exact.push(name)),
                None if raw.contains('*') => Pattern::parse(raw).map(|it| entries.patterns.push(it)),
                None => DnsName::parse(raw).map(|name| entries.suffixes.push(name)),
            };
            if added.is_none() {
                let fact = format!("`{key}` {:?} is not a DNS name", Text::new(raw));
                self.error(
                    item.line,
                    &fact,
                    "Write a name such as example.com, =api.example.com or *.cdn.example.com.",
                );
            }
        }
        for (i, item) in self.list(networks, &format!("{key}.networks")).iter().enumerate() {
            let key = format!("{key}.networks[{i}]");
            let Some(raw) = self.text(Some(item), &key) else { continue };
            match super::feeds::network(raw) {
                Some(network) => entries.networks.push(network),
                None => {
                    let fact = format!("`{key}` {:?} is not a network", Text::new(raw));
                    self.error(item.line, &fact, "Write a network such as 10.0.0.0/8, or an address.");
                }
            }
        }
        entries
    }

    fn ports(&mut self, node: Option<&Node>, key: &str) -> Vec<u16> {
        let mut out = Vec::new();
        for (i, item) in self.list(node, key).iter().enumerate() {
            let number = match &item.value {
                Value::Number(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
                Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
            };
            match number.filter(|port| *port != 0) {
                Some(port) => out.push(port),
                None => {
                    let fact = format!("`{key}[{i}]` is no port");
                    self.error(item.line, &fact, "Write a number from 1 to 65535.");
                }
            }
        }
        out
    }

    /// One of a few words; `None` where it is missing or another, which is told.
    fn word<T>(
        &mut self,
        node: Option<&Node>,
        parent: &Node,
        key: &str,
        known: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(raw) = self.text(node, key) else {
            if node.is_none_or(Node::is_null) {
                self.error(parent.line, &format!("`{key}` is missing"), &format!("Write one of {known}."));
            }
            return None;
        };
        let word = parse(raw);
        if word.is_none() {
            let line = node.map_or(parent.line, |node| node.line);
            let fact = format!("`{key}` is {:?}", Text::new(raw));
            self.error(line, &fact, &format!("Write one of {known}."));
        }
        word
    }

    pub(super) fn feeds(&mut self, node: Option<&Node>) -> Vec<FeedEntry> {
        let items = self.list(node, "feeds");
        items.iter().enumerate().filter_map(|(i, item)| self.feed(item, &format!("feeds[{i}]"))).collect()
    }

    fn feed(&mut self, node: &Node, key: &str) -> Option<FeedEntry> {
        let fields = self.map(node, key, &["file", "name", "class", "severity", "origin", "date"]);
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            return None;
        }
        let at = |name: &str| format!("{key}.{name}");
        let get = |name: &str| fields.get(name).copied();
        let mut free = |name: &str| self.text(get(name), &at(name)).map(Text::new);
        let (file, name, class, origin) = (free("file"), free("name"), free("class"), free("origin"));
        let severity = get("severity").and_then(|severity| {
            let known = Severity::ALL.map(Severity::as_str).join(", ");
            self.word(Some(severity), node, &at("severity"), &known, Severity::parse)
        });
        let date = get("date").and_then(|date| {
            let known = "the days of the calendar, as in 2026-11-24";
            self.word(Some(date), node, &at("date"), known, |raw| raw.parse().ok())
        });
        if file.is_none() && get("file").is_none_or(Node::is_null) {
            let next = "Write `file:` with a path relative to sluice.yaml.";
            self.error(node.line, &format!("{key} has no file"), next);
        }
        Some(FeedEntry { file: file?, name, class, severity, origin, date })
    }
}
