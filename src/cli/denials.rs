//! `sluice denials`: watches the flow sources for a while and prints the groups, or follows and
//! prints each denial as it comes. Gaps and losses are printed beside what was seen.

use std::{collections::BTreeMap, time::Duration};

use super::{
    args::{Denials, Format},
    exit::Exit,
    print::Printer,
    session::{Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        ports::{Gap, Link},
        rows,
        world::World,
    },
    documents::denials::{self, Wanted},
    domain::names::ClusterName,
};

/// How long the sources may take to begin.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long is watched where nobody says.
const WATCH: Duration = Duration::from_secs(10);

pub async fn run(session: &mut Session, args: &Denials, printer: &mut Printer<'_>) -> Exit {
    let wanted = Wanted { namespaces: args.namespaces.clone(), direction: args.direction };
    if args.follow {
        return follow(session, args, &wanted, printer).await;
    }
    let all_spoken = |world: &World| world.clusters().all(|cluster| wait::has_source_spoken(world, cluster));
    if session.until(PATIENCE, all_spoken).await != Waited::Interrupted {
        session.until(args.watch.unwrap_or(WATCH), |_| false).await;
    }
    let world = session.world();
    printer.out(&match args.output {
        Format::Text => denials::text(world, &wanted),
        Format::Json => denials::json_lines(world, &wanted),
    });
    exit(world)
}

/// Done if every source is live, failed if none is.
fn exit(world: &World) -> Exit {
    Exit::all(world.clusters().map(|cluster| {
        let is_live = world.source(&cluster.name).is_some_and(crate::cockpit::world::Source::is_live);
        if is_live { Exit::Done } else { Exit::Failed }
    }))
}

async fn follow(session: &mut Session, args: &Denials, wanted: &Wanted, printer: &mut Printer<'_>) -> Exit {
    let mut tail = Tail::default();
    let waited = session
        .each_turn(args.watch, |world| {
            let news = tail.news(world, wanted, args.output);
            if !news.is_empty() {
                printer.out(&news);
            }
            for said in tail.links(world) {
                printer.say(&said);
            }
            printer.is_closed()
        })
        .await;
    match waited {
        // It was asked to follow until then: a time that is up and a hand that stops are its end.
        Waited::Deadline | Waited::Interrupted | Waited::Reached => match exit(session.world()) {
            Exit::Failed => Exit::Failed,
            other if args.watch.is_some() => other,
            Exit::Done | Exit::Usage | Exit::Refused | Exit::Partial => Exit::Done,
        },
    }
}

/// What has been printed already.
#[derive(Default)]
struct Tail {
    /// Number of the newest denial that was printed or passed over.
    denial: u64,
    gaps: BTreeMap<ClusterName, Gap>,
    links: BTreeMap<ClusterName, &'static str>,
}

impl Tail {
    /// Lines for what came since the last time.
    fn news(&mut self, world: &World, wanted: &Wanted, format: Format) -> String {
        let mut out = String::new();
        let live = world.denials().live();
        let oldest = live.front().map_or(world.denials().total() + 1, |denial| denial.number);
        if let Some(missed @ 1..) = oldest.checked_sub(self.denial + 1) {
            out.push_str(&match format {
                Format::Json => denials::missed_json(missed),
                Format::Text => format!("MISSED  {missed} denials came too fast to be printed\n"),
            });
        }
        for denial in live.iter().filter(|denial| denial.number > self.denial) {
            if world.denials().group(denial.group).is_some_and(|group| wanted.takes(group)) {
                let line = match format {
                    Format::Json => denials::denial_json(world, denial),
                    Format::Text => denials::denial_text(world, denial),
                };
                out.extend(line);
            }
        }
        self.denial = world.denials().total();
        for cluster in world.clusters() {
            self.new_gaps(world, &cluster.name, format, &mut out);
        }
        out
    }

    fn new_gaps(&mut self, world: &World, name: &ClusterName, format: Format, out: &mut String) {
        let Some(source) = world.source(name) else { return };
        let last = self.gaps.get(name);
        let seen = source.gaps.iter().rposition(|gap| Some(gap) == last).map_or(0, |at| at + 1);
        for gap in source.gaps.iter().skip(seen) {
            out.push_str(&match format {
                Format::Json => denials::gap_json(name, gap),
                Format::Text => denials::gap_text(world, name, gap),
            });
        }
        if let Some(newest) = source.gaps.back() {
            self.gaps.insert(name.clone(), newest.clone());
        }
    }

    /// A line for each source whose link changed.
    fn links(&mut self, world: &World) -> Vec<String> {
        let mut out = Vec::new();
        for cluster in world.clusters() {
            let source = world.source(&cluster.name);
            let Some(state) = source.and_then(|source| source.state.as_ref()) else { continue };
            if state.link == Link::Connecting && !self.links.contains_key(&cluster.name) {
                continue;
            }
            let row = rows::source_row(source);
            if self.links.insert(cluster.name.clone(), row.link) != Some(row.link) {
                let line = crate::documents::wire::source_line(&row, world.now(), world.zone());
                out.push(format!("{}: {line}\n", cluster.name));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::tests::world;

    #[test]
    fn each_denial_and_gap_is_printed_once() {
        let (world, mut tail) = (world(), Tail::default());
        let first = tail.news(&world, &Wanted::default(), Format::Text);
        assert_eq!(first.lines().filter(|line| line.contains("hurting")).count(), 3, "{first}");
        assert_eq!(first.lines().filter(|line| line.starts_with("GAP")).count(), 1, "{first}");
        assert_eq!(tail.news(&world, &Wanted::default(), Format::Text), "");
    }

    #[test]
    fn what_came_too_fast_is_counted() {
        let world = world();
        let mut tail = Tail { denial: 0, ..Tail::default() };
        tail.denial = 1;
        let rest = tail.news(&world, &Wanted::default(), Format::Json);
        assert_eq!(rest.matches(r#""type":"denial""#).count(), 2, "{rest}");
        assert!(!rest.contains("missed"), "{rest}");
    }
}
