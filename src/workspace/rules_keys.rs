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

#[cfg(test)]
mod tests {
    use super::super::fleet_file::parse;

    fn complaints(text: &str) -> String {
        let text = format!("clusters: [{{name: a, environment: staging}}]\n{text}");
        let troubles = match parse("sluice.yaml", &text) {
            Ok(parsed) => parsed.notices,
            Err(errors) => errors,
        };
        troubles.iter().map(|trouble| format!("{trouble}\n")).collect()
    }

    #[test]
    fn unknown_keys_are_named() {
        let text = "\
categories:
- {category: vendor, names: [a.example], colour: red}
feeds:
- {file: a.txt, url: b}
";
        insta::assert_snapshot!(complaints(text), @"
        sluice.yaml line 3: the key `colour` is not known and not read. Known in categories[0]: category, label, names, networks, namespaces, ports.
        sluice.yaml line 5: the key `url` is not known and not read. Known in feeds[0]: file, name, class, severity, origin, date.
        ");
    }

    #[test]
    fn every_wrong_value_is_told_with_its_line() {
        let text = "\
categories:
- category: friend
  names: [a.example]
- names: [a.example]
- category: vendor
- category: vendor
  names: ['a b', '=a..b', '*.**.x', 7]
  networks: [10.0.0.0/33, 10.0.0.1, x]
  ports: [0, 443, ssh, 70000]
  namespaces: [Shop]
- vendor
feeds:
- class: x
- file: a.txt
  severity: bad
  date: yesterday
- file: [a]
- a.txt
";
        insta::assert_snapshot!(complaints(text), @r#"
        sluice.yaml line 3: `categories[0].category` is "friend". Write one of internal, infra, vendor, registry, customer, unknown.
        sluice.yaml line 5: `categories[1].category` is missing. Write one of internal, infra, vendor, registry, customer, unknown.
        sluice.yaml line 6: categories[2] names nothing. Write `names:`, `networks:`, `namespaces:` or `ports:`.
        sluice.yaml line 8: `categories[3].names[0]` "a b" is not a DNS name. Write a name such as example.com, =api.example.com or *.cdn.example.com.
        sluice.yaml line 8: `categories[3].names[1]` "=a..b" is not a DNS name. Write a name such as example.com, =api.example.com or *.cdn.example.com.
        sluice.yaml line 8: `categories[3].names[2]` "*.**.x" is not a DNS name. Write a name such as example.com, =api.example.com or *.cdn.example.com.
        sluice.yaml line 8: `categories[3].names[3]` is a number. Write text (in quotes if it looks like something else) there.
        sluice.yaml line 9: `categories[3].networks[0]` "10.0.0.0/33" is not a network. Write a network such as 10.0.0.0/8, or an address.
        sluice.yaml line 9: `categories[3].networks[2]` "x" is not a network. Write a network such as 10.0.0.0/8, or an address.
        sluice.yaml line 11: `categories[3].namespaces[0]`: namespace "Shop" is not valid: it must start and end with a lower-case letter or digit. Write the namespace's exact name.
        sluice.yaml line 10: `categories[3].ports[0]` is no port. Write a number from 1 to 65535.
        sluice.yaml line 10: `categories[3].ports[2]` is no port. Write a number from 1 to 65535.
        sluice.yaml line 10: `categories[3].ports[3]` is no port. Write a number from 1 to 65535.
        sluice.yaml line 12: `categories[4]` is text. Write a mapping with the keys category, label, names, networks, namespaces, ports there.
        sluice.yaml line 14: feeds[0] has no file. Write `file:` with a path relative to sluice.yaml.
        sluice.yaml line 16: `feeds[1].severity` is "bad". Write one of low, medium, high, critical.
        sluice.yaml line 17: `feeds[1].date` is "yesterday". Write one of the days of the calendar, as in 2026-11-24.
        sluice.yaml line 18: `feeds[2].file` is a list. Write text (in quotes if it looks like something else) there.
        sluice.yaml line 19: `feeds[3]` is text. Write a mapping with the keys file, name, class, severity, origin, date there.
        "#);
    }

    #[test]
    fn lists_are_wanted() {
        insta::assert_snapshot!(complaints("categories: vendor\nfeeds: {file: a}\n"), @"
        sluice.yaml line 2: `categories` is text. Write a list there.
        sluice.yaml line 3: `feeds` is a mapping. Write a list there.
        ");
    }
}
