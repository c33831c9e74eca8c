//! `assets/suspects.yaml` -> [`Catalogue`]. The file ships in the binary, and a test reads it whole;
//! nothing here reads a file or asks the network.

use serde::Deserialize;

use crate::domain::{
    destination::Severity,
    edge::DnsName,
    lookup::Pattern,
    names::Text,
    suspect::{Catalogue, Class, Entries, Group, Hint, Hints, Ports, Purpose},
};

/// What findings of this file say as their source.
pub const SOURCE: &str = "built-in catalogue";

const FILE: &str = include_str!("../../assets/suspects.yaml");

/// The built-in catalogue.
pub fn built_in() -> Catalogue {
    parse(FILE).expect("the file ships in the binary, and a test reads it")
}

/// The error names the entry.
fn parse(text: &str) -> Result<Catalogue, String> {
    let file: File = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let mut out = Catalogue::default();
    for class in &file.classes {
        let severity = severity(&class.severity)?;
        out.add_class(Class {
            id: Text::new(&class.id),
            title: Text::new(&class.title),
            what: Text::new(&class.what),
            ask: Text::new(&class.ask),
            severity,
        });
        for group in &class.groups {
            let own = group.severity.as_deref().map_or(Ok(severity), self::severity)?;
            out.add_group(head(class, group, own)?, &group.entries.read()?);
        }
        for exclusion in &class.exclusions {
            let networks =
                exclusion.networks.iter().map(|raw| network(raw)).collect::<Result<Vec<_>, _>>()?;
            out.exclude(&class.id, &networks, &Ports(exclusion.ports.clone()));
        }
        class.rules.iter().try_for_each(|rule| add_rule(&mut out.hints, &class.id, rule))?;
    }
    Ok(out)
}

fn head(class: &WireClass, group: &WireGroup, severity: Severity) -> Result<Group, String> {
    Ok(Group {
        class: Text::new(&class.id),
        operator: Text::new(&group.operator),
        purpose: Purpose::parse(&group.purpose).ok_or_else(|| format!("use {:?}", group.purpose))?,
        severity,
        ports: Ports(group.ports.clone()),
        ask: group.ask.as_deref().map(Text::new),
        source: SOURCE.into(),
    })
}

fn add_rule(hints: &mut Hints, class: &str, rule: &WireRule) -> Result<(), String> {
    let place = match rule.id.as_str() {
        "public-ip-no-name" => &mut hints.public_no_name,
        "private-ip-no-name" => &mut hints.private_no_name,
        "port-of-interest" => &mut hints.port_of_interest,
        "reserved" => &mut hints.reserved,
        "direct-smtp" => &mut hints.direct_smtp,
        "foreign-resolver" => &mut hints.foreign_resolver,
        "stratum-port" => &mut hints.stratum_port,
        "access-line-ptr" => &mut hints.access_line,
        other => return Err(format!("rule {other:?}")),
    };
    *place = Some(Hint {
        class: Text::new(class),
        severity: severity(&rule.severity)?,
        ports: Ports(rule.ports.clone()),
        networks: rule.networks.iter().map(|raw| network(raw)).collect::<Result<_, _>>()?,
        words: rule.words.iter().map(|word| Text::new(word)).collect(),
    });
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    classes: Vec<WireClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireClass {
    id: String,
    title: String,
    what: String,
    ask: String,
    severity: String,
    #[serde(default)]
    groups: Vec<WireGroup>,
    #[serde(default)]
    exclusions: Vec<WireExclusion>,
    #[serde(default)]
    rules: Vec<WireRule>,
}

#[derive(Deserialize)]
struct WireGroup {
    operator: String,
    #[serde(rename = "use")]
    purpose: String,
    severity: Option<String>,
    ask: Option<String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(flatten)]
    entries: WireEntries,
}

