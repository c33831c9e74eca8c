//! `sluice review`: the queue, dossiers, asking and deciding. Needs the state cluster; what is decided
//! is decided by the same function as on the screen, and again by the API server.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};
use ipnet::IpNet;

use super::{
    args::{
        self, Change, Format, Global, Look, Review, ReviewAsk, ReviewCommand, ReviewDecide, ReviewList, Until,
    },
    ask::{self, Asker},
    exit::Exit,
    print::Printer,
    run,
    session::{Need, Session, Waited},
};
use crate::{
    cockpit::{
        decide::{Asking, Command, Deciding, Reason, Refusal, ReviewReason, Shown, decide},
        gate,
        ports::{Link, Trouble},
        reviews::{self, ReviewRow, Wanted, Wish},
        shared::ShareId,
        world::World,
    },
    documents::reviews::{self as documents, Report},
    domain::{
        edge::DnsName,
        fleet::Health,
        flow::{Direction, Protocol},
        grant::{DecisionVerdict, Grant, Opening, PortSpan},
        names::{ClusterName, Text},
        time::Timestamp,
    },
};

pub fn main(global: &Global, args: &Review, printer: &mut Printer<'_>) -> Exit {
    let mut asker = match &args.command {
        ReviewCommand::List(_) | ReviewCommand::Show(_) => Asker::Nobody,
        ReviewCommand::Ask(ReviewAsk { change, .. })
        | ReviewCommand::Approve(ReviewDecide { change, .. })
        | ReviewCommand::Reject(ReviewDecide { change, .. })
        | ReviewCommand::Revoke(ReviewDecide { change, .. }) => {
            let asker = Asker::of(change.yes);
            if let Some(said) = ask::nobody(&asker, change) {
                printer.say(said);
                return Exit::Usage;
            }
            asker
        }
    };
    run::with_runtime(printer, async |printer| {
        let mut session = run::start(global, Need::Workspace, false)?;
        Ok(in_session(&mut session, &args.command, &mut asker, printer).await)
    })
}

/// The command on an engine that runs.
pub async fn in_session(
    session: &mut Session,
    command: &ReviewCommand,
    asker: &mut Asker,
    printer: &mut Printer<'_>,
) -> Exit {
    Reviewing { session, asker, printer }.run(command).await
}

/// One command under way.
struct Reviewing<'c, 'p> {
    session: &'c mut Session,
    asker: &'c mut Asker,
    printer: &'c mut Printer<'p>,
}

/// What is known after the wait, or how the command ends without it.
type Ready = Result<(), Exit>;

impl Reviewing<'_, '_> {
    async fn run(&mut self, command: &ReviewCommand) -> Exit {
        let ended = match command {
            ReviewCommand::List(args) => self.list(args).await,
            ReviewCommand::Show(args) => self.show(&args.name, &args.look).await,
            ReviewCommand::Ask(args) => self.ask(args).await,
            ReviewCommand::Approve(args) => self.decide(args, DecisionVerdict::Approved).await,
            ReviewCommand::Reject(args) => self.decide(args, DecisionVerdict::Rejected).await,
            ReviewCommand::Revoke(args) => self.decide(args, DecisionVerdict::Revoked).await,
        };
        ended.unwrap_or_else(|exit| exit)
    }

    /// Waits for the state cluster, and for what else the question needs.
    async fn ready(&mut self, patience: Duration, needs: impl Fn(&World) -> bool) -> Ready {
        if self.session.world().plan().settings.state.is_none() {
            self.printer.say(&format!("{}\n", ReviewReason::NoState));
            return Err(Exit::Refused);
        }
        let done = |world: &World| {
            matches!(world.shared().link(), Some(Link::None(_) | Link::Broken(_)))
                || (world.shared().is_live() && gate::time(world).is_some() && are_met(world) && needs(world))
        };
        let waited = self.session.until(patience, done).await;
        let world = self.session.world();
        if waited == Waited::Interrupted {
            return Err(Exit::Failed);
        }
        // What else is missing is said where it matters, as unknown.
        if !world.shared().is_live() {
            let why = match world.shared().link() {
                Some(Link::Broken(trouble)) => trouble.to_string(),
                Some(Link::None(why)) => why.to_string(),
                Some(Link::Connecting | Link::Live) | None => "it has not answered yet".to_owned(),
            };
            self.printer.say(&format!("{}\n", ReviewReason::Away(Text::from(why))));
            return Err(Exit::Failed);
        }
        Ok(())
    }

