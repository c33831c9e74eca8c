//! How much harm a namespace can do when its traffic is cut: what people said, else what was seen of
//! it, each part with its figure and its points. Unknown stays unknown. Pure.

/// What is known of one namespace in one cluster. `None`: not known, which is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// `sluice.yaml` says so: 0 (none) to 100.
    pub configured: Option<u8>,
    /// Distinct edges by which others call in (workload, peer, port).
    pub callers: Option<u64>,
    /// Distinct edges by which it calls out.
    pub callees: Option<u64>,
    /// Flows as far as the collector goes back.
    pub flows: Option<u64>,
    /// Workloads that reconcile or route for others: operators, ingress controllers.
    pub controllers: Option<u64>,
    /// Edges on which the API server calls in: webhooks and aggregated APIs.
    pub webhooks: Option<u64>,
    /// Of ingress: a policy on callers cuts nothing that the namespace calls.
    pub inward: bool,
}

/// One part of a risk, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub figure: Option<u64>,
    /// What it adds; at most `of`.
    pub points: Option<u8>,
    pub of: u8,
}

impl Risk {
    /// The number that orders rows: what was configured, else the evidence. `None`: unknown.
    pub fn score(&self) -> Option<u8> {
        self.configured.or_else(|| self.evidence())
    }

    /// Points of all parts together, 0 to 100. Callers, destinations and traffic must be known.
    /// Controllers and webhooks that are not known count in full: a doubt never makes a row go early.
    pub fn evidence(&self) -> Option<u8> {
        self.parts()
            .iter()
            .map(|part| if part.of == FLAT { part.points.or(Some(FLAT)) } else { part.points })
            .sum()
    }

    /// Each doubling of callers adds 6 points (36 at most), of destinations 3 (18, of ingress none), of
    /// flows 1 (26); any controller or webhook adds 10.
    pub fn parts(&self) -> [Part; 5] {
        let doubling = |name, figure: Option<u64>, each: u8, of: u8| Part {
            name,
            figure,
            points: figure.map(|n| (doublings(n).saturating_mul(each)).min(of)),
            of,
        };
        let any = |name, figure: Option<u64>| Part {
            name,
            figure,
            points: figure.map(|n| if n > 0 { FLAT } else { 0 }),
            of: FLAT,
        };
        [
            doubling("callers", self.callers, 6, 36),
            match self.inward {
                false => doubling("destinations", self.callees, 3, 18),
                true => Part { name: "destinations", figure: self.callees, points: Some(0), of: 0 },
            },
            doubling("flows", self.flows, 1, 26),
            any("controllers", self.controllers),
            any("webhooks", self.webhooks),
        ]
    }
}

/// What a controller or a webhook adds, however many there are.
const FLAT: u8 = 10;

/// 0, 1, 3, 7, 15 … are 0, 1, 2, 3, 4 …
fn doublings(figure: u64) -> u8 {
    figure.saturating_add(1).ilog2() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(callers: u64, callees: u64, flows: u64) -> Risk {
        Risk {
            configured: None,
            callers: Some(callers),
            callees: Some(callees),
            flows: Some(flows),
            controllers: Some(0),
            webhooks: Some(0),
            inward: false,
        }
    }

    /// Written down by hand: points of callers, destinations, flows.
    #[test]
    fn evidence_adds_up_to_what_its_parts_say() {
        for (risk, score) in [
            (seen(0, 0, 0), 0),
            (seen(1, 0, 0), 6),
            (seen(3, 1, 0), 12 + 3),
            (seen(7, 7, 1_000), 18 + 9 + 9),
            (seen(u64::MAX, u64::MAX, u64::MAX), 36 + 18 + 26),
            (Risk { controllers: Some(2), ..seen(0, 0, 0) }, 10),
            (Risk { webhooks: Some(1), controllers: Some(1), ..seen(0, 0, 0) }, 20),
            (Risk { webhooks: None, controllers: None, ..seen(0, 0, 0) }, 20),
            (Risk { configured: Some(3), ..seen(63, 0, 0) }, 3),
            (Risk { inward: true, ..seen(7, 7, 1_000) }, 18 + 9),
            (Risk { inward: true, callees: None, ..seen(0, 0, 0) }, 0),
        ] {
            assert_eq!(risk.score(), Some(score), "{risk:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        assert_eq!(Risk::default().score(), None);
        assert_eq!(Risk { callers: None, ..seen(0, 1, 1) }.score(), None);
        assert_eq!(Risk { flows: None, ..seen(0, 1, 1) }.evidence(), None);
        assert_eq!(Risk { configured: Some(50), ..Risk::default() }.score(), Some(50));
        assert_eq!(Risk::default().parts().map(|part| part.points), [None; 5]);
    }
}
