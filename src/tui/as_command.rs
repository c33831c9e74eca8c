//! What a form would send, as the command a person would type instead. Pure text; `None` where only
//! the form does it.

use crate::{
    cockpit::{
        decide::{Asking, Command, Deciding},
        reviews::{self, Wanted, Wish},
        waiving::{Overriding, Waiving},
        world::World,
    },
    domain::{
        grant::{DecisionVerdict, Opening},
        hold::{HoldKind, Scope, Subject},
        names::{Text, Workload},
        time::Timestamp,
        valve::shell_word,
    },
};

use super::copy;

/// The command of the same effect.
pub fn command(world: &World, command: &Command) -> Option<String> {
    match command {
        Command::Hold(wanted) => {
            let verb = match wanted.kind {
                HoldKind::Hold => "hold",
                HoldKind::Exclusion => "exclude",
            };
            let mut out = format!("sluice {verb} {}", scope(world, &wanted.scope));
            option(&mut out, "reason", Some(&wanted.reason));
            moment(&mut out, "until", wanted.expires);
            Some(out)
        }
        Command::Release(name) => Some(format!("sluice release {}", shell_word(name.as_str()))),
        Command::DecideReview(deciding) => decision(world, deciding),
        Command::AskReview(asking) => ask(world, asking),
        Command::Waive(waiving) => Some(waive(world, waiving)),
        Command::Override(overriding) => overrule(world, overriding),
        Command::Confirm(name) => Some(format!("sluice override confirm {}", shell_word(name.as_str()))),
        _ => None,
    }
}

fn waive(world: &World, waiving: &Waiving) -> String {
    let mut out = format!("sluice waive {}", scope(world, &Scope::Rollout(waiving.target.clone())));
    let named = |workload: &Workload| Text::from(format!("{}/{}", workload.kind, workload.name));
    match &waiving.subject {
        Subject::Denial(key) => {
            option(&mut out, "destination", Some(&key.destination));
            out.push_str(&format!(" --port {}/{}", key.protocol, key.port));
            option(&mut out, "workload", key.workload.as_ref().map(named).as_ref());
        }
        Subject::CronJob(name) => option(&mut out, "cronjob", Some(name)),
        Subject::NoEvidence(workload) => option(&mut out, "no-evidence", Some(&named(workload))),
        Subject::Quiet => out.push_str(" --quiet"),
    }
    option(&mut out, "reason", Some(&waiving.reason));
    moment(&mut out, "until", Some(waiving.expires));
    out
}

/// With the bytes whole, so that it asks for nothing else however late it is typed.
fn overrule(world: &World, overriding: &Overriding) -> Option<String> {
    let preview = world.orders().preview(overriding.preview)?;
    let row = scope(world, &Scope::Rollout(preview.target.clone()));
    let mut out = format!("sluice override ask {row} --digest {}", preview.digest);
    overriding.covers.iter().for_each(|covers| out.push_str(&format!(" --covers {}", covers.as_str())));
    option(&mut out, "reason", Some(&overriding.reason));
    moment(&mut out, "until", Some(overriding.expires));
    Some(out)
}

fn scope(world: &World, scope: &Scope) -> String {
    let at = |cluster| format!("--context {}", shell_word(&copy::context(world, cluster)));
    match scope {
        Scope::Fleet => "--fleet".to_owned(),
        Scope::Cluster(cluster) => at(cluster),
        Scope::Namespace(cluster, ns) => format!("{} -n {ns}", at(cluster)),
        Scope::Rollout(target) => {
            format!("{} -n {} --direction {}", at(&target.cluster), target.ns, target.direction)
        }
    }
}

