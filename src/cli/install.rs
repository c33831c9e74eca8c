//! `sluice install`: puts into the state cluster what the team's shared state needs: previewed by the
//! server, confirmed by the cluster's name, written, recorded. Says what only people can do.

mod watcher;

use super::{
    args::{Format, Global, Install},
    ask::{self, Asker},
    exit::Exit,
    print::Printer,
    session::{self, Need, NoStart},
};
use crate::{
    cockpit::{plan::ClusterEntry, ports::Trouble},
    documents::install::{self as document, Report},
    domain::{
        fleet::Environment,
        names::{ClusterName, NsName, Text},
    },
    engine::Setup,
    k8s::{
        connect::Access,
        shared::install::{self, Change, Plan, Target},
    },
};

/// Where the shared objects are kept unless sluice.yaml says otherwise.
pub const NAMESPACE: &str = "sluice";

pub async fn run(
    global: &Global,
    args: &Install,
    asker: &mut Asker,
    printer: &mut Printer<'_>,
) -> Result<Exit, NoStart> {
    let setup = session::setup(global, Need::Workspace, false)?;
    if let Some(cluster) = &args.watch {
        printer.out(&watcher::print(&setup.fleet, cluster, &args.image)?);
        return Ok(Exit::Done);
    }
    let (target, access) = target(&setup, args)?;
    if args.print {
        printer.out(&install::print(&target).map_err(failed)?);
        return Ok(Exit::Done);
    }
    let plan = install::plan(&access, &target).await.map_err(failed)?;
    let mut report = report(&plan, args.change.dry_run);
    report.troubles = plan.refusals().cloned().collect();
    let exit = if report.troubles.is_empty() {
        carry_out(&setup, &access, &plan, &mut report, asker, printer, args).await
    } else {
        Exit::Failed
    };
    if exit != Exit::Failed || !args.change.dry_run {
        report.unbound = install::unbound(&access, &target).await;
    }
    report.result = exit.word();
    printer.out(&match args.change.output {
        Format::Text => document::text(&report),
        Format::Json => document::json(&report),
    });
    Ok(exit)
}

async fn carry_out(
    setup: &Setup,
    access: &Access,
    plan: &Plan,
    report: &mut Report,
    asker: &mut Asker,
    printer: &mut Printer<'_>,
    args: &Install,
) -> Exit {
    if args.change.dry_run || plan.writes().next().is_none() {
        return Exit::Done;
    }
    if asker.is_person() {
        printer.say(&document::preview(report));
    }
    let word = plan.target.cluster.as_str();
    if !asker.asks_for(word, &format!("install into {word}"), printer).await {
        printer.say("Not confirmed: nothing was written.\n");
        return Exit::Failed;
    }
    match install::install(access, plan, setup.clock.now()).await {
        Ok(()) => Exit::Done,
        Err(trouble) => {
            report.troubles.push(trouble);
            Exit::Partial
        }
    }
}

/// First of all: can it be confirmed?
pub fn nobody(asker: &Asker, args: &Install) -> Option<&'static str> {
    if args.print || args.watch.is_some() { None } else { ask::nobody(asker, &args.change) }
}

fn report(plan: &Plan, dry_run: bool) -> Report {
    let steps = plan.steps.iter().map(|step| document::Step {
        object: step.object.clone(),
        change: step.change.word(),
        diff: match &step.change {
            Change::Differs(diff) => diff.clone(),
            Change::New | Change::Same | Change::Refused(_) => Vec::new(),
        },
    });
    Report {
        result: Exit::Done.word(),
        dry_run,
        cluster: plan.target.cluster.clone(),
        ns: plan.target.ns.clone(),
        command: install::command(plan.target.context.as_str()),
        steps: steps.collect(),
        troubles: Vec::new(),
        unbound: None,
    }
}

/// The cluster and namespace that are meant: of the command line, else of sluice.yaml.
fn target(setup: &Setup, args: &Install) -> Result<(Target, Access), NoStart> {
    let state = setup.fleet.settings.state.as_ref();
    let named = match (&args.state_cluster, state) {
        (Some(raw), _) => {
            ClusterName::parse(raw).map_err(|bad| usage("--state-cluster", &bad.to_string()))?
        }
        (None, Some(state)) => state.cluster.clone(),
        (None, None) => {
            return Err(usage("the state cluster", "neither --state-cluster nor sluice.yaml names one"));
        }
    };
    let ns = state.map(|state| state.ns.clone()).map_or_else(|| NsName::parse(NAMESPACE), Ok);
    let ns = ns.map_err(|bad| usage("the namespace", &bad.to_string()))?;
    let by_name = |entry: &&ClusterEntry| entry.name == named || entry.context.as_str() == named.as_str();
    let known = setup.fleet.clusters.iter().find(by_name).cloned();
    // It may stand beside the fleet, as a context of that name.
    let entry = known.unwrap_or_else(|| ClusterEntry {
        name: named.clone(),
        context: Text::new(named.as_str()),
        environment: Environment::default(),
        relay: None,
        flows: Default::default(),
        collector: None,
    });
    let access = (setup.reach)(&entry);
    let people = setup.fleet.settings.people.clone();
    Ok((Target { cluster: entry.name, context: entry.context, ns, people }, access))
}

pub(super) fn usage(object: &str, fact: &str) -> NoStart {
    let next = "Name it with --state-cluster, or under `state:` in sluice.yaml.";
    NoStart { exit: Exit::Usage, troubles: vec![Trouble::new(object, fact, next)] }
}

fn failed(trouble: Trouble) -> NoStart {
    NoStart { exit: Exit::Failed, troubles: vec![trouble] }
}
