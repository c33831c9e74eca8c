//! Rules that people add to an allowlist: `<policy>.extra.yaml` beside the policy file. Read and
//! checked rule by rule, each complaint with its line; written only to take over what somebody wrote
//! into a file of ours. Knows nothing of evidence.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::{
    discovery, policy_files,
    yaml::{self, Node, Value},
};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        author::settings::Extra,
        flow::Direction,
        names::Text,
        opened::What,
        policy::{Pinned, Role, Rule},
    },
    manifest,
};

/// How such files end.
pub const END: &str = ".extra.yaml";

/// The file of a direction.
pub fn path(folder: &Path, direction: Direction) -> PathBuf {
    folder.join(format!("{direction}-allowlist{END}"))
}

/// Is this the name of one?
pub fn is_extra(name: &str) -> bool {
    Direction::ALL.iter().any(|direction| name == format!("{direction}-allowlist{END}"))
}

/// The rules of a file; none where there is no file. One bad rule is an error for the file: half of
/// what a person meant is not what he meant.
pub fn read(root: &Path, folder: &Path, direction: Direction) -> Result<Vec<Extra>, Vec<Trouble>> {
    let path = path(folder, direction);
    let shown = discovery::shown(root, &path);
    match policy_files::read_text(&path) {
        Ok(text) => parse(&shown, &text, direction),
        Err(bad) if bad.is_missing() => Ok(Vec::new()),
        Err(bad) => Err(vec![Trouble::new(&shown, &bad.fact, &bad.next)]),
    }
}

/// The same of a text.
pub fn parse(shown: &str, text: &str, direction: Direction) -> Result<Vec<Extra>, Vec<Trouble>> {
    let at = |line: u64| if line == 0 { shown.to_owned() } else { format!("{shown} line {line}") };
    let node = yaml::parse(text).map_err(|bad| {
        let next = "Correct the YAML there; the file holds `rules:` and nothing else.";
        vec![Trouble::new(&at(bad.line), bad.why.as_str(), next)]
    })?;
    let Some(policy) = Pinned::of(direction).find(|pinned| pinned.role == Role::Allowlist) else {
        return Ok(Vec::new());
    };
    let mut troubles = Vec::new();
    let mut out = Vec::new();
    for rule in rules(&node, &mut |line, fact, next| troubles.push(Trouble::new(&at(line), fact, next))) {
        let mut complain =
            |line: u64, fact: &str, next: &str| troubles.push(Trouble::new(&at(line), fact, next));
        if let Some((why, sent)) = rule_of(rule, direction, &mut complain)
            && let Some((rule_value, opens)) = checked(rule, &sent, policy, &mut complain)
        {
            let place = Text::from(at(rule.line));
            out.push(Extra { policy: policy.name, place, why, rule: rule_value, opens });
        }
    }
    if troubles.is_empty() { Ok(out) } else { Err(troubles) }
}

fn rules<'n>(node: &'n Node, complain: &mut dyn FnMut(u64, &str, &str)) -> &'n [Node] {
    const NEXT: &str = "Write `rules:` with a list: each rule has `why:`, peers and `ports:`.";
    match &node.value {
        Value::Null => &[],
        Value::Map(entries) => {
            for entry in entries.iter().filter(|entry| entry.key != "rules") {
                let fact = format!("the key `{}` is not known", Text::new(&entry.key));
                complain(entry.line, &fact, NEXT);
            }
            match entries.iter().find(|entry| entry.key == "rules").map(|entry| &entry.node) {
                Some(Node { value: Value::List(items), .. }) => items,
                Some(Node { value: Value::Null, .. }) | None => &[],
                Some(other) => {
                    complain(other.line, &format!("`rules` is {}", other.kind()), NEXT);
                    &[]
                }
            }
        }
        _ => {
            complain(node.line, &format!("it holds {}", node.kind()), NEXT);
            &[]
        }
    }
}