fn decision(world: &World, deciding: &Deciding) -> Option<String> {
    let verb = match deciding.verdict {
        DecisionVerdict::Approved => "approve",
        DecisionVerdict::Rejected => "reject",
        DecisionVerdict::Revoked => "revoke",
    };
    let names: Vec<_> = deciding.reviews.iter().map(|shown| shell_word(shown.name.as_str())).collect();
    let mut out = format!("sluice review {verb} {}", names.join(" "));
    for uid in deciding.clusters.iter().flatten() {
        let of = |cluster: &&crate::domain::fleet::Cluster| cluster.uid.as_ref() == Some(uid);
        let cluster = world.clusters().find(of)?;
        out.push_str(&format!(" --for {}", shell_word(cluster.name.as_str())));
    }
    option(&mut out, "reason", Some(&deciding.reason));
    option(&mut out, "ticket", deciding.ticket.as_ref());
    moment(&mut out, "expires", deciding.expires);
    Some(out)
}

/// Whoever types it takes ports and workloads from the policies, or all pods with ports of his own: only
/// where one of both asks for exactly the grant of the form is there a command.
fn ask(world: &World, asking: &Asking) -> Option<String> {
    let [grant] = asking.grants.as_slice() else { return None };
    let of = |uid: &Text| world.clusters().find(|cluster| cluster.uid.as_ref() == Some(uid));
    let clusters: Vec<_> =
        grant.clusters.iter().map(|uid| of(uid).map(|one| one.name.clone())).collect::<Option<_>>()?;
    let wish = |ports| Wish {
        ns: grant.ns.clone(),
        direction: grant.direction,
        clusters: Some(clusters.clone()),
        destination: Some(Wanted::One(grant.destination.clone())),
        ports,
        expires: grant.expires,
    };
    let asks = |ports: Option<_>| reviews::draft(world, &wish(ports)) == *asking.grants;
    let ports = if asks(None) {
        String::new()
    } else if asks(Some(grant.ports.clone())) {
        grant.ports.iter().map(|span| format!(" --port {span}")).collect()
    } else {
        return None;
    };
    let destination = match &grant.destination {
        Opening::Name(name) => name.to_string(),
        Opening::Networks(networks) => networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let mut out =
        format!("sluice review ask -n {} --destination {}{ports}", grant.ns, shell_word(&destination));
    clusters.iter().for_each(|name| out.push_str(&format!(" --for {}", shell_word(name.as_str()))));
    option(&mut out, "purpose", Some(&asking.purpose));
    moment(&mut out, "expires", Some(grant.expires));
    Some(out)
}

fn option(out: &mut String, name: &str, value: Option<&Text>) {
    if let Some(value) = value.filter(|value| !value.as_str().is_empty()) {
        out.push_str(&format!(" --{name} {}", shell_word(value.as_str())));
    }
}

fn moment(out: &mut String, name: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        out.push_str(&format!(" --{name} {}", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cockpit::{
            decide::Shown,
            plan::{ClusterEntry, FleetFile},
            ports::{ClusterFact, Fact},
        },
        domain::names::ClusterName,
    };

    /// A context of the kubeconfig is whatever somebody called it, and so is a cluster.
    #[test]
    fn a_cluster_is_one_word_of_the_command_whatever_it_is_called() {
        let name = ClusterName::parse("eu; rm -rf ~").expect("a free name");
        let entry = ClusterEntry {
            name: name.clone(),
            context: Text::new(name.as_str()),
            environment: Default::default(),
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        let mut world = World::new(Timestamp::default());
        world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        let uid = Text::new("uid-eu");
        let met = ClusterFact::Met { uid: Some(uid.clone()), version: Text::new("v1.33"), kinds: Vec::new() };
        world.absorb(Fact::Cluster(name, met));
        let deciding = Deciding {
            reviews: vec![Shown { name: Text::new("r-1"), version: Text::new("7") }],
            verdict: DecisionVerdict::Approved,
            reason: Text::new("it's ours"),
            ticket: None,
            expires: None,
            clusters: Some([uid].into()),
        };
        assert_eq!(
            command(&world, &Command::DecideReview(Box::new(deciding))).as_deref(),
            Some(r"sluice review approve r-1 --for 'eu; rm -rf ~' --reason 'it'\''s ours'")
        );
    }
}
