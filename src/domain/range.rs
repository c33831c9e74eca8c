//! Address space: what is public, private, link-local or reserved, and the forms of IPv6 that mean
//! an IPv4 address. Pure numbers; nothing here knows a cluster's own ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// To whom an address can belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Globally routable.
    Public,
    /// RFC 1918, RFC 6598 (carrier-grade NAT), unique local IPv6.
    Private,
    LinkLocal,
    Loopback,
    /// Documentation, benchmarking, multicast, unspecified, and what nobody was given.
    Reserved,
}

/// The space of an address that was folded before.
pub fn space(address: IpAddr) -> Space {
    match address {
        IpAddr::V4(address) => space_v4(address),
        IpAddr::V6(address) => space_v6(address),
    }
}

fn space_v4(address: Ipv4Addr) -> Space {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Space::Private,
        (127, _, _) => Space::Loopback,
        (169, 254, _) => Space::LinkLocal,
        (0 | 224.., _, _) | (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Space::Reserved
        }
        (1..=223, _, _) => Space::Public,
    }
}

fn space_v6(address: Ipv6Addr) -> Space {
    let [a, b, ..] = address.segments();
    match (a, b) {
        (0xfc00..=0xfdff, _) => Space::Private,
        (0xfe80..=0xfebf, _) => Space::LinkLocal,
        (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => Space::Reserved,
        (0x2000..=0x3fff, _) => Space::Public,
        (_, _) if address.is_loopback() => Space::Loopback,
        (_, _) => Space::Reserved,
    }
}

/// IPv4-mapped (`::ffff:a.b.c.d`) and NAT64 (`64:ff9b::/96`) forms as the IPv4 address they mean.
pub fn fold(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() else { return address };
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_space() {
        for (address, want) in [
            ("8.8.8.8", Space::Public),
            ("100.63.255.255", Space::Public),
            ("100.64.0.1", Space::Private),
            ("172.15.0.1", Space::Public),
            ("172.31.0.1", Space::Private),
            ("192.0.1.1", Space::Public),
            ("192.0.2.1", Space::Reserved),
            ("198.17.0.1", Space::Public),
            ("198.19.0.1", Space::Reserved),
            ("224.0.0.251", Space::Reserved),
            ("255.255.255.255", Space::Reserved),
            ("169.254.169.254", Space::LinkLocal),
            ("127.0.0.53", Space::Loopback),
            ("2606:4700::1", Space::Public),
            ("2001:db8::1", Space::Reserved),
            ("fd00:ec2::254", Space::Private),
            ("fe80::1", Space::LinkLocal),
            ("::1", Space::Loopback),
            ("::", Space::Reserved),
            ("ff02::fb", Space::Reserved),
        ] {
            assert_eq!(space(address.parse().expect("an address")), want, "{address}");
        }
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        for (address, want) in [
            ("::ffff:169.254.169.254", "169.254.169.254"),
            ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
            ("64:ff9b:1::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe"),
            ("fd00::1", "fd00::1"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            let folded = fold(address.parse().expect("an address"));
            assert_eq!(folded, want.parse::<IpAddr>().expect("an address"), "{address}");
        }
    }
}
