//! The keys `notify:` and `probes:` of `sluice.yaml`: what leaves this machine by itself. An address
//! that holds a secret is refused, and so is a probe that could reach something. Reads no file.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{fleet_file::Reader, yaml::Node};
use crate::{
    cockpit::{
        plan::ClusterEntry,
        settings::{Notify, ProbeEntry},
    },
    domain::names::Text,
};

/// Keys of a query that are a secret by their name.
const SECRETS: [&str; 8] = ["token", "key", "apikey", "api_key", "secret", "password", "sig", "signature"];

impl Reader<'_> {
    pub(super) fn notify(&mut self, node: Option<&Node>) -> Option<Notify> {
        let node = node.filter(|node| !node.is_null())?;
        let fields = self.map(node, "notify", &["webhook", "body", "bell"]);
        let get = |key: &str| fields.get(key).copied();
        let raw = self.text(get("webhook"), "notify.webhook");
        let webhook = raw.and_then(|raw| {
            let line = get("webhook").map_or(node.line, |node| node.line);
            self.webhook(raw, line)
        });
        let body = self.text(get("body"), "notify.body");
        if let (Some(raw), Some(place)) = (body, get("body")) {
            if let Err(bad) = serde_json::from_str::<serde_json::Value>(raw) {
                let next = "Write JSON with places such as \"{{row}}\" inside quotes.";
                self.error(place.line, &format!("`notify.body` is not JSON ({bad})"), next);
            }
            if raw.chars().count() > Text::LIMIT {
                let fact = format!("`notify.body` is longer than {} characters", Text::LIMIT);
                self.error(place.line, &fact, "Shorten it.");
            }
            if get("webhook").is_none_or(Node::is_null) {
                self.notice(place.line, "`notify.body` stands without `webhook`", "Write `webhook:` too.");
            }
        }
        let bell = self.flag(get("bell"), "notify.bell").unwrap_or(false);
        Some(Notify { webhook, body: body.map(Text::new), bell })
    }

    /// http or https, with a host and without a secret.
    fn webhook(&mut self, raw: &str, line: u64) -> Option<Text> {
        let rest = raw.strip_prefix("https://").or_else(|| raw.strip_prefix("http://"));
        let bare = rest.is_some_and(|rest| {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            !host.is_empty() && !host.starts_with(':')
        });
        let is_plain = raw.bytes().all(|b| b.is_ascii_graphic()) && raw.len() <= Text::LIMIT;
        if !bare || !is_plain {
            // The value may hold a secret: it is not repeated.
            self.error(line, "`notify.webhook` is no http or https address", "Write https://host/path.");
            return None;
        }
        let authority = rest.unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
        let query = raw.split_once('?').map_or("", |(_, query)| query);
        let secret = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
            SECRETS.contains(&name.as_str())
        };
        if authority.contains('@') || query.split('&').any(secret) {
            let next = "Take user, password and token out: they come from the environment of sluice.";
            self.error(line, "`notify.webhook` holds a secret, and this file is in git", next);
            return None;
        }
        Some(Text::new(raw))
    }

    pub(super) fn probes(&mut self, node: Option<&Node>, clusters: &[ClusterEntry]) -> Vec<ProbeEntry> {
        let mut out: Vec<ProbeEntry> = Vec::new();
        for (key, item, fields) in
            self.entries_of(node, "probes", &["cluster", "image", "destination", "port", "from"])
        {
            let get = |key: &str| fields.get(key).copied();
            let at = |name: &str| format!("{key}.{name}");
            let cluster = self.cluster_of(get("cluster"), item, &at("cluster"), clusters);
            let image =
                self.needed(get("image"), item, &at("image"), "Write an image that the cluster may pull.");
            let image = image.filter(|image| {
                let is_good = image.as_str().bytes().all(|b| b.is_ascii_graphic());
                if !is_good {
                    let fact = format!("`{}` is {image:?}", at("image"));
                    self.error(item.line, &fact, "Write an image such as registry.example/tools/probe:1.2.");
                }
                is_good
            });
            let destination = self.destination(get("destination"), item, &at("destination"));
            let port = self.port(get("port"), &at("port"));
            let from_node = get("from").filter(|node| !node.is_null());
            let from = from_node.and_then(|node| self.namespace(Some(node), item, &at("from")));
            if get("port").is_none_or(Node::is_null) {
                self.error(
                    item.line,
                    &format!("`{}` is missing", at("port")),
                    "Write a number from 1 to 65535.",
                );
            }
            let (Some(cluster), Some(image), Some(destination), Some(port)) =
                (cluster, image, destination, port)
            else {
                continue;
            };
            if out.iter().any(|other| other.cluster == cluster.name) {
                let fact = format!("there are two probes for {}", cluster.name);
                self.error(item.line, &fact, "Keep one of them.");
            }
            out.push(ProbeEntry { cluster: cluster.name.clone(), image, destination, port, from });
        }
        out
    }

    /// One address that a policy can deny: none of the node itself, none that is everybody's.
    fn destination(&mut self, node: Option<&Node>, parent: &Node, key: &str) -> Option<IpNet> {
        const NEXT: &str = "Write one address that nothing may reach, such as 192.0.2.1.";
        let raw = self.needed(node, parent, key, NEXT)?;
        let line = node.map_or(parent.line, |node| node.line);
        let network =
            super::feeds::network(raw.as_str()).filter(|net| net.prefix_len() == net.max_prefix_len());
        let Some(network) = network else {
            self.error(line, &format!("`{key}` is {raw:?}"), NEXT);
            return None;
        };
        let address = network.addr();
        let is_local = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if is_local || address.is_loopback() || address.is_multicast() || address.is_unspecified() {
            let fact = format!("`{key}` {address} is never judged by a policy in the same way everywhere");
            self.error(line, &fact, NEXT);
            return None;
        }
        Some(network)
    }
}
