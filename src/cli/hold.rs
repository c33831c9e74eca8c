//! `sluice hold`, `sluice exclude`, `sluice release`: one small write to the state cluster each, and
//! its answer. They change no policy, so nothing is previewed; who did it is the API server's word.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};

use super::{
    args::{Exclude, Global, Hold, Holding, Release},
    exit::Exit,
    plan::named,
    print::Printer,
    session::Session,
    share,
};
use crate::{
    cockpit::{decide::Command, holding::Wanted, world::World},
    domain::{
        hold::{HoldKind, Scope},
        names::{ClusterName, Text},
        rollout::Target,
        time::Timestamp,
    },
};

/// RFC 3339, or a date.
pub fn moment(raw: &str) -> Result<Timestamp, String> {
    let at = DateTime::parse_from_rfc3339(raw).map(|at| at.to_utc()).ok();
    let day = || raw.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc()).ok();
    at.or_else(day).ok_or_else(|| "write a time such as 2026-12-01T18:00:00Z, or a date".to_owned())
}

pub async fn hold(session: &mut Session, global: &Global, args: &Hold, printer: &mut Printer<'_>) -> Exit {
    let scopes = match scopes(session.world(), global, &args.holding, args.fleet) {
        Ok(scopes) => scopes,
        Err(said) => return usage(printer, &said),
    };
    put_on(session, scopes, HoldKind::Hold, &args.holding, printer).await
}

pub async fn exclude(
    session: &mut Session,
    global: &Global,
    args: &Exclude,
    printer: &mut Printer<'_>,
) -> Exit {
    let scopes = match scopes(session.world(), global, &args.holding, false) {
        Ok(scopes) => scopes,
        Err(said) => return usage(printer, &said),
    };
    put_on(session, scopes, HoldKind::Exclusion, &args.holding, printer).await
}

pub async fn release(session: &mut Session, args: &Release, printer: &mut Printer<'_>) -> Exit {
    let commands = vec![Command::Release(Text::new(&args.name))];
    share::write(session, "release", |_| commands, &args.sharing, printer).await
}

fn usage(printer: &mut Printer<'_>, said: &str) -> Exit {
    printer.say(said);
    Exit::Usage
}

async fn put_on(
    session: &mut Session,
    scopes: Vec<Scope>,
    kind: HoldKind,
    args: &Holding,
    printer: &mut Printer<'_>,
) -> Exit {
    let name = match kind {
        HoldKind::Hold => "hold",
        HoldKind::Exclusion => "exclude",
    };
    let reason = Text::new(args.reason.as_deref().unwrap_or_default());
    let (until, span) = (args.until, args.span);
    let commands = |world: &World| {
        // A span counts from the state cluster's now.
        let now = world.shared().now(world.now()).unwrap_or(world.now());
        let expires = until.or_else(|| now.checked_add_signed(TimeDelta::from_std(span?).ok()?));
        let wanted = |scope: Scope| Wanted { scope, kind, reason: reason.clone(), expires };
        scopes.into_iter().map(|scope| Command::Hold(wanted(scope))).collect()
    };
    share::write(session, name, commands, &args.sharing, printer).await
}

/// What is meant, narrowest first named: namespaces in clusters, clusters, the fleet.
fn scopes(world: &World, global: &Global, args: &Holding, fleet: bool) -> Result<Vec<Scope>, String> {
    if fleet {
        return Ok(vec![Scope::Fleet]);
    }
    let clusters = named(world, global).map_err(|unknown| format!("{unknown}\n"))?;
    if clusters.is_empty() {
        return Err("Name what is meant: a cluster with --context, a namespace of it with -n, or (to hold) --fleet.\n".to_owned());
    }
    let of = |cluster: &ClusterName| -> Vec<Scope> {
        if args.namespaces.is_empty() {
            return vec![Scope::Cluster(cluster.clone())];
        }
        let one = |ns: &crate::domain::names::NsName| match args.direction {
            Some(direction) => Scope::Rollout(Target { cluster: cluster.clone(), ns: ns.clone(), direction }),
            None => Scope::Namespace(cluster.clone(), ns.clone()),
        };
        args.namespaces.iter().map(one).collect()
    };
    Ok(clusters.iter().flat_map(of).collect())
}
