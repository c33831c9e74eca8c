//! Sets of addresses: networks without what is cut out of them, compared exactly. IPv4 and IPv6 are
//! apart; an IPv4 address written as IPv6 is one of IPv6 here, until [`Ranges::meant`] says what it
//! means. Pure numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// First and last, both included. IPv4 addresses are numbers below 2^32.
type Range = (u128, u128);

/// IPv4-mapped and NAT64 addresses (RFC 4291 2.5.5.2, RFC 6052 2.1), each a /96 of IPv6.
const CARRIERS: [u128; 2] = [0xffff_0000_0000, 0x64_ff9b << 96];

/// A set of addresses.
///
/// Invariant: both lists are sorted, disjoint, not touching one another, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    v4: Vec<Range>,
    v6: Vec<Range>,
}

impl Ranges {
    /// Every address of both families.
    pub fn everything() -> Self {
        Self { v4: vec![(0, u128::from(u32::MAX))], v6: vec![(0, u128::MAX)] }
    }

    pub fn of<'n>(networks: impl IntoIterator<Item = &'n IpNet>) -> Self {
        let mut out = Self::default();
        for network in networks {
            let (range, family) = bounds(network);
            out.family(family).push(range);
        }
        out.v4 = joined(out.v4);
        out.v6 = joined(out.v6);
        out
    }

    fn family(&mut self, is_v4: bool) -> &mut Vec<Range> {
        if is_v4 { &mut self.v4 } else { &mut self.v6 }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Without these.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self { v4: minus(&self.v4, &other.v4), v6: minus(&self.v6, &other.v6) }
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { v4: and(&self.v4, &other.v4), v6: and(&self.v6, &other.v6) }
    }

    /// Is all of the other in here?
    pub fn covers(&self, other: &Self) -> bool {
        other.minus(self).is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (number, list) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), &self.v4),
            IpAddr::V6(address) => (address.to_bits(), &self.v6),
        };
        let at = list.partition_point(|(_, last)| *last < number);
        list.get(at).is_some_and(|(first, _)| *first <= number)
    }

    /// The same, with the IPv4 addresses that its IPv6 ones carry.
    #[must_use]
    pub fn meant(&self) -> Self {
        let mut v4 = self.v4.clone();
        for carrier in CARRIERS {
            let inside = and(&self.v6, &[(carrier, carrier | u128::from(u32::MAX))]);
            v4.extend(inside.into_iter().map(|(first, last)| (first - carrier, last - carrier)));
        }
        Self { v4: joined(v4), v6: self.v6.clone() }
    }

    /// First and last number of each range, both included, sorted: of IPv4, of IPv6.
    pub fn numbers(&self) -> [&[(u128, u128)]; 2] {
        [&self.v4, &self.v6]
    }

    /// As networks, the fewest, sorted.
    pub fn networks(&self) -> Vec<IpNet> {
        let v4 = self.v4.iter().flat_map(|(first, last)| {
            let address = |number: u128| Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX));
            Ipv4Subnets::new(address(*first), address(*last), 0).map(IpNet::V4)
        });
        let v6 = self.v6.iter().flat_map(|(first, last)| {
            Ipv6Subnets::new(Ipv6Addr::from_bits(*first), Ipv6Addr::from_bits(*last), 0).map(IpNet::V6)
        });
        v4.chain(v6).collect()
    }
}

/// First and last address; is it of IPv4?
fn bounds(network: &IpNet) -> (Range, bool) {
    match network {
        IpNet::V4(net) => {
            let number = |address: Ipv4Addr| u128::from(address.to_bits());
            ((number(net.network()), number(net.broadcast())), true)
        }
        IpNet::V6(net) => ((net.network().to_bits(), net.broadcast().to_bits()), false),
    }
}

fn joined(mut list: Vec<Range>) -> Vec<Range> {
    list.sort_unstable();
    let mut out: Vec<Range> = Vec::with_capacity(list.len());
    for (first, last) in list {
        match out.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => out.push((first, last)),
        }
    }
    out
}