    async fn list(&mut self, args: &ReviewList) -> Result<Exit, Exit> {
        self.ready(args.look.deadline, |_| true).await?;
        let world = self.session.world();
        let found: Option<BTreeSet<_>> = args
            .destination
            .as_ref()
            .map(|words| gate::search(world, words).into_iter().map(|kept| kept.name.clone()).collect());
        let mut rows = reviews::queue(world);
        rows.retain(|row| {
            (!args.open || row.queue == reviews::Queue::Open)
                && found.as_ref().is_none_or(|found| found.contains(&row.name))
        });
        self.printer.out(&match args.look.output {
            Format::Text => documents::list_text(&rows),
            Format::Json => documents::list_json(&rows),
        });
        Ok(Exit::Done)
    }

    async fn show(&mut self, name: &str, look: &Look) -> Result<Exit, Exit> {
        self.ready(look.deadline, is_judged).await?;
        let world = self.session.world();
        let Some(kept) = world.shared().review(&Text::new(name)) else {
            self.printer.say(&format!("{}\n", ReviewReason::Unknown(Text::new(name))));
            return Ok(Exit::Failed);
        };
        let dossier = reviews::dossier(world, kept);
        self.printer.out(&match look.output {
            Format::Text => documents::show_text(world, &dossier),
            Format::Json => documents::show_json(&dossier),
        });
        Ok(Exit::Done)
    }

    async fn ask(&mut self, args: &ReviewAsk) -> Result<Exit, Exit> {
        self.ready(args.change.deadline, is_judged).await?;
        let clusters = self.named(&args.clusters)?;
        let world = self.session.world();
        let wish = Wish {
            ns: args.namespace.clone(),
            direction: Direction::Egress,
            clusters: (!clusters.is_empty()).then(|| clusters.iter().map(|(name, _)| name.clone()).collect()),
            destination: args.destination.clone(),
            ports: (!args.ports.is_empty()).then(|| args.ports.clone()),
            expires: resolve(args.expires, gate::time(world).unwrap_or(world.now())),
        };
        let grants = reviews::draft(world, &wish);
        if grants.is_empty() {
            self.printer.say(&format!(
                "The policies of {} open nothing of that kind without a grant; with --port it can be asked for before they do.\n",
                args.namespace
            ));
            return Ok(Exit::Failed);
        }
        let shown: String =
            grants.iter().map(|grant| format!("ask for {}\n", documents::grant_text(world, grant))).collect();
        let asking = Asking { grants: grants.clone(), purpose: Text::new(&args.purpose) };
        let command = Command::AskReview(Box::new(asking));
        self.write("review ask", &args.change, &shown, &command, (Vec::new(), grants)).await
    }

    async fn decide(&mut self, args: &ReviewDecide, verdict: DecisionVerdict) -> Result<Exit, Exit> {
        self.ready(args.change.deadline, is_judged).await?;
        let clusters = self.named(&args.clusters)?;
        let world = self.session.world();
        let names: BTreeSet<_> = args.names.iter().map(|name| Text::new(name)).collect();
        let kept: Vec<_> = names.iter().filter_map(|name| world.shared().review(name)).collect();
        let version = |name: &Text| world.shared().review(name).map(|kept| kept.version.clone());
        let deciding = Deciding {
            reviews: names
                .iter()
                .map(|name| Shown { name: name.clone(), version: version(name).unwrap_or_default() })
                .collect(),
            verdict,
            reason: Text::new(&args.reason),
            ticket: args.ticket.as_deref().map(Text::new),
            expires: args.expires.map(|until| resolve(until, gate::time(world).unwrap_or(world.now()))),
            clusters: (!clusters.is_empty()).then(|| clusters.iter().map(|(_, uid)| uid.clone()).collect()),
        };
        let shown: String = kept
            .iter()
            .map(|kept| documents::show_text(world, &reviews::dossier(world, kept)) + "\n")
            .collect();
        let rows = kept.iter().map(|kept| reviews::row(world, kept)).collect();
        let command_name = match verdict {
            DecisionVerdict::Approved => "review approve",
            DecisionVerdict::Rejected => "review reject",
            DecisionVerdict::Revoked => "review revoke",
        };
        let command = Command::DecideReview(Box::new(deciding));
        self.write(command_name, &args.change, &shown, &command, (rows, Vec::new())).await
    }

