//! Records acts in the journal. What is about to be done is on disk before its end is known; the end
//! goes to the state cluster when that is there. Nothing here holds up what is recorded: a rollback
//! never waits.

use std::{collections::BTreeMap, path::PathBuf};

use self::{
    lines::Line,
    spool::{News, Spool},
};
use crate::{
    cockpit::{
        noticed::Noticed,
        orders::{ApplyOrder, OrderId, Outcome, Target},
        outbox::{DraftKey, Outbox, Step},
        ports::{Effect, Fact, OrderFact, Trouble},
        recording::{self, Draft},
        shared::{Share, ShareId, SharedFact},
        world::World,
    },
    domain::names::Text,
};

mod lines;
mod spool;

/// Where acts wait until the journal has them.
#[derive(Clone, Debug)]
pub struct Records {
    pub folder: PathBuf,
    /// Where acts were kept that were done without a sluice.yaml: those of clusters of this fleet, told by
    /// their UIDs, belong into its journal.
    pub strays: Option<PathBuf>,
}

pub(super) struct Recorder {
    spool: Option<Spool>,
    /// Acts done without a sluice.yaml, and those of which the cluster was not met yet.
    strays: Option<(Spool, Vec<Draft>)>,
    outbox: Outbox,
    /// Begun and not ended.
    open: BTreeMap<OrderId, (DraftKey, Draft)>,
    /// Rows that were sent together: each with how it ended, once it has.
    waves: Vec<Vec<(OrderId, Target, Option<Text>)>>,
    /// Writes of the team's state that are acts, until they are answered.
    shares: BTreeMap<ShareId, Draft>,
    /// Incidents, which nobody ordered.
    noticed: Noticed,
    next: u64,
    told: usize,
    /// Where acts wait on the disk; taken once it was said.
    unsaid: Option<PathBuf>,
}

/// What follows from what was absorbed.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) facts: Vec<Fact>,
    pub(super) shares: Vec<(ShareId, Share)>,
}

impl Recorder {
    /// Without a folder acts wait in memory.
    pub(super) fn new(records: Option<Records>) -> Self {
        let (folder, strays) = records.map(|records| (records.folder, records.strays)).unzip();
        let strays = strays.flatten().filter(|strays| Some(strays) != folder.as_ref());
        Self {
            strays: strays.map(|strays| (Spool::open(strays), Vec::new())),
            unsaid: folder.clone(),
            spool: folder.map(Spool::open),
            outbox: Outbox::default(),
            open: BTreeMap::new(),
            waves: Vec::new(),
            shares: BTreeMap::new(),
            noticed: Noticed::default(),
            next: 0,
            told: 0,
        }
    }

    /// An effect that is about to be performed.
    pub(super) fn begin(&mut self, world: &World, effect: &Effect) {
        if let Some((id, draft)) = recording::begun(world, effect) {
            let key = self.key();
            self.append(&Line::Begun { key: key.0, draft: (&draft).into() });
            self.open.insert(id, (key, draft));
            if let Effect::Apply(order) = effect {
                self.in_wave(order);
            }
        } else if let Some(draft) = recording::at_once(world, effect) {
            self.record(draft);
        } else if let Effect::Share(id, share) = effect
            && let Some(draft) = recording::shared(world, share)
        {
            self.shares.insert(*id, draft);
        }
    }

    fn in_wave(&mut self, order: &ApplyOrder) {
        let row = (order.id, order.preview.target.clone(), None);
        let wave = order.after.and_then(|after| {
            self.waves.iter_mut().find(|wave| wave.last().is_some_and(|(id, ..)| *id == after))
        });
        match wave {
            Some(wave) => wave.push(row),
            None => self.waves.push(vec![row]),
        }
    }

    /// The last row of a wave to end ends the wave.
    fn ended_in_wave(&mut self, world: &World, id: OrderId, outcome: &Outcome) {
        let Some(at) = self.waves.iter().position(|wave| wave.iter().any(|(row, ..)| *row == id)) else {
            return;
        };
        for (row, _, how) in &mut self.waves[at] {
            if *row == id {
                *how = Some(recording::outcome_words(outcome));
            }
        }
        if self.waves[at].iter().any(|(.., how)| how.is_none()) {
            return;
        }
        let rows: Vec<_> = self
            .waves
            .swap_remove(at)
            .into_iter()
            .filter_map(|(_, target, how)| Some((target, how?)))
            .collect();
        if rows.len() > 1 {
            self.record(recording::advance(world, &rows));
        }
    }