fn minus(from: &[Range], cut: &[Range]) -> Vec<Range> {
    let mut out = Vec::new();
    for (first, last) in from {
        let mut rest = Some(*first);
        for (cut_first, cut_last) in cut.iter().filter(|(a, b)| a <= last && b >= first) {
            if let Some(start) = rest.filter(|start| start < cut_first) {
                out.push((start, cut_first - 1));
            }
            rest = cut_last.checked_add(1).filter(|start| start <= last);
        }
        out.extend(rest.map(|start| (start, *last)));
    }
    out
}

fn and(a: &[Range], b: &[Range]) -> Vec<Range> {
    let both = a.iter().flat_map(|(a1, a2)| b.iter().map(move |(b1, b2)| (*a1.max(b1), *a2.min(b2))));
    both.filter(|(first, last)| first <= last).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(raw: &str) -> IpNet {
        raw.parse().expect("a network")
    }

    fn of(raw: &str) -> Ranges {
        Ranges::of(&raw.split_whitespace().map(net).collect::<Vec<_>>())
    }

    fn words(ranges: &Ranges) -> String {
        ranges.networks().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn networks_become_the_fewest() {
        for (raw, want) in [
            ("10.0.1.0/24 10.0.0.0/24", "10.0.0.0/23"),
            ("10.0.0.0/8 10.1.2.3/32", "10.0.0.0/8"),
            ("10.0.0.7/24", "10.0.0.0/24"),
            ("0.0.0.0/1 128.0.0.0/1 ::/0", "0.0.0.0/0 ::/0"),
            ("::ffff:10.0.0.1/128", "::ffff:10.0.0.1/128"),
        ] {
            assert_eq!(words(&of(raw)), want, "{raw}");
        }
    }

    #[test]
    fn what_is_cut_out_is_out_to_the_address() {
        for (from, cut, want) in [
            ("10.0.0.0/30", "10.0.0.1/32", "10.0.0.0/32 10.0.0.2/31"),
            ("10.0.0.0/30", "10.0.0.0/29", ""),
            ("10.0.0.0/30", "10.0.0.0/31 10.0.0.3/32", "10.0.0.2/32"),
            ("255.255.255.254/31", "255.255.255.255/32", "255.255.255.254/32"),
            ("::/0", "::/1", "8000::/1"),
            ("::/0", "0.0.0.0/0", "::/0"),
        ] {
            assert_eq!(words(&of(from).minus(&of(cut))), want, "{from} without {cut}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_means_itself() {
        for (raw, address, meant) in [
            ("::ffff:169.254.169.254/128", "169.254.169.254", true),
            ("64:ff9b::a9fe:0/112", "169.254.169.254", true),
            ("64:ff9b::/96", "8.8.8.8", true),
            ("64:ff9b:1::/96", "8.8.8.8", false),
            ("2001:db8::/32", "8.8.8.8", false),
            ("::/0", "8.8.8.8", true),
        ] {
            let (ranges, address) = (of(raw), address.parse().expect("an address"));
            assert!(!ranges.contains(address), "{raw}");
            assert_eq!(ranges.meant().contains(address), meant, "{raw}");
        }
    }

    /// Small networks of one /26, so that overlaps are frequent.
    fn nets() -> impl Strategy<Value = Vec<IpNet>> {
        let one = (0_u8..64, 26_u8..=32)
            .prop_map(|(low, length)| IpNet::new(IpAddr::from([10, 0, 0, low]), length).expect("valid"));
        prop::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_addresses(a in nets(), b in nets()) {
            let (x, y) = (Ranges::of(&a), Ranges::of(&b));
            let (less, both) = (x.minus(&y), x.and(&y));
            let mut all_inside = true;
            for low in 0..64 {
                let address = IpAddr::from([10, 0, 0, low]);
                let (in_a, in_b) = (a.iter().any(|n| n.contains(&address)), b.iter().any(|n| n.contains(&address)));
                prop_assert_eq!(x.contains(address), in_a);
                prop_assert_eq!(less.contains(address), in_a && !in_b);
                prop_assert_eq!(both.contains(address), in_a && in_b);
                all_inside &= !in_b || in_a;
            }
            prop_assert_eq!(x.covers(&y), all_inside);
            prop_assert_eq!(Ranges::of(&less.networks()), less);
        }
    }
}
