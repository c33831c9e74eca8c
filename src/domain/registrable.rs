//! Whose name is it: the part of a name that somebody registered, by the Public Suffix List with its
//! private part, so that `acme.github.io` is acme's and not GitHub's. The only place that uses it.

/// `shop.example.co.uk` is of `example.co.uk`. `None` for a public suffix itself, and for names
/// below no known suffix (`db.internal`, `cart.shop.svc.cluster.local`).
pub fn registrable(name: &str) -> Option<&str> {
    let known = psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
    known.then(|| psl::domain_str(name)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_part_is_found() {
        for (name, want) in [
            ("api.payments.example.com", Some("example.com")),
            ("shop.example.co.uk", Some("example.co.uk")),
            ("acme.github.io", Some("acme.github.io")),
            ("a.b.duckdns.org", Some("b.duckdns.org")),
            ("com", None),
            ("cart.shop.svc.cluster.local", None),
            ("db.internal", None),
            ("metadata", None),
        ] {
            assert_eq!(registrable(name), want, "{name}");
        }
    }
}