    /// Clusters of the fleet by name, with their identity. One that is unknown ends the command.
    fn named(&mut self, names: &[String]) -> Result<Vec<(ClusterName, Text)>, Exit> {
        let world = self.session.world();
        let mut out = Vec::new();
        for name in names {
            let cluster = world.clusters().find(|cluster| cluster.name.as_str() == name);
            match cluster.map(|cluster| (cluster.name.clone(), cluster.uid.clone())) {
                Some((name, Some(uid))) => out.push((name, uid)),
                Some((name, None)) => {
                    self.printer
                        .say(&format!("The identity of cluster {name} is not known: it has not answered.\n"));
                    return Err(Exit::Failed);
                }
                None => {
                    let known: Vec<_> = world.clusters().map(|cluster| cluster.name.to_string()).collect();
                    let said = format!(
                        "There is no cluster {:?}; there are: {}\n",
                        Text::new(name),
                        known.join(", ")
                    );
                    self.printer.say(&said);
                    return Err(Exit::Usage);
                }
            }
        }
        Ok(out)
    }

    /// Shows, asks, writes, and says what came of it.
    async fn write(
        &mut self,
        name: &'static str,
        change: &Change,
        shown: &str,
        command: &Command,
        (reviews, grants): (Vec<ReviewRow>, Vec<Grant>),
    ) -> Result<Exit, Exit> {
        let mut report = Report {
            command: name,
            result: "",
            dry_run: change.dry_run,
            reviews,
            grants,
            written: Vec::new(),
            refusals: Vec::new(),
            troubles: Vec::new(),
        };
        if self.asker.is_person() || (change.dry_run && change.output == Format::Text) {
            self.printer.say(shown);
        }
        if let Err(refusal) = decide(self.session.world(), command) {
            return Ok(self.refused(change, report, refusal));
        }
        if change.dry_run {
            return Ok(self.told(change, report, Exit::Done));
        }
        let word = name.rsplit(' ').next().unwrap_or(name);
        if !self.asker.asks_for("yes", word, self.printer).await {
            self.printer.say("Not confirmed: nothing was written.\n");
            return Ok(Exit::Failed);
        }
        // The world went on while a person read: the same function decides again.
        let ids = match self.session.engine().share_by(command) {
            Ok(ids) => ids,
            Err(refusal) => return Ok(self.refused(change, report, refusal)),
        };
        let answered = |world: &World| ids.iter().all(|id| written(world, *id).is_some());
        self.session.until(change.deadline, answered).await;
        let world = self.session.world();
        let parts: Vec<_> = ids.iter().map(|id| written(world, *id)).collect();
        let of = |part: &Option<&crate::cockpit::shared::Written>| match part {
            Some(written) if written.result.is_ok() => Exit::Done,
            Some(_) | None => Exit::Failed,
        };
        let exit = Exit::all(parts.iter().map(of));
        let unsettled = Trouble::new(
            "the state cluster",
            "it did not answer in time, and the write may have landed",
            "Look with `sluice review list`.",
        );
        report.written = parts
            .iter()
            .map(|part| match part {
                Some(written) => (written.what.clone(), written.result.as_ref().err()),
                None => (Text::new(word), Some(&unsettled)),
            })
            .collect();
        report.result = exit.word();
        let text = printed(change, &report);
        self.printer.out(&text);
        Ok(exit)
    }

    fn refused(&mut self, change: &Change, mut report: Report<'_>, refusal: Refusal) -> Exit {
        // A name that nobody knows is a mistake on the command line only if nothing else is wrong.
        let unknown = |reason: &Reason| matches!(reason, Reason::Review(ReviewReason::Unknown(_)));
        let exit = if refusal.reasons.iter().all(unknown) { Exit::Usage } else { Exit::Refused };
        report.refusals.push(refusal);
        self.told(change, report, exit)
    }

    fn told(&mut self, change: &Change, mut report: Report<'_>, exit: Exit) -> Exit {
        report.result = exit.word();
        let text = printed(change, &report);
        self.printer.out(&text);
        exit
    }
}

fn printed(change: &Change, report: &Report<'_>) -> String {
    match change.output {
        Format::Text => documents::report_text(report),
        Format::Json => documents::report_json(report),
    }
}

fn written(world: &World, id: ShareId) -> Option<&crate::cockpit::shared::Written> {
    world.shared().wrote().iter().find(|written| written.id == id)
}

