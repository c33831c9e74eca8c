//! The keys `relay:` and `relayCA:` of a cluster in `sluice.yaml`: an address, or a table with the files
//! of TLS, for an address or for the port-forward. Reads none of these files.

use super::{
    fleet_file::{Fields, Reader},
    yaml::{Node, Value},
};
use crate::{
    cockpit::plan::{RelayAddress, RelayWay, ShownFiles, TlsFiles},
    domain::names::Text,
};

const ADDRESS: &str = "Write host:port, or tls://host:port.";

impl Reader<'_> {
    pub(super) fn relay(&mut self, node: Option<&Node>, ca: Option<&Node>, key: &str) -> Option<RelayWay> {
        if let Some(table) = node.filter(|node| matches!(node.value, Value::Map(_))) {
            if let Some(ca) = ca {
                let fact = format!("`{key}.relayCA` stands beside a table `{key}.relay`");
                self.error(ca.line, &fact, "Write it as `ca` into the table.");
            }
            return self.relay_table(table, &format!("{key}.relay"));
        }
        let ca_text = self.text(ca, &format!("{key}.relayCA"));
        let Some(raw) = self.text(node, &format!("{key}.relay")) else {
            if let (Some(_), Some(ca)) = (ca_text, ca) {
                let fact = format!("`{key}.relayCA` stands without `relay`");
                self.error(ca.line, &fact, "Write `relay: host:port` too.");
            }
            return None;
        };
        let address = relay_address(raw, ca_text);
        if let (None, Some(node)) = (&address, node) {
            self.error(node.line, &format!("`{key}.relay` is {:?}", Text::new(raw)), ADDRESS);
        }
        address.map(RelayWay::Address)
    }

    fn relay_table(&mut self, node: &Node, key: &str) -> Option<RelayWay> {
        let fields = self.map(node, key, &["address", "tls", "ca", "cert", "key"]);
        let get = |name: &str| fields.get(name).copied();
        let raw = self.text(get("address"), &format!("{key}.address"));
        let address = raw.and_then(|raw| relay_address(raw, None));
        if let (Some(raw), None, Some(node)) = (raw, &address, get("address")) {
            self.error(node.line, &format!("`{key}.address` is {:?}", Text::new(raw)), ADDRESS);
            return None;
        }
        let files = self.tls_files(&fields, node, key)?;
        let names_files = files != TlsFiles::default();
        let asks = address.as_ref().is_some_and(|address| address.tls.is_some());
        let tls = match self.flag(get("tls"), &format!("{key}.tls")) {
            Some(false) if names_files || asks => {
                let fact = format!("`{key}.tls` is false, and the rest of `{key}` asks for it");
                self.error(node.line, &fact, "Write `tls: true`, or keep `address: host:port` alone.");
                return None;
            }
            Some(tls) => tls.then_some(files),
            None if address.is_none() && !names_files => {
                self.error(
                    node.line,
                    &format!("`{key}` says nothing"),
                    "Write `address`, or `tls: true` and `ca`.",
                );
                return None;
            }
            None => (names_files || asks).then_some(files),
        };
        match (address, tls) {
            (Some(address), tls) => Some(RelayWay::Address(RelayAddress { tls, ..address })),
            (None, Some(TlsFiles { ca: None, .. })) => {
                let fact = format!("`{key}` asks for TLS over the port-forward without `ca`");
                let next = "Write `ca`: no public authority vouches for a relay's own name.";
                self.error(node.line, &fact, next);
                None
            }
            (None, tls) => Some(RelayWay::Forward(tls)),
        }
    }

    /// `None`: a certificate without its key, or the other way round, which was told.
    fn tls_files(&mut self, fields: &Fields<'_>, node: &Node, key: &str) -> Option<TlsFiles> {
        let mut file =
            |name: &str| self.text(fields.get(name).copied(), &format!("{key}.{name}")).map(Text::new);
        let (ca, cert, own) = (file("ca"), file("cert"), file("key"));
        let shown = match (cert, own) {
            (Some(cert), Some(key)) => Some(ShownFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let fact = format!("`{key}` has one of `cert` and `key`");
                self.error(node.line, &fact, "Write both, or neither.");
                return None;
            }
        };
        Some(TlsFiles { ca, shown })
    }
}

/// `host:port`, `[v6]:port`, `tls://host:port`. A CA asks for TLS by itself.
pub fn relay_address(raw: &str, ca: Option<&str>) -> Option<RelayAddress> {
    let (tls, rest) = raw.strip_prefix("tls://").map_or((false, raw), |rest| (true, rest));
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    (!host.is_empty() && (is_name || is_v6)).then(|| RelayAddress {
        host: Text::new(host),
        port,
        tls: (tls || ca.is_some()).then(|| TlsFiles { ca: ca.map(Text::new), shown: None }),
    })
}
