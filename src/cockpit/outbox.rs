//! Drafts of the journal on their way to the state cluster: one entry under way at a time, chained
//! onto the newest one seen. Two writers of entry N: the loser chains onto the winner's. What the
//! watch shows is written; an answer alone ends only the waiting. Pure; where drafts wait on disk is
//! the engine's.

use std::collections::VecDeque;

use chrono::TimeDelta;

use crate::domain::{
    journal::{Chain, Entry},
    names::Text,
    rollout::Stamp,
    time::Timestamp,
};

use super::{
    recording::Draft,
    shared::{ShareId, Shared},
};

/// A draft's key where it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftKey(pub u64);

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(ShareId, Box<Entry>),
    /// The journal has it: it need not wait any more.
    Recorded(DraftKey),
}

#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Oldest first.
    waiting: VecDeque<(DraftKey, Draft)>,
    sent: Option<Sent>,
    /// Not again before this, unless the journal moved on.
    not_before: Option<Timestamp>,
    /// Refusals in a row.
    refused: u32,
    /// The newest entry that was looked at.
    seen: Option<Chain>,
    sends: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    id: ShareId,
    at: Timestamp,
}

impl Outbox {
    /// Without an answer for so long, it is sent again.
    const PATIENCE: TimeDelta = TimeDelta::seconds(60);
    /// Pause after a refusal; doubles up to [`Self::LONGEST`].
    const PAUSE: TimeDelta = TimeDelta::seconds(10);
    const LONGEST: TimeDelta = TimeDelta::minutes(10);

    pub fn add(&mut self, key: DraftKey, draft: Draft) {
        self.waiting.push_back((key, draft));
        // It may be in the journal already.
        self.seen = None;
    }

    /// Drafts that the journal does not have yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is to be done now. `user` is who we are in the state cluster.
    pub fn follow(&mut self, shared: &Shared, user: &Text, now: Timestamp) -> Vec<Step> {
        if self.waiting.is_empty() || !shared.is_live() {
            return Vec::new();
        }
        let head = newest(shared);
        let mut steps = Vec::new();
        if self.seen.as_ref() != Some(&head) {
            self.seen = Some(head.clone());
            self.take_recorded(shared, &mut steps);
            self.not_before = None;
        }
        self.take_answer(shared, now);
        let may_send = self.sent.is_none() && self.not_before.is_none_or(|at| now >= at);
        if let (true, Some((_, draft))) = (may_send, self.waiting.front()) {
            self.sends += 1;
            // From the other end than the ids of what people order.
            let id = ShareId(u64::MAX - self.sends);
            steps.push(Step::Send(id, Box::new(chained(draft, &head, user))));
            self.sent = Some(Sent { id, at: now });
        }
        steps
    }

    fn take_recorded(&mut self, shared: &Shared, steps: &mut Vec<Step>) {
        let front = self.waiting.front().map(|(key, _)| *key);
        self.waiting.retain(|(key, draft)| {
            let is_there = shared.journal().rev().any(|kept| draft.is(&kept.value));
            if is_there {
                steps.push(Step::Recorded(*key));
            }
            !is_there
        });
        // Whether it was taken, or somebody else's is there in its place: what is next is chained anew.
        let is_first = self.waiting.front().map(|(key, _)| *key) == front;
        if !is_first || self.sent.is_some() {
            self.sent = None;
            self.refused = 0;
        }
    }

    fn take_answer(&mut self, shared: &Shared, now: Timestamp) {
        let Some(sent) = &self.sent else { return };
        let answer = shared.wrote().iter().rev().find(|wrote| wrote.id == sent.id);
        let is_refused = answer.is_some_and(|wrote| wrote.result.is_err());
        if is_refused || now - sent.at > Self::PATIENCE {
            let pause = (Self::PAUSE * 2_i32.saturating_pow(self.refused.min(10))).min(Self::LONGEST);
            self.refused += 1;
            self.sent = None;
            self.not_before = Some(now + pause);
        }
    }
}

