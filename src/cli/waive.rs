//! `sluice waive`: one thing of one row that the soak no longer waits for, until a day. Decided by the
//! same function as the form of the cockpit; whose word it is, the API server says.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    args::{Global, Row, Until, Waive},
    exit::Exit,
    plan::{has_state, named},
    print::Printer,
    session::{Session, Waited},
    share, wait,
};
use crate::{
    cockpit::{decide::Command, waiving::Waiving, world::World},
    domain::{
        hold::{DenialKey, Subject},
        names::Text,
        rollout::Target,
        time::Timestamp,
    },
};

/// How long the cluster's list of CronJobs is waited for; whoever may not read it goes on without.
const JOBS: Duration = Duration::from_secs(10);

pub async fn run(session: &mut Session, global: &Global, args: &Waive, printer: &mut Printer<'_>) -> Exit {
    let target = match target(session.world(), global, &args.row) {
        Ok(target) => target,
        Err(said) => {
            printer.say(&said);
            return Exit::Usage;
        }
    };
    let Target { cluster, ns, .. } = &target;
    let is_read = |world: &World| has_state(world) && wait::are_read(world, std::slice::from_ref(cluster));
    if session.until(args.sharing.deadline, is_read).await == Waited::Interrupted {
        return Exit::Failed;
    }
    // A name that is none is found out by what the cluster has, where it tells it.
    let has_told = |world: &World| args.cronjob.is_none() || world.discoveries().crons(cluster, ns).is_some();
    session.until(args.sharing.deadline.min(JOBS), has_told).await;
    let Some(subject) = subject(args) else {
        printer.say("Say what is waived: --destination with --port, --cronjob, --no-evidence or --quiet.\n");
        return Exit::Usage;
    };
    let reason = Text::new(args.reason.as_deref().unwrap_or_default());
    let commands = |world: &World| {
        let expires = end(world, args.until);
        vec![Command::Waive(Box::new(Waiving { target, subject, reason, expires }))]
    };
    share::write(session, "waive", commands, &args.sharing, printer).await
}

/// The one row that is meant; `Err`: a usage error to print.
pub(super) fn target(world: &World, global: &Global, row: &Row) -> Result<Target, String> {
    let named = named(world, global).map_err(|unknown| format!("{unknown}\n"))?;
    let all = if named.is_empty() { world.clusters().map(|one| one.name.clone()).collect() } else { named };
    match <[_; 1]>::try_from(all) {
        Ok([cluster]) => Ok(Target { cluster, ns: row.namespace.clone(), direction: row.direction }),
        Err(all) => {
            let known: Vec<_> = all.iter().map(ToString::to_string).collect();
            Err(format!("Name one cluster with --context; there are: {}\n", known.join(", ")))
        }
    }
}

/// A span counts from the state cluster's now.
pub(super) fn end(world: &World, until: Until) -> Timestamp {
    let now = world.shared().now(world.now()).unwrap_or(world.now());
    match until {
        Until::At(at) => at,
        Until::In(span) => now + TimeDelta::from_std(span).unwrap_or(TimeDelta::zero()),
    }
}

/// One of them is there: the command line demands it.
fn subject(args: &Waive) -> Option<Subject> {
    if args.quiet {
        return Some(Subject::Quiet);
    }
    if let Some(name) = &args.cronjob {
        return Some(Subject::CronJob(Text::new(name)));
    }
    if let Some(workload) = &args.no_evidence {
        return Some(Subject::NoEvidence(workload.clone()));
    }
    let (destination, (protocol, port)) = args.destination.as_ref().zip(args.port)?;
    Some(Subject::Denial(DenialKey {
        workload: args.workload.clone(),
        destination: Text::new(destination),
        port,
        protocol,
    }))
}