    /// An act that is over.
    pub(super) fn record(&mut self, draft: Draft) {
        let key = self.key();
        self.append(&Line::Begun { key: key.0, draft: (&draft).into() });
        self.append(&Line::Ended { key: key.0, at: lines::time(draft.stamp.at), facts: Vec::new() });
        self.outbox.add(key, draft);
    }

    /// A fact that is about to be absorbed.
    pub(super) fn note(&mut self, world: &World, fact: &Fact) {
        match fact {
            Fact::Order(id, OrderFact::Wrote(receipt)) => {
                let Some((key, draft)) = self.open.get_mut(id) else { return };
                let (key, facts) = (*key, recording::called(receipt));
                draft.say(facts.iter().cloned());
                self.append(&Line::Facts { key: key.0, facts: lines::words(&facts) });
            }
            Fact::Order(id, OrderFact::Ended(outcome)) => {
                let Some((key, mut draft)) = self.open.remove(id) else { return };
                let Some(order) = world.orders().get(*id) else { return };
                let facts = recording::ended(&order.target, outcome);
                draft.say(facts.iter().cloned());
                draft.stamp.at = world.now();
                let at = lines::time(world.now());
                self.append(&Line::Ended { key: key.0, at, facts: lines::words(&facts) });
                self.outbox.add(key, draft);
                self.ended_in_wave(world, *id, outcome);
            }
            Fact::Shared(SharedFact::Wrote { id, result, .. }) => {
                if let (Some(draft), Ok(())) = (self.shares.remove(id), result) {
                    self.record(draft);
                }
            }
            // All else is no act.
            _ => {}
        }
    }

    /// Sends what can be sent now.
    pub(super) fn follow(&mut self, world: &World) -> Orders {
        let mut out = Orders::default();
        self.take_news(&mut out.facts);
        self.take_strays(world);
        self.noticed.due(world).into_iter().for_each(|draft| self.record(draft));
        let user: Text = recording::state_user(world);
        for step in self.outbox.follow(world.shared(), &user, world.now()) {
            match step {
                Step::Send(id, entry) => out.shares.push((id, Share::Journal(entry))),
                Step::Recorded(key) => self.append(&Line::Recorded { key: key.0 }),
            }
        }
        if self.outbox.waiting() > 0
            && world.plan().settings.state.is_none()
            && let Some(folder) = self.unsaid.take()
        {
            out.facts.push(Fact::Notice(kept_here(&folder)));
        }
        if self.told != self.outbox.waiting() {
            self.told = self.outbox.waiting();
            out.facts.push(Fact::Shared(SharedFact::Waiting(self.told)));
        }
        out
    }

    fn take_news(&mut self, facts: &mut Vec<Fact>) {
        let news: Vec<_> = self.spool.iter().flat_map(Spool::news).collect();
        for news in news {
            match news {
                News::Trouble(trouble) => facts.push(Fact::Notice(trouble)),
                News::Found(drafts) => {
                    drafts.into_iter().for_each(|draft| self.record(draft));
                    self.spool.iter().for_each(Spool::forget_found);
                }
            }
        }
    }

    /// They lie where they are until each has found its fleet; one that is found twice is known by the
    /// journal.
    fn take_strays(&mut self, world: &World) {
        let Some((spool, waiting)) = self.strays.as_mut().filter(|_| world.plan().settings.state.is_some())
        else {
            return;
        };
        for news in spool.news().collect::<Vec<_>>() {
            match news {
                News::Found(drafts) => waiting.extend(drafts),
                News::Trouble(trouble) => tracing::warn!(%trouble, "acts of before cannot be read"),
            }
        }
        let known: Vec<&Text> = world.clusters().filter_map(|cluster| cluster.uid.as_ref()).collect();
        let is_ours =
            |draft: &Draft| draft.uid().is_some_and(|uid| known.iter().any(|one| one.as_str() == uid));
        let (ours, rest): (Vec<_>, Vec<_>) = std::mem::take(waiting).into_iter().partition(is_ours);
        if !ours.is_empty() && rest.is_empty() {
            spool.forget_found();
        }
        *waiting = rest;
        ours.into_iter().for_each(|draft| self.record(draft));
    }