/// Names and networks as the asset files write them.
#[derive(Deserialize, Default)]
pub(super) struct WireEntries {
    #[serde(default)]
    pub suffixes: Vec<String>,
    #[serde(default)]
    pub exact: Vec<String>,
    #[serde(default)]
    pub patterns: Vec<String>,
    #[serde(default)]
    pub networks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireExclusion {
    #[allow(dead_code, reason = "for the reader of the file")]
    what: String,
    networks: Vec<String>,
    #[serde(default)]
    ports: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRule {
    id: String,
    severity: String,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
}

impl WireEntries {
    pub(super) fn read(&self) -> Result<Entries, String> {
        let name = |raw: &String| DnsName::parse(raw).ok_or_else(|| format!("name {raw:?}"));
        let pattern = |raw: &String| Pattern::parse(raw).ok_or_else(|| format!("pattern {raw:?}"));
        Ok(Entries {
            suffixes: self.suffixes.iter().map(name).collect::<Result<_, _>>()?,
            exact: self.exact.iter().map(name).collect::<Result<_, _>>()?,
            patterns: self.patterns.iter().map(pattern).collect::<Result<_, _>>()?,
            networks: self.networks.iter().map(|raw| network(raw)).collect::<Result<_, _>>()?,
        })
    }
}

fn severity(raw: &str) -> Result<Severity, String> {
    Severity::parse(raw).ok_or_else(|| format!("severity {raw:?}"))
}

fn network(raw: &str) -> Result<ipnet::IpNet, String> {
    raw.parse().map_err(|_| format!("network {raw:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the page that the catalogue was made from.
    #[test]
    fn every_class_name_and_network_is_there() {
        let file: File = serde_yaml::from_str(FILE).expect("the file");
        let groups = || file.classes.iter().flat_map(|class| &class.groups);
        let sum =
            |count: fn(&WireEntries) -> usize| groups().map(|group| count(&group.entries)).sum::<usize>();
        assert_eq!(file.classes.len(), 21);
        assert_eq!(groups().count(), 160);
        assert_eq!(sum(|entries| entries.suffixes.len()), 3_371);
        assert_eq!(sum(|entries| entries.exact.len()), 3);
        assert_eq!(sum(|entries| entries.patterns.len()), 5);
        assert_eq!(sum(|entries| entries.networks.len()), 157);
        assert_eq!(file.classes.iter().map(|class| class.exclusions.len()).sum::<usize>(), 7);
        assert_eq!(file.classes.iter().map(|class| class.rules.len()).sum::<usize>(), 8);
        let of = |id: &str| {
            let class = file.classes.iter().find(|class| class.id == id).expect("a class");
            class
                .groups
                .iter()
                .map(|group| group.entries.suffixes.len() + group.entries.exact.len())
                .sum::<usize>()
        };
        let counts = ["webhook-receiver", "tunnel", "cloud-metadata", "dynamic-dns", "ip-lookup"].map(of);
        assert_eq!(counts, [81, 193, 10, 1_106, 157]);
    }

    #[test]
    fn the_file_is_read_whole() {
        let catalogue = built_in();
        assert_eq!((catalogue.classes().len(), catalogue.groups().len()), (21, 160));
        let Hints { public_no_name, private_no_name, port_of_interest, reserved, .. } = &catalogue.hints;
        let Hints { direct_smtp, foreign_resolver, stratum_port, access_line, .. } = &catalogue.hints;
        let hints = [
            public_no_name,
            private_no_name,
            port_of_interest,
            reserved,
            direct_smtp,
            foreign_resolver,
            stratum_port,
            access_line,
        ];
        assert!(hints.iter().all(|hint| hint.is_some()));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (from, to, why) in [
            ("severity: critical", "severity: bad", "severity \"bad\""),
            ("use: shared", "use: public", "use \"public\""),
            ("webhook.cool", "webhook..cool", "name \"webhook..cool\""),
        ] {
            assert_eq!(parse(&FILE.replacen(from, to, 1)).map(|_| ()), Err(why.to_owned()));
        }
    }
}
