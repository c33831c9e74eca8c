//! `assets/categories.yaml` and the workspace's `categories:` -> [`Categories`]. The built-in file
//! ships in the binary, and a test reads it whole; nothing here reads a file or asks the network.

use serde::Deserialize;

use super::catalogue::WireEntries;
use crate::{
    cockpit::plan::CategoryEntry,
    domain::{
        category::{Categories, Rule},
        destination::Category,
        flow::Protocol,
        names::{NsName, Text},
        suspect::Ports,
    },
};

const FILE: &str = include_str!("../../assets/categories.yaml");

/// The built-in categories.
pub fn built_in() -> Categories {
    parse(FILE).expect("the file ships in the binary, and a test reads it")
}

/// The rules of a workspace, before the built-in ones.
pub fn add(categories: &mut Categories, entries: &[CategoryEntry]) {
    for entry in entries {
        let rule = Rule {
            category: entry.category,
            label: entry.label.clone(),
            own: true,
            ports: Ports(entry.ports.clone()),
            protocol: None,
            inside: false,
        };
        categories.add(rule, &entry.entries, &entry.namespaces);
    }
}

fn parse(text: &str) -> Result<Categories, String> {
    let file: File = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let mut out = Categories::default();
    for wire in &file.rules {
        let rule = Rule {
            category: Category::parse(&wire.category)
                .ok_or_else(|| format!("category {:?}", wire.category))?,
            label: Text::new(&wire.label),
            own: false,
            ports: Ports(wire.ports.clone()),
            protocol: match &wire.protocol {
                Some(raw) => Some(Protocol::parse(raw).ok_or_else(|| format!("protocol {raw:?}"))?),
                None => None,
            },
            inside: wire.inside,
        };
        let ns = |raw: &String| NsName::parse(raw).map_err(|bad| bad.to_string());
        let namespaces = wire.namespaces.iter().map(ns).collect::<Result<Vec<_>, _>>()?;
        out.add(rule, &wire.entries.read()?, &namespaces);
    }
    Ok(out)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<WireRule>,
}

#[derive(Deserialize)]
struct WireRule {
    category: String,
    label: String,
    #[serde(default)]
    ports: Vec<u16>,
    protocol: Option<String>,
    #[serde(default)]
    inside: bool,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(flatten)]
    entries: WireEntries,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_whole_and_leaves_customers_to_the_workspace() {
        let categories = built_in();
        let has = |category| categories.rules().iter().any(|rule| rule.category == category);
        assert!(
            [Category::Internal, Category::Infra, Category::Registry, Category::Vendor].into_iter().all(has)
        );
        assert!(!has(Category::Customer));
        assert!(categories.rules().iter().all(|rule| !rule.own));
    }
}