    fn key(&mut self) -> DraftKey {
        self.next += 1;
        DraftKey(self.next)
    }

    fn append(&self, line: &Line) {
        self.spool.iter().for_each(|spool| spool.append(line));
    }
}

/// Nobody else sees what is done here.
fn kept_here(folder: &std::path::Path) -> Trouble {
    let fact = format!("no state cluster is named, so acts are kept in {}", folder.display());
    Trouble::new(
        "journal",
        &fact,
        "Work from a folder with a sluice.yaml that has `state:`, or keep the files with your own records.",
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use chrono::{TimeDelta, TimeZone as _, Utc};

    use super::*;
    use crate::{
        cockpit::{
            orders::{Answer, OrderKind, Origin, Preview, Receipt, RollbackOrder},
            plan::{ClusterEntry, FleetFile},
            ports::{Change, ClusterFact, Link},
            settings::{Settings, StatePlace},
        },
        domain::{
            fleet::{Environment, Isolation},
            flow::Direction,
            journal::Entry,
            names::{ClusterName, NsName},
            policy::{Pinned, PolicyDigest},
            rollout::Kept,
            time::Timestamp,
            valve::Step as Call,
        },
    };

    fn at(secs: i64) -> Timestamp {
        Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 30).single().expect("a time") + TimeDelta::seconds(secs)
    }

    fn target() -> Target {
        Target {
            cluster: ClusterName::parse("east").expect("valid"),
            ns: NsName::parse("shop").expect("valid"),
            direction: Direction::Egress,
        }
    }

    fn apply(id: u64) -> Effect {
        let preview = Preview {
            target: target(),
            origin: Origin::Workspace,
            digest: PolicyDigest::of([]),
            set: Default::default(),
            manifests: Default::default(),
            live: Default::default(),
            steps: Vec::new(),
            before: Isolation::default(),
            after: Isolation::default(),
            diff: Vec::new(),
            commands: Vec::new(),
            warnings: Vec::new(),
            refusals: Vec::new(),
            prediction: Err(Text::new("because nobody looked at the cluster")),
            untold: None,
        };
        Effect::Apply(ApplyOrder { id: OrderId(id), preview: Box::new(preview), after: None })
    }

    /// One cluster, and nowhere a state.
    fn fleet() -> FleetFile {
        let entry = ClusterEntry {
            name: target().cluster,
            context: Text::new("east"),
            environment: Environment::Staging,
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        FleetFile { clusters: vec![entry], ..FleetFile::default() }
    }

    /// An engine's recorder and world, without the engine.
    struct Sluice {
        world: World,
        recorder: Recorder,
        sent: Vec<Entry>,
    }

    impl Sluice {
        fn start(folder: &Path) -> Self {
            Self::with(Records { folder: folder.to_owned(), strays: None })
        }

        fn with(records: Records) -> Self {
            let recorder = Recorder::new(Some(records));
            let mut world = World::new(at(0));
            world.absorb(Fact::Fleet(fleet()));
            Self { world, recorder, sent: Vec::new() }
        }

        fn fact(&mut self, fact: Fact) {
            self.recorder.note(&self.world, &fact);
            self.world.absorb(fact);
            self.follow();
        }

        fn follow(&mut self) {
            let orders = self.recorder.follow(&self.world);
            orders.facts.into_iter().for_each(|fact| self.world.absorb(fact));
            for (_, share) in orders.shares {
                let Share::Journal(entry) = share else { panic!("no journal entry: {share:?}") };
                self.sent.push(*entry);
            }
        }

        fn met(&mut self, uid: &str) {
            let (uid, version) = (Some(Text::new(uid)), Text::new("v1.33.2"));
            let met = ClusterFact::Met { uid, version, kinds: Vec::new() };
            self.fact(Fact::Cluster(target().cluster, met));
        }

        /// A fleet of one cluster, which keeps the team's state too.
        fn has_state(&mut self) {
            let cluster = target().cluster;
            let place = StatePlace { cluster, ns: NsName::parse("sluice").expect("valid") };
            let settings = Settings { state: Some(place), ..Settings::default() };
            self.fact(Fact::Fleet(FleetFile { settings, ..fleet() }));
        }

        /// Waits until what lies there is read.
        fn strays_are_read(&mut self) {
            let (spool, _) = self.recorder.strays.as_ref().expect("a folder");
            spool.flushed();
            self.follow();
        }

        fn begin(&mut self, id: u64, kind: OrderKind, effect: &Effect) {
            self.fact(Fact::Order(OrderId(id), OrderFact::Started { kind, target: target() }));
            self.recorder.begin(&self.world, effect);
        }

        fn wrote(&mut self, id: u64) {
            let receipt = Receipt {
                order: OrderId(id),
                target: target(),
                step: Call::Open(Pinned::valve(Direction::Egress)),
                command: "kubectl --context east apply -f -".to_owned(),
                result: Answer::Done { version: Some("8".into()) },
            };
            self.fact(Fact::Order(OrderId(id), OrderFact::Wrote(receipt)));
        }

        fn end(&mut self, id: u64) {
            let outcome = Outcome::Done { isolation: Isolation::default() };
            self.fact(Fact::Order(OrderId(id), OrderFact::Ended(outcome)));
        }

        /// The state cluster is there, and its journal shows what was sent.
        fn state_is_back(&mut self) {
            self.fact(Fact::Shared(SharedFact::Link(Link::Live)));
            while let Some(entry) = self.sent.pop() {
                let kept = Kept {
                    name: Text::from(format!("entry-{:09}", entry.number)),
                    version: Text::new("1"),
                    created: at(1),
                    value: entry,
                };
                self.fact(Fact::Shared(SharedFact::Journal(Change::Put(kept))));
            }
        }

        /// What an earlier process left behind; waits until it is read.
        fn found(&mut self) -> Vec<String> {
            let News::Found(drafts) = self.recorder.spool.as_ref().expect("one").next_news() else {
                panic!("a trouble")
            };
            let words =
                |draft: &Draft| format!("{} {}", draft.act.as_str(), lines::words(&draft.facts).join("; "));
            let words = drafts.iter().map(words).collect();
            drafts.into_iter().for_each(|draft| self.recorder.record(draft));
            self.recorder.spool.iter().for_each(Spool::forget_found);
            words
        }
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn an_apply_that_a_kill_cut_off_is_recorded_by_the_next_sluice() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Sluice::start(folder.path());
        first.begin(7, OrderKind::Apply, &apply(7));
        first.wrote(7);
        drop(first);
        let mut second = Sluice::start(folder.path());
        let digest = PolicyDigest::of([]);
        assert_eq!(
            second.found(),
            [format!(
                "apply user: unknown on east; begun: 2026-11-23T12:00:30.000Z; digest: {digest}; command: kubectl --context east apply -f -; \
                 answer: done, version 8; outcome: not known: sluice stopped before it ended"
            )]
        );
        second.follow();
        assert_eq!(second.world.shared().waiting(), 1);
        second.state_is_back();
        assert_eq!(second.world.shared().waiting(), 0);
        drop(second);
        // The file of the first is gone, that of the second has nothing left and goes with the next.
        assert_eq!(files(folder.path()), 1);
        drop(Sluice::start(folder.path()));
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn while_the_state_cluster_is_away_acts_wait_and_then_keep_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sluice = Sluice::start(folder.path());
        sluice.begin(1, OrderKind::Apply, &apply(1));
        let rollback = RollbackOrder { id: OrderId(2), target: target(), aborts: Some(OrderId(1)) };
        sluice.begin(2, OrderKind::Rollback, &Effect::Rollback(rollback));
        sluice.end(1);
        sluice.wrote(2);
        sluice.end(2);
        assert_eq!((sluice.sent.len(), sluice.world.shared().waiting()), (0, 2));
        sluice.state_is_back();
        let journal: Vec<_> = sluice.world.shared().journal().map(|kept| &kept.value).collect();
        let acts: Vec<_> = journal.iter().map(|entry| (entry.number, entry.act.as_str())).collect();
        assert_eq!(acts, [(1, "apply"), (2, "rollback")]);
        assert!(crate::domain::journal::verify(journal).is_ok());
    }

    /// Rows sent together are an advance too, told once all have ended.
    #[test]
    fn a_wave_is_recorded_with_how_each_row_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sluice = Sluice::start(folder.path());
        for id in 1..=3 {
            let Effect::Apply(mut order) = apply(id) else { panic!("an apply") };
            order.after = (id > 1).then(|| OrderId(id - 1));
            sluice.begin(id, OrderKind::Apply, &Effect::Apply(order));
        }
        sluice.end(1);
        let trouble = crate::cockpit::ports::Trouble::new("x", "HTTP 403", "Ask.");
        let stopped = Outcome::Stopped { trouble, isolation: None };
        sluice.fact(Fact::Order(OrderId(2), OrderFact::Ended(stopped)));
        sluice.fact(Fact::Order(OrderId(3), OrderFact::Ended(Outcome::Aborted { isolation: None })));
        sluice.state_is_back();
        let entries: Vec<_> = sluice.world.shared().journal().map(|kept| &kept.value).collect();
        let acts: Vec<_> = entries.iter().map(|entry| entry.act.as_str()).collect();
        assert_eq!(acts, ["apply", "apply", "apply", "advance"]);
        assert_eq!(entries[3].object.as_str(), "1 of 3 rows");
        assert_eq!(
            lines::words(&entries[3].facts),
            [
                "east/shop egress: done",
                "east/shop egress: stopped: x: HTTP 403. Ask.",
                "east/shop egress: aborted"
            ]
        );
    }

    /// Two processes of one person: the file of one that lives is left alone.
    #[test]
    fn a_living_process_keeps_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = Sluice::start(folder.path());
        first.begin(1, OrderKind::Apply, &apply(1));
        first.recorder.spool.as_ref().expect("one").flushed();
        let mut second = Sluice::start(folder.path());
        second.begin(1, OrderKind::Apply, &apply(1));
        drop(second);
        assert_eq!(files(folder.path()), 2);
        drop(first);
        assert_eq!(Sluice::start(folder.path()).found().len(), 2);
    }

    /// What was done without a sluice.yaml comes into the journal of the fleet that its cluster is of, and
    /// what was done to another fleet's clusters does not.
    #[test]
    fn acts_without_a_workspace_find_the_journal_of_their_fleet() {
        let (alone, home) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mut first = Sluice::start(alone.path());
        first.met("uid-of-east");
        first.begin(7, OrderKind::Apply, &apply(7));
        first.wrote(7);
        first.end(7);
        drop(first);
        let records = || Records { folder: home.path().to_owned(), strays: Some(alone.path().to_owned()) };
        let mut other = Sluice::with(records());
        other.has_state();
        other.met("uid-of-another");
        other.strays_are_read();
        assert_eq!((other.world.shared().waiting(), files(alone.path())), (0, 1));
        drop(other);
        let mut second = Sluice::with(records());
        second.has_state();
        second.met("uid-of-east");
        second.strays_are_read();
        assert_eq!(second.world.shared().waiting(), 1);
        second.state_is_back();
        assert_eq!(second.world.shared().waiting(), 0);
        let journal: Vec<_> = second.world.shared().journal().map(|kept| &kept.value).collect();
        let said: Vec<_> = journal.iter().map(|entry| (entry.act.as_str(), entry.object.as_str())).collect();
        assert_eq!(said, [("apply", "east/shop egress")]);
        drop(second);
        assert_eq!(files(alone.path()), 0);
    }

    /// A disk that does not take anything costs a notice, never an act.
    #[test]
    fn a_folder_that_cannot_be_written_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let mut sluice = Sluice::start(&file);
        sluice.begin(1, OrderKind::Apply, &apply(1));
        sluice.end(1);
        sluice.recorder.spool.as_ref().expect("one").flushed();
        sluice.follow();
        let mut facts = sluice.world.notices().iter().map(|notice| notice.trouble.fact.as_str());
        assert!(facts.any(|fact| fact.starts_with("acts cannot be kept there")));
        sluice.state_is_back();
        assert_eq!(sluice.world.shared().journal().count(), 1);
    }
}