/// The place after the newest entry seen.
fn newest(shared: &Shared) -> Chain {
    let newest = shared.journal().max_by_key(|kept| kept.value.number);
    newest.map_or_else(Chain::default, |kept| Chain::after(&kept.value))
}

fn chained(draft: &Draft, place: &Chain, user: &Text) -> Entry {
    // The state cluster's admission compares the author with who asks; who did it there is a fact.
    Entry {
        number: place.number,
        previous: place.previous,
        stamp: Stamp { by: user.clone(), at: draft.stamp.at },
        act: draft.act,
        object: draft.object.clone(),
        facts: draft.facts.clone(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;
    use crate::{
        cockpit::{
            ports::{Change, Link, Trouble},
            shared::SharedFact,
        },
        domain::{
            journal::{Act, Hash, verify},
            rollout::Kept,
        },
    };

    fn at(secs: i64) -> Timestamp {
        Utc.timestamp_opt(1_795_435_230 + secs, 0).single().expect("a time")
    }

    fn draft(object: &str) -> Draft {
        Draft {
            stamp: Stamp { by: Text::new("lead on east"), at: at(0) },
            act: Act::Apply,
            object: Text::new(object),
            facts: vec![Text::new("outcome: done")],
        }
    }

    /// The state cluster as both cockpits see it: takes entries by name, once.
    #[derive(Default)]
    struct State {
        journal: Vec<Entry>,
    }

    impl State {
        /// As an API server takes it: 409 where an object of that name is there.
        fn create(&mut self, entry: Entry) -> Result<(), Trouble> {
            if self.journal.iter().any(|other| other.number == entry.number) {
                return Err(Trouble::new("journal", "HTTP 409: it is there already", "Chain anew."));
            }
            self.journal.push(entry);
            Ok(())
        }
    }

    struct Cockpit {
        outbox: Outbox,
        shared: Shared,
        recorded: Vec<u64>,
        /// Answers get lost on their way.
        deaf: bool,
    }

    impl Cockpit {
        fn new(objects: &[&str]) -> Self {
            let mut outbox = Outbox::default();
            for (n, object) in objects.iter().enumerate() {
                outbox.add(DraftKey(n as u64), draft(object));
            }
            let mut shared = Shared::default();
            shared.absorb(SharedFact::Link(Link::Live), at(0));
            Self { outbox, shared, recorded: Vec::new(), deaf: false }
        }

        fn decide(&mut self, secs: i64) -> Option<(ShareId, Entry)> {
            let mut sent = None;
            for step in self.outbox.follow(&self.shared, &Text::new("lead@state"), at(secs)) {
                match step {
                    Step::Send(id, entry) => sent = Some((id, *entry)),
                    Step::Recorded(key) => self.recorded.push(key.0),
                }
            }
            sent
        }

        fn answer(&mut self, state: &mut State, (id, entry): (ShareId, Entry), secs: i64) {
            let result = state.create(entry);
            if !self.deaf {
                let wrote = SharedFact::Wrote { id, what: Text::new("journal"), result };
                self.shared.absorb(wrote, at(secs));
            }
        }

        fn watch(&mut self, state: &State, secs: i64) {
            let kept = state.journal.iter().map(|entry| Kept {
                name: Text::from(format!("entry-{:09}", entry.number)),
                version: Text::new("1"),
                created: at(secs),
                value: entry.clone(),
            });
            self.shared.absorb(SharedFact::Journal(Change::Reset(kept.collect())), at(secs));
        }
    }

    #[test]
    fn two_writers_of_one_entry_both_get_in_and_the_chain_holds() {
        let mut state = State::default();
        let mut pair = [Cockpit::new(&["a1", "a2"]), Cockpit::new(&["b1", "b2"])];
        for secs in 0..8 {
            // Both decide on what both see, then both write.
            let sent: Vec<_> = pair.iter_mut().map(|cockpit| cockpit.decide(secs)).collect();
            for (cockpit, sent) in pair.iter_mut().zip(sent) {
                if let Some(sent) = sent {
                    cockpit.answer(&mut state, sent, secs);
                }
            }
            for cockpit in &mut pair {
                cockpit.watch(&state, secs);
            }
        }
        pair.iter_mut().for_each(|cockpit| assert_eq!(cockpit.decide(9), None));
        assert!(verify(&state.journal).is_ok());
        let mut objects: Vec<_> = state.journal.iter().map(|entry| entry.object.to_string()).collect();
        objects.sort();
        assert_eq!(objects, ["a1", "a2", "b1", "b2"]);
        assert_eq!(pair[0].recorded, [0, 1]);
        assert_eq!(pair[1].recorded, [0, 1]);
        assert!(state.journal.iter().all(|entry| entry.stamp.by.as_str() == "lead@state"));
    }

    #[test]
    fn an_answer_that_got_lost_does_not_write_it_twice() {
        let (mut state, mut cockpit) = (State::default(), Cockpit::new(&["a"]));
        cockpit.deaf = true;
        let sent = cockpit.decide(0).expect("sent at once");
        cockpit.answer(&mut state, sent, 0);
        assert_eq!(cockpit.decide(30), None, "it is under way");
        // The watch is late: it is sent again, and refused by its name.
        let again = (61..200).find_map(|secs| cockpit.decide(secs)).expect("sent again");
        cockpit.answer(&mut state, again, 80);
        cockpit.watch(&state, 90);
        assert_eq!(cockpit.decide(90), None);
        assert_eq!(
            (state.journal.len(), cockpit.recorded.as_slice(), cockpit.outbox.waiting()),
            (1, &[0][..], 0)
        );
    }

    /// A sluice that was killed after the entry landed finds it there.
    #[test]
    fn what_the_journal_has_already_is_not_sent() {
        let (mut state, mut cockpit) = (State::default(), Cockpit::new(&["a", "b"]));
        state.create(chained(&draft("a"), &Chain::default(), &Text::new("lead"))).expect("empty");
        cockpit.watch(&state, 0);
        let (_, entry) = cockpit.decide(0).expect("b is sent");
        assert_eq!((entry.object.as_str(), entry.number, cockpit.recorded.as_slice()), ("b", 2, &[0][..]));
    }

    #[test]
    fn while_the_state_cluster_is_away_nothing_is_sent_and_nothing_is_lost() {
        let mut cockpit = Cockpit::new(&["a"]);
        let away = Trouble::new("state", "connection refused", "Check it.");
        cockpit.shared.absorb(SharedFact::Link(Link::Broken(away)), at(0));
        assert_eq!((cockpit.decide(3_600), cockpit.outbox.waiting()), (None, 1));
        cockpit.shared.absorb(SharedFact::Link(Link::Live), at(3_700));
        let (_, entry) = cockpit.decide(3_700).expect("sent when it is back");
        assert_eq!((entry.number, entry.previous, entry.stamp.at), (1, Hash::NOTHING, at(0)));
    }

    #[test]
    fn refusals_are_not_repeated_at_once() {
        let (mut state, mut cockpit) = (State::default(), Cockpit::new(&["a"]));
        // Somebody's entry is there and the watch does not show it.
        state.create(chained(&draft("z"), &Chain::default(), &Text::new("lead"))).expect("empty");
        let mut tries = Vec::new();
        for secs in 0..400 {
            if let Some(sent) = cockpit.decide(secs) {
                tries.push(secs);
                cockpit.answer(&mut state, sent, secs);
            }
        }
        // Each try is answered in the second after it; pauses of 10, 20, 40, 80 and 160 s.
        assert_eq!(tries, [0, 11, 32, 73, 154, 315]);
    }
}
