//! `sluice watch`: observes all clusters without a screen, for weeks: holds their Leases, writes their
//! evidence, and prints what changes, one line each. Ends well when it is asked to, with a last write.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    args::{Format, Watch},
    exit::Exit,
    observe,
    print::Printer,
    session::{self, Session},
};
use crate::{
    cockpit::{ports::Link, world::World},
    documents::wire::time,
    domain::fleet::Health,
    k8s::lease::Role,
};

/// The last write and giving back the Leases may take this long.
const LEAVING: Duration = Duration::from_secs(10);

pub async fn run(session: &mut Session, args: &Watch, printer: &mut Printer<'_>) -> Exit {
    run_until(session, args, printer, session::interrupted()).await
}

/// The same until it is asked to end, by whatever means.
pub async fn run_until(
    session: &mut Session,
    args: &Watch,
    printer: &mut Printer<'_>,
    asked: impl Future<Output = ()>,
) -> Exit {
    let engine = session.engine();
    engine.observe(observe::claims(Role::Watch), observe::SOAKS);
    let mut teller = Teller { output: args.output, known: BTreeMap::new(), notices: 0 };
    let mut asked = std::pin::pin!(asked);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut asked => break,
            () = engine.turn() => {}
            _ = second.tick() => engine.tick(),
        }
        teller.tell(engine.world(), printer);
    }
    let until = Instant::now() + LEAVING;
    while engine.leave() {
        if tokio::time::timeout_at(until, engine.turn()).await.is_err() {
            printer.say("The last evidence may not have been written: what it held is a gap.\n");
            return Exit::Partial;
        }
        teller.tell(engine.world(), printer);
    }
    printer.say("Everything is written.\n");
    Exit::Done
}

/// Prints what changed since it looked last.
struct Teller {
    output: Format,
    known: BTreeMap<(&'static str, String), String>,
    notices: usize,
}

#[derive(Serialize)]
struct Event<'e> {
    at: String,
    event: &'static str,
    object: &'e str,
    said: &'e str,
}

impl Teller {
    fn tell(&mut self, world: &World, printer: &mut Printer<'_>) {
        let now = facts(world);
        let mut lines = Vec::new();
        for (key, said) in &now {
            if self.known.get(key) != Some(said) {
                lines.push((key.0, key.1.clone(), said.clone()));
            }
        }
        for key in self.known.keys().filter(|key| !now.contains_key(key)) {
            lines.push((key.0, key.1.clone(), "nothing".to_owned()));
        }
        let notices = world.notices();
        // Notices are few and only the newest are kept: what is new stands at the end.
        let new = notices.len().saturating_sub(self.notices);
        for notice in notices.iter().rev().take(new).rev() {
            let trouble = &notice.trouble;
            lines.push(("notice", trouble.object.to_string(), format!("{}. {}", trouble.fact, trouble.next)));
        }
        self.notices = notices.len();
        self.known = now;
        for (event, object, said) in lines {
            printer.out(&self.line(&time(world.now()), event, &object, &said));
        }
    }

    fn line(&self, at: &str, event: &'static str, object: &str, said: &str) -> String {
        match self.output {
            Format::Text => format!("{at} {event:<9} {object}: {said}\n"),
            Format::Json => {
                let event = Event { at: at.to_owned(), event, object, said };
                serde_json::to_string(&event).unwrap_or_default() + "\n"
            }
        }
    }
}

/// What is so now, each in a word or a sentence that changes only when something did.
fn facts(world: &World) -> BTreeMap<(&'static str, String), String> {
    let mut out = BTreeMap::new();
    let shared = world.shared();
    out.insert(("state", "state cluster".to_owned()), link(shared.link()));
    for cluster in world.clusters() {
        let name = cluster.name.to_string();
        let health = match &cluster.health {
            Health::Down(why) | Health::Degraded(why) => format!("{}: {why}", cluster.health.word()),
            Health::Up | Health::Connecting => cluster.health.word().to_owned(),
        };
        out.insert(("cluster", name.clone()), health);
        if let Some(state) = world.source(&cluster.name).and_then(|source| source.state.as_ref()) {
            out.insert(("source", name.clone()), format!("{}: {}", state.name, link(Some(&state.link))));
        }
        if let Some(observer) = shared.observer(&cluster.name) {
            let us = if observer.is_us { " (this process)" } else { "" };
            out.insert(("observer", name), format!("{}{us}", observer.holder));
        }
    }
    for kept in shared.all_evidence() {
        let until = time(kept.value.until);
        out.insert(
            ("evidence", kept.value.target.to_string()),
            format!("up to {until}, by {}", kept.value.observer),
        );
    }
    if let Some(written) = shared.wrote().last()
        && let Err(trouble) = &written.result
    {
        out.insert(("write", written.what.to_string()), trouble.to_string());
    }
    out
}

fn link(link: Option<&Link>) -> String {
    match link {
        None => "none is named in sluice.yaml".to_owned(),
        Some(Link::None(why)) => why.to_string(),
        Some(Link::Connecting) => "connecting".to_owned(),
        Some(Link::Live) => "live".to_owned(),
        Some(Link::Broken(trouble)) => trouble.to_string(),
    }
}

#[cfg(test)]
mod assets;