/// Why it is there, and the rule without that.
fn rule_of(
    node: &Node,
    direction: Direction,
    complain: &mut dyn FnMut(u64, &str, &str),
) -> Option<(Text, Map<String, Json>)> {
    let Json::Object(mut rule) = node.json() else {
        complain(
            node.line,
            &format!("a rule is {}", node.kind()),
            "Write a mapping with `why:`, peers and `ports:`.",
        );
        return None;
    };
    let peers = peers_field(direction);
    if let Some(key) = rule.keys().find(|key| !["why", peers, "ports"].contains(&key.as_str())) {
        let fact = format!("a rule has the key `{}`", Text::new(key));
        complain(node.line, &fact, &format!("Keep to `why`, `{peers}` and `ports`."));
        return None;
    }
    let why = rule.remove("why").and_then(|why| why.as_str().map(Text::new)).filter(|why| !why.is_empty());
    if why.is_none() {
        complain(
            node.line,
            "a rule does not say why it is there",
            "Write `why:` with a sentence or a ticket.",
        );
    }
    let is_empty = |field: &str| rule.get(field).and_then(Json::as_array).is_none_or(Vec::is_empty);
    if direction == Direction::Egress && is_empty(peers) {
        complain(node.line, "a rule without `to` leads everywhere", "Name its peers.");
        return None;
    }
    if is_empty("ports") {
        complain(node.line, "a rule without `ports` opens every port", "Name its ports.");
        return None;
    }
    Some((why?, rule))
}

fn peers_field(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    }
}

/// The rule as the API server would understand it, and nothing in it that is not understood.
fn checked(
    node: &Node,
    rule: &Map<String, Json>,
    pinned: &Pinned,
    complain: &mut dyn FnMut(u64, &str, &str),
) -> Option<(Rule, Vec<crate::domain::opened::Opened>)> {
    let field = pinned.direction.as_str();
    let policy_type = if pinned.direction == Direction::Egress { "Egress" } else { "Ingress" };
    let object = json!({
        "apiVersion": pinned.kind.api_version(),
        "kind": pinned.kind.as_str(),
        "metadata": { "name": pinned.name },
        "spec": { "podSelector": {}, "policyTypes": [policy_type], field: [rule] },
    });
    let next = "Correct the rule; `kubectl explain networkpolicy.spec` shows its fields.";
    let policy = match manifest::policy(&object) {
        Ok(policy) => policy,
        Err(why) => {
            complain(node.line, why.as_str(), next);
            return None;
        }
    };
    for opened in &policy.opens {
        let fact = match &opened.what {
            What::Unknown(why) => format!("a rule is not understood ({why})"),
            // Clouds' metadata call nobody: only where pods may go does it matter.
            What::Block { network, .. }
                if pinned.direction == Direction::Egress
                    && network.prefix_len() == 0
                    && holds_metadata(&opened.what) =>
            {
                format!("a rule opens {network} with the metadata addresses of clouds in it")
            }
            _ => continue,
        };
        let next = if fact.ends_with("in it") {
            "Write `except:` with 169.254.169.254/32 or fd00:ec2::254/128."
        } else {
            next
        };
        complain(node.line, &fact, next);
        return None;
    }
    let rule = policy.rules(pinned.direction)?.first()?.clone();
    Some((rule, policy.opens.clone()))
}

fn holds_metadata(what: &What) -> bool {
    let opened = what.addresses().unwrap_or_default();
    ["169.254.169.254", "fd00:ec2::254"]
        .iter()
        .filter_map(|raw| raw.parse().ok())
        .any(|address| opened.contains(address))
}

