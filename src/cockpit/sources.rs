//! Which source a cluster's flows are read from: what sluice.yaml says, else what the pre-flight found
//! in the cluster. Pure: the engine starts what is picked here, and says why where nothing is.

use crate::domain::{
    fleet::{Cluster, CniKind},
    names::Text,
    preflight::check::CheckId,
    source::{SourceKind, Wanted},
};

use super::plan::ClusterEntry;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// What decides is not read yet.
    NotYet,
    Read(SourceKind),
    /// There is none: why, and what would be needed.
    None(Text),
}

pub fn pick(entry: &ClusterEntry, cluster: &Cluster) -> Picked {
    match entry.flows {
        Wanted::Auto => auto(entry, cluster),
        Wanted::Hubble => Picked::Read(SourceKind::Hubble),
        Wanted::Goldmane => Picked::Read(SourceKind::Goldmane),
        Wanted::CalicoFiles => Picked::Read(SourceKind::CalicoFiles),
        Wanted::Antrea => Picked::Read(SourceKind::AntreaFlows),
        Wanted::KernelLog => Picked::Read(SourceKind::KernelLog),
        Wanted::None => Picked::None(Text::new("sluice.yaml says `flows: none` for this cluster")),
    }
}

/// Hubble needs no pre-flight: Cilium is enough. Everything else must have been seen in the cluster.
fn auto(entry: &ClusterEntry, cluster: &Cluster) -> Picked {
    let Some(cni) = &cluster.cni else { return Picked::NotYet };
    if entry.relay.is_some() || cni.kind == CniKind::Cilium {
        return Picked::Read(SourceKind::Hubble);
    }
    let Some((report, _)) = &cluster.looked.preflight else { return Picked::NotYet };
    if let Some(kind) = report.offers.first() {
        return Picked::Read(*kind);
    }
    if cni.kind == CniKind::Flannel {
        let why = "flannel enforces nothing, so nothing is denied and nothing is logged";
        return Picked::None(Text::new(why));
    }
    let why = report.check(CheckId::Flows).map_or("", |check| check.why.as_str());
    Picked::None(Text::from(format!("{why} See `flows` in its pre-flight, or set `flows:` in sluice.yaml")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        fleet::{Cni, Enforcement},
        names::ClusterName,
        preflight::{check::Check, report::Report},
        time::Timestamp,
    };

    fn picked(flows: Wanted, cni: Option<CniKind>, offers: Option<&[SourceKind]>) -> String {
        let name = ClusterName::parse("east").expect("a name");
        let entry = ClusterEntry {
            name: name.clone(),
            context: Text::new("east"),
            environment: Default::default(),
            flows,
            relay: None,
            collector: None,
        };
        let mut cluster = Cluster::new(name, Default::default());
        cluster.cni = cni.map(|kind| Cni {
            kind,
            version: None,
            enforcement: Enforcement::Unknown,
            evidence: Text::default(),
        });
        cluster.looked.preflight = offers.map(|offers| {
            let report = Report {
                checks: vec![Check::fail(CheckId::Flows, "No Goldmane gathers flows.")],
                engine: None,
                dns_mode: None,
                offers: offers.to_vec(),
                printing: None,
            };
            (report, Timestamp::UNIX_EPOCH)
        });
        match pick(&entry, &cluster) {
            Picked::NotYet => "not yet".to_owned(),
            Picked::Read(kind) => kind.as_str().to_owned(),
            Picked::None(why) => format!("none: {why}"),
        }
    }

    #[test]
    fn auto_takes_what_the_pre_flight_found_and_sluice_yaml_goes_first() {
        use SourceKind::{AntreaFlows, Goldmane};
        let auto = |cni, offers| picked(Wanted::Auto, cni, offers);
        assert_eq!(auto(None, None), "not yet");
        assert_eq!(auto(Some(CniKind::Cilium), None), "Hubble");
        assert_eq!(auto(Some(CniKind::Calico), None), "not yet");
        assert_eq!(auto(Some(CniKind::Calico), Some(&[Goldmane])), "Goldmane");
        assert_eq!(auto(Some(CniKind::Antrea), Some(&[AntreaFlows])), "Antrea flow aggregator");
        assert_eq!(
            auto(Some(CniKind::Calico), Some(&[])),
            "none: No Goldmane gathers flows. See `flows` in its pre-flight, or set `flows:` in sluice.yaml"
        );
        assert_eq!(
            auto(Some(CniKind::Flannel), Some(&[])),
            "none: flannel enforces nothing, so nothing is denied and nothing is logged"
        );
        assert_eq!(picked(Wanted::Goldmane, Some(CniKind::Calico), None), "Goldmane");
        assert_eq!(picked(Wanted::Goldmane, None, None), "Goldmane");
        assert_eq!(
            picked(Wanted::None, Some(CniKind::Cilium), None),
            "none: sluice.yaml says `flows: none` for this cluster"
        );
    }
}
