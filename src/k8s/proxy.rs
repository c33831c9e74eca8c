//! Which proxy stands before an API server: the kubeconfig's own, else what the environment says of
//! that server. Rules of the environment as Go has them (golang.org/x/net/http/httpproxy), so that
//! sluice goes where kubectl goes. Pure.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// What the environment says, each with the name of its variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For servers with TLS.
    https: Option<Variable>,
    /// For servers without it.
    http: Option<Variable>,
    /// Servers that are reached without one.
    none: Option<Variable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    name: &'static str,
    value: String,
}

/// An address that is not one; `of` says whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    pub of: &'static str,
}

impl Proxies {
    /// `variable`: what the environment has under a name. The upper-case name comes first; what is
    /// empty is not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.trim().is_empty())?;
                Some(Variable { name, value })
            })
        };
        Self {
            https: first(["HTTPS_PROXY", "https_proxy"]),
            http: first(["HTTP_PROXY", "http_proxy"]),
            none: first(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy before this server. `own`: the `proxy-url` of its cluster, which always counts.
    pub fn before(&self, server: &Uri, own: Option<&str>) -> Result<Option<Uri>, NoAddress> {
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            return address(own).map(Some).ok_or(NoAddress { of: "proxy-url" });
        }
        let is_plain = server.scheme_str() == Some("http");
        let Some(proxy) = (if is_plain { &self.http } else { &self.https }) else { return Ok(None) };
        let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = server.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        if is_local(&host) || self.none.as_ref().is_some_and(|none| is_excepted(&none.value, &host, port)) {
            return Ok(None);
        }
        address(&proxy.value).map(Some).ok_or(NoAddress { of: proxy.name })
    }
}

/// `proxy:3128` is an HTTP proxy.
fn address(raw: &str) -> Option<Uri> {
    let raw = raw.trim();
    let whole = if raw.contains("://") { raw.to_owned() } else { format!("http://{raw}") };
    whole.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

/// Nobody means a proxy for this machine itself.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Does one entry of the list cover this server? `shop.example` covers itself and what is below,
/// `.shop.example` and `*.shop.example` only what is below. Entries that say nothing are left out.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let ip = host.parse::<IpAddr>().ok();
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(
        |entry| {
            if entry == "*" {
                return true;
            }
            if let Ok(net) = entry.parse::<IpNet>() {
                return ip.is_some_and(|ip| net.contains(&ip));
            }
            let (name, only) = split(&entry);
            if name.is_empty() || only.is_some_and(|only| only.parse() != Ok(port)) {
                return false;
            }
            if let Ok(one) = name.parse::<IpAddr>() {
                return ip == Some(one);
            }
            let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
            match name.strip_prefix('.') {
                Some(_) => host.ends_with(name),
                None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
            }
        },
    )
}

/// Host and port of an entry. An IPv6 address has a port only behind brackets.
fn split(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((name, port)) => (name, port.strip_prefix(':')),
            None => ("", None),
        };
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        Some(_) | None => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Server, its own proxy, the environment, and through what it is reached.
    const CASES: &str = "
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 | http://proxy:3128/
https://api.shop.example:6443 | -                 | https_proxy=http://proxy:3128 | http://proxy:3128/
https://api.shop.example:6443 | -                 | HTTPS_PROXY=proxy:3128 | http://proxy:3128/
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://one:1 https_proxy=http://two:2 | http://one:1/
https://api.shop.example:6443 | -                 | HTTPS_PROXY= https_proxy=http://two:2 | http://two:2/
https://api.shop.example:6443 | -                 | HTTP_PROXY=http://proxy:3128 | none
http://api.shop.example       | -                 | HTTP_PROXY=http://proxy:3128 HTTPS_PROXY=http://two:2 | http://proxy:3128/
https://api.shop.example:6443 | socks5://own:1080 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=* | socks5://own:1080/
https://api.shop.example:6443 | socks5://own:1080 | NO_PROXY=own,api.shop.example | socks5://own:1080/
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=proxy | http://proxy:3128/
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=* | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=other,* | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 no_proxy=shop.example | none
https://API.Shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=Shop.Example | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=.shop.example | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=*.shop.example | none
https://shop.example:6443     | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=.shop.example | http://proxy:3128/
https://workshop.example      | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=shop.example | http://proxy:3128/
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=shop.example:6443 | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=shop.example:443 | http://proxy:3128/
https://api.shop.example      | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=shop.example:443 | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=,,other.example,,shop.example, | none
https://10.4.0.1:6443         | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=10.0.0.0/8 | none
https://11.4.0.1:6443         | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=10.0.0.0/8 | http://proxy:3128/
https://10.4.0.1:6443         | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=10.4.0.1:6443 | none
https://10.4.0.1:6443         | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=10.4.0.1:80 | http://proxy:3128/
https://[fd00::4]:6443        | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=fd00::/8 | none
https://[fd00::4]:6443        | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=[fd00::4]:6443 | none
https://[fd00::4]:6443        | -                 | HTTPS_PROXY=http://proxy:3128 NO_PROXY=fd00::5 | http://proxy:3128/
https://127.0.0.1:6443        | -                 | HTTPS_PROXY=http://proxy:3128 | none
https://localhost:6443        | -                 | HTTPS_PROXY=http://proxy:3128 | none
https://api.shop.example:6443 | -                 | HTTPS_PROXY=http:// | no address in HTTPS_PROXY
https://api.shop.example:6443 | -                 | https_proxy=ht!tp://x | no address in https_proxy
https://api.shop.example:6443 | http://           | HTTPS_PROXY=http://proxy:3128 | no address in proxy-url
https://api.shop.example:6443 | -                 | HTTPS_PROXY=ht!tp://x NO_PROXY=shop.example | none
https://api.shop.example:6443 | -                 | NO_PROXY=,, | none
";

    #[test]
    fn a_server_is_reached_as_kubectl_reaches_it() {
        for case in CASES.lines().filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = case.split('|').map(str::trim).collect();
            let [server, own, environment, wanted] = fields.as_slice() else { panic!("{case}") };
            let set: Vec<_> = environment.split(' ').filter_map(|one| one.split_once('=')).collect();
            let proxies = Proxies::read(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            });
            let own = (*own != "-").then_some(*own);
            let got = match proxies.before(&server.parse().expect("a server"), own) {
                Ok(Some(uri)) => uri.to_string(),
                Ok(None) => "none".to_owned(),
                Err(NoAddress { of }) => format!("no address in {of}"),
            };
            assert_eq!(got, *wanted, "{case}");
        }
    }
}