/// Every cluster said who it is, or is down.
fn are_met(world: &World) -> bool {
    world.clusters().all(|cluster| cluster.uid.is_some() || matches!(cluster.health, Health::Down(_)))
}

/// What is flagged is known, as far as the workspace tells.
fn is_judged(world: &World) -> bool {
    world.discoveries().rules().is_some() && world.files().flagged.is_some()
}

fn resolve(until: Until, now: Timestamp) -> Timestamp {
    match until {
        Until::At(at) => at,
        Until::In(span) => now + TimeDelta::from_std(span).unwrap_or(TimeDelta::zero()),
    }
}

/// RFC 3339, a date (its first moment in UTC), or how long from now.
pub(super) fn until(raw: &str) -> Result<Until, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(raw) {
        return Ok(Until::At(at.to_utc()));
    }
    if let Ok(day) = raw.parse::<NaiveDate>() {
        return Ok(Until::At(day.and_time(NaiveTime::MIN).and_utc()));
    }
    args::duration(raw).map(Until::In).map_err(|_| {
        "write a time such as 2026-03-02T09:15:00Z, a date such as 2026-03-02, or 90d for ninety days from now".to_owned()
    })
}

/// A name, a pattern, networks with commas between them, or `everything`.
pub(super) fn wanted(raw: &str) -> Result<Wanted, String> {
    if raw == "everything" {
        return Ok(Wanted::Everything);
    }
    let network = |raw: &str| -> Option<IpNet> {
        raw.parse().ok().or_else(|| raw.parse().ok().map(|address: std::net::IpAddr| address.into()))
    };
    if let Some(networks) = raw.split(',').map(network).collect::<Option<Vec<_>>>() {
        return Ok(Wanted::One(Opening::Networks(networks.iter().map(IpNet::trunc).collect())));
    }
    DnsName::parse(raw)
        .map(|name| Wanted::One(Opening::Name(name)))
        .ok_or_else(|| "write a name, a pattern, a network, or everything".to_owned())
}

/// `TCP/443`, `UDP/8000-8010`, `TCP` for all of its ports.
pub(super) fn span(raw: &str) -> Result<PortSpan, String> {
    const NEXT: &str = "write TCP/443, UDP/8000-8010, or TCP for all ports of it";
    let (protocol, ports) =
        raw.split_once('/').map_or((raw, None), |(protocol, ports)| (protocol, Some(ports)));
    let protocol = Protocol::parse(&protocol.to_ascii_uppercase())
        .filter(|protocol| *protocol != Protocol::Unknown)
        .ok_or(NEXT)?;
    let Some(ports) = ports else { return Ok(PortSpan::all_of(protocol)) };
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |raw: &str| raw.parse::<u16>().ok().filter(|number| *number > 0).ok_or(NEXT);
    let (from, to) = (number(from)?, number(to)?);
    if from <= to && protocol != Protocol::Icmp {
        Ok(PortSpan { protocol, from, to })
    } else {
        Err(NEXT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let span = |raw| span(raw).map(|span| span.to_string());
        for (raw, want) in
            [("tcp/443", "TCP/443"), ("UDP/8000-8010", "UDP/8000-8010"), ("sctp", "SCTP"), ("ICMP", "ICMP")]
        {
            assert_eq!(span(raw).as_deref(), Ok(want));
        }
        for raw in ["443", "TCP/", "TCP/0", "TCP/90-80", "TCP/70000", "ICMP/8", "GRE"] {
            assert!(span(raw).is_err(), "{raw}");
        }
        let networks = |raw: &[&str]| {
            Wanted::One(Opening::Networks(raw.iter().map(|raw| raw.parse().expect("a network")).collect()))
        };
        assert_eq!(wanted("10.0.0.7/8,192.0.2.1"), Ok(networks(&["10.0.0.0/8", "192.0.2.1/32"])));
        assert_eq!(wanted("everything"), Ok(Wanted::Everything));
        let name = DnsName::parse("*.example.com").expect("a name");
        assert_eq!(wanted("*.Example.com."), Ok(Wanted::One(Opening::Name(name))));
        assert!(wanted("a b").is_err() && wanted("").is_err());
        let now = DateTime::from_timestamp(1_772_409_600, 0).expect("valid");
        for (raw, want) in [("90d", "2026-05-31 00:00:00 UTC"), ("2026-04-01", "2026-04-01 00:00:00 UTC")] {
            assert_eq!(resolve(until(raw).expect("a time"), now).to_string(), want);
        }
        assert!(until("soon").is_err());
    }
}
