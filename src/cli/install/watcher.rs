//! What runs `sluice watch` for one cluster in that cluster, as YAML for kubectl: the file of
//! `assets/watch` with its names filled in. Pure; holds no secret and asks no cluster.

use serde_json::Value;

use crate::{
    cli::session::NoStart,
    cockpit::{plan::FleetFile, ports::Trouble},
    domain::{
        names::{NsName, Text},
        valve::shell_word,
    },
    manifest,
};

use super::{NAMESPACE, failed};

const FILE: &str = include_str!("../../../assets/watch/sluice-watch-cluster.yaml");

/// The comments, with commands that only people can run, and the objects.
pub fn print(fleet: &FleetFile, cluster: &str, image: &str) -> Result<String, NoStart> {
    let is_it = |name: &str, context: &str| name == cluster || context == cluster;
    let Some(entry) = fleet.clusters.iter().find(|entry| is_it(entry.name.as_str(), entry.context.as_str()))
    else {
        return Err(unknown("--watch", &format!("sluice.yaml has no cluster {:?}", Text::new(cluster))));
    };
    let Some(state) = &fleet.settings.state else {
        return Err(unknown("state:", "sluice.yaml names no state cluster, so there is nothing to write to"));
    };
    let of_state = fleet.clusters.iter().find(|entry| entry.name == state.cluster);
    let names = Names {
        cluster: entry.name.as_str(),
        context: entry.context.as_str(),
        state: of_state.map_or(state.cluster.as_str(), |entry| entry.context.as_str()),
        ns: &state.ns,
        image,
    };
    let objects: Vec<Value> = serde_yaml::from_multiple(FILE).map_err(|error| {
        failed(Trouble::new("sluice install", &error.to_string(), "This is a fault of sluice: report it."))
    })?;
    let objects: Vec<_> = objects.into_iter().map(|object| manifest::yaml(&names.fill(object))).collect();
    let comments = FILE.lines().take_while(|line| line.starts_with('#'));
    let comments: String = comments.map(|line| names.comment(line) + "\n").collect();
    Ok(comments + &objects.join("---\n"))
}

fn unknown(object: &str, fact: &str) -> NoStart {
    super::usage(object, fact)
}

struct Names<'n> {
    cluster: &'n str,
    context: &'n str,
    /// Context of the state cluster.
    state: &'n str,
    ns: &'n NsName,
    image: &'n str,
}

impl Names<'_> {
    fn comment(&self, line: &str) -> String {
        let words = [
            ("--context CLUSTER", format!("--context {}", shell_word(self.context))),
            ("--watch CLUSTER", format!("--watch {}", shell_word(self.cluster))),
            ("STATE", shell_word(self.state)),
            ("NAME", dns_word(self.cluster)),
            ("-n sluice ", format!("-n {} ", self.ns)),
            ("=sluice:", format!("={}:", self.ns)),
        ];
        filled(line, &words)
    }

    fn fill(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(all) => all.into_iter().map(|one| self.fill(one)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| self.field(key, value)).collect(),
            other => other,
        }
    }

    fn field(&self, key: String, value: Value) -> (String, Value) {
        let is_ns = key == "namespace" || key == "name";
        let value = match value {
            Value::String(name) if is_ns && name == NAMESPACE => self.ns.as_str().into(),
            value => self.fill(value),
        };
        (key, value)
    }

    fn text(&self, text: &str) -> String {
        // In the kubeconfig the context is a quoted string of YAML, which takes those of JSON.
        let quoted = Value::from(self.context).to_string();
        let words =
            [("\"CONTEXT\"", quoted), ("CLUSTER", self.cluster.to_owned()), ("IMAGE", self.image.to_owned())];
        filled(text, &words)
    }
}

/// The text with each placeholder's word in its place. What was put in is not looked at again: a name
/// may hold another placeholder.
fn filled(text: &str, words: &[(&str, String)]) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let found = words.iter().find_map(|(mark, word)| Some((rest.strip_prefix(mark)?, word)));
        rest = match found {
            Some((behind, word)) => {
                out.push_str(word);
                behind
            }
            None => {
                let mut chars = rest.chars();
                out.extend(chars.next());
                chars.as_str()
            }
        };
    }
    out
}

/// A cluster's name as part of an object's name.
fn dns_word(name: &str) -> String {
    let lower = name.to_lowercase();
    let word: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    word.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