/// The text of an extra file with these rules at its end, in the order given.
pub fn with(text: Option<&str>, direction: Direction, rules: &[Rule], why: &str) -> String {
    let mut out = match text.filter(|text| text.contains("\nrules:") || text.starts_with("rules:")) {
        Some(text) => text.trim_end().to_owned() + "\n",
        None => format!(
            "{}# Rules of people for {direction}-allowlist.yaml: `sluice author` takes them in, and writes this\n\
             # file only with --adopt. Each says why it is there, its peers and its ports.\nrules:\n",
            text.unwrap_or_default()
        ),
    };
    for rule in rules {
        let mut value: Json = serde_json::from_str(&rule.0).unwrap_or_else(|_| json!({}));
        value["why"] = json!(why);
        manifest::written::emit_item(&mut out, 0, &value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match parse("x.extra.yaml", text, Direction::Egress) {
            Ok(rules) => rules.iter().map(|it| format!("{}: {} {}\n", it.place, it.why, it.rule.0)).collect(),
            Err(troubles) => troubles.iter().map(|trouble| format!("{trouble}\n")).collect(),
        }
    }

    #[test]
    fn a_rule_says_why_and_what_and_stays_what_it_was() {
        let text = "\
rules:
- why: the auditors' scanner, NET-12
  to: [{ipBlock: {cidr: 198.51.100.0/24}}]
  ports: [{port: 8443}]
";
        assert_eq!(
            said(text),
            "x.extra.yaml line 2: the auditors' scanner, NET-12 \
             {\"ports\":[{\"port\":8443,\"protocol\":\"TCP\"}],\"to\":[{\"ipBlock\":{\"cidr\":\"198.51.100.0/24\"}}]}\n"
        );
        assert_eq!(said(""), "");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let text = "\
rule: x
rules:
- why: a
  to: [{ipBlock: {cidr: 0.0.0.0/0}}]
  ports: [{port: 443}]
- to: [{ipBlock: {cidr: 198.51.100.0/24}}]
  ports: [{port: 443}]
- why: b
  ports: [{port: 443}]
- why: c
  to: [{podSelector: {}}]
- why: d
  to: [{ipBlock: {cidr: here}}]
  ports: [{port: 443}]
- why: e
  from: []
  ports: []
- f
";
        let next = "Correct the rule; `kubectl explain networkpolicy.spec` shows its fields.";
        assert_eq!(
            said(text),
            format!(
                "\
x.extra.yaml line 1: the key `rule` is not known. Write `rules:` with a list: each rule has `why:`, peers and `ports:`.
x.extra.yaml line 3: a rule opens 0.0.0.0/0 with the metadata addresses of clouds in it. Write `except:` with 169.254.169.254/32 or fd00:ec2::254/128.
x.extra.yaml line 6: a rule does not say why it is there. Write `why:` with a sentence or a ticket.
x.extra.yaml line 8: a rule without `to` leads everywhere. Name its peers.
x.extra.yaml line 10: a rule without `ports` opens every port. Name its ports.
x.extra.yaml line 12: a rule is not understood (\"here\" is no network). {next}
x.extra.yaml line 15: a rule has the key `from`. Keep to `why`, `to` and `ports`.
x.extra.yaml line 18: a rule is text. Write a mapping with `why:`, peers and `ports:`.
"
            )
        );
        let next = "the file holds `rules:` and nothing else.";
        assert_eq!(
            said("rules: []\n---\nrules: []\n"),
            format!("x.extra.yaml line 3: a second document begins. Correct the YAML there; {next}\n")
        );
        assert_eq!(
            said("rules: [\n"),
            format!("x.extra.yaml line 1: unclosed bracket '['. Correct the YAML there; {next}\n")
        );
    }

    /// The one rule of an ingress controller that serves the world, with an address family or without.
    #[test]
    fn callers_from_everywhere_may_be_written_down() {
        let text = "\
rules:
- why: the shop is public
  from: [{ipBlock: {cidr: 0.0.0.0/0}}]
  ports: [{port: 8443}]
- why: health checks of the balancer, NET-40
  ports: [{port: 10254}]
";
        let read = parse("x.extra.yaml", text, Direction::Ingress).expect("it is understood");
        assert_eq!(
            read.iter().map(|it| it.rule.0.to_string()).collect::<Vec<_>>(),
            [
                "{\"from\":[{\"ipBlock\":{\"cidr\":\"0.0.0.0/0\"}}],\"ports\":[{\"port\":8443,\"protocol\":\"TCP\"}]}",
                "{\"ports\":[{\"port\":10254,\"protocol\":\"TCP\"}]}",
            ]
        );
    }

    #[test]
    fn rules_that_are_taken_over_read_back() {
        let rule = Rule(
            r#"{"ports":[{"port":443,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"198.51.100.0/24"}}]}"#
                .into(),
        );
        let once = with(None, Direction::Egress, std::slice::from_ref(&rule), "taken over: it's \"so\"");
        let twice = with(Some(&once), Direction::Egress, std::slice::from_ref(&rule), "again");
        let read = parse("x", &twice, Direction::Egress).expect("readable");
        assert_eq!(read.iter().map(|it| &it.rule).collect::<Vec<_>>(), [&rule, &rule]);
        assert_eq!(read[0].why.as_str(), "taken over: it's \"so\"");
    }
}
