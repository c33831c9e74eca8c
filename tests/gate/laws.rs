//! Covering is monotone, and what a naive opinion says point by point: an opening is covered if and
//! only if each address on each port that it opens is granted.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use sluice::domain::{
    flow::{Direction, Protocol},
    grant::{Grant, Opening, PortSpan},
    names::Text,
    opened::{Opened, Ports, What},
    policy::Selector,
};

use super::story::{at, ns};

fn net(low: u8, length: u8) -> IpNet {
    IpNet::new(IpAddr::from([10, 0, 0, low]), length).expect("valid").trunc()
}

fn nets(most: usize) -> impl Strategy<Value = Vec<IpNet>> {
    prop::collection::vec((0_u8..32, 27_u8..=32).prop_map(|(low, length)| net(low, length)), 0..most)
}

fn spans() -> impl Strategy<Value = Vec<PortSpan>> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    let one = (protocol, 1_u16..12, 0_u16..4).prop_map(|(protocol, from, more)| PortSpan {
        protocol,
        from,
        to: from + more,
    });
    prop::collection::vec(one, 1..4)
}

fn grant(networks: Vec<IpNet>, ports: Vec<PortSpan>) -> Grant {
    Grant {
        clusters: [Text::new("uid-east")].into(),
        ns: ns("shop"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: Opening::Networks(networks),
        ports,
        expires: at("2026-06-01"),
    }
}

fn opened(network: IpNet, except: Vec<IpNet>, ports: &[PortSpan]) -> Opened {
    Opened {
        direction: Direction::Egress,
        rule: 1,
        selector: Selector::default(),
        what: What::Block { network, except },
        entity: None,
        ports: Ports::new(ports.iter().copied(), Vec::new()),
    }
}

fn covers(grant: &Grant, opened: &Opened) -> bool {
    grant.beyond(&ns("shop"), opened).is_empty()
}

/// Every address on every port, as numbers.
fn points(networks: &[IpNet], except: &[IpNet], ports: &[PortSpan]) -> Vec<(u8, Protocol, u16)> {
    let mut out = Vec::new();
    for low in 0..32 {
        let address = IpAddr::from([10, 0, 0, low]);
        let holds = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        if !holds(networks) || holds(except) {
            continue;
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let is_open =
                |port: &u16| ports.iter().any(|s| s.protocol == protocol && s.from <= *port && *port <= s.to);
            out.extend((1..16).filter(is_open).map(|port| (low, protocol, port)));
        }
    }
    out
}

proptest! {
    #[test]
    fn an_opening_is_covered_if_each_point_is_granted(
        granted in nets(5), grant_ports in spans(),
        low in 0_u8..32, length in 27_u8..=32, except in nets(3), ports in spans(),
    ) {
        let wanted = points(&[net(low, length)], &except, &ports);
        prop_assume!(!wanted.is_empty());
        let may = points(&granted, &[], &grant_ports);
        let all = wanted.iter().all(|point| may.contains(point));
        prop_assert_eq!(covers(&grant(granted, grant_ports), &opened(net(low, length), except, &ports)), all);
    }

    #[test]
    fn what_is_narrower_stays_covered_and_what_is_wider_never_becomes_so(
        granted in nets(5), grant_ports in spans(),
        low in 0_u8..32, length in 27_u8..=32, except in nets(3), ports in spans(),
        more_except in nets(3), longer in 0_u8..6, fewer in 0_usize..4,
    ) {
        let grant = grant(granted, grant_ports);
        let wide = opened(net(low, length), except.clone(), &ports);
        let narrow_net = net(low, (length + longer).min(32));
        let narrow_except: Vec<_> = except.into_iter().chain(more_except).collect();
        let narrow_ports = &ports[..ports.len().saturating_sub(fewer).max(1)];
        let narrow = opened(narrow_net, narrow_except, narrow_ports);
        prop_assert!(!covers(&grant, &wide) || covers(&grant, &narrow), "narrower, and not covered");
        prop_assert!(covers(&grant, &narrow) || !covers(&grant, &wide), "wider, and covered");
    }

    /// A grant that lost an address, a port or everything covers no more than before.
    #[test]
    fn a_smaller_grant_covers_no_more(
        granted in nets(5), grant_ports in spans(), lost in 0_usize..5,
        low in 0_u8..32, length in 27_u8..=32, ports in spans(),
    ) {
        let one = opened(net(low, length), Vec::new(), &ports);
        let fewer = granted[..granted.len().saturating_sub(lost)].to_vec();
        let fewer_ports = grant_ports[..1].to_vec();
        prop_assert!(!covers(&grant(fewer, fewer_ports), &one) || covers(&grant(granted, grant_ports), &one));
    }
}
