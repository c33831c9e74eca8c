//! The DNS servers that send dnstap, by the identity in their frames: who comes, who comes back, and
//! what was missed in between. Nothing in the stream says that something was lost, and CoreDNS drops
//! all it has while it is not connected, so the time between two connections is a gap. No I/O, no
//! clock: times are those of the frames.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    cockpit::ports::Gap,
    domain::{evidence::Cause, names::Text, time::Timestamp},
};

#[derive(Debug, Default)]
pub struct Senders {
    /// At most [`Senders::MOST`].
    known: BTreeMap<Text, Sender>,
}

/// One identity may have several connections: CoreDNS opens one for each server block.
#[derive(Debug, Default)]
struct Sender {
    here: u32,
    /// Ends of connections that nothing has followed yet, with their last frame's time.
    left: VecDeque<Timestamp>,
}

impl Senders {
    const MOST: usize = 256;
    const CONNECTIONS: usize = 16;

    /// The first frame of a connection. Comes a sender back, what it sent between its last frame
    /// then and this one is lost.
    pub fn began(&mut self, identity: &Text, at: Option<Timestamp>) -> Option<Gap> {
        self.make_room(identity);
        let sender = self.known.entry(identity.clone()).or_default();
        sender.here += 1;
        let from = sender.left.pop_front()?;
        let until = at.unwrap_or(from).max(from);
        let why = format!("{identity} connected anew, and drops its answers while it is not connected");
        Some(Gap {
            node: None,
            from,
            until: Some(until),
            lost: None,
            cause: Cause::SourceSilent,
            why: Text::from(why),
        })
    }

    /// The connection of this sender ended; `last` is its last frame's time.
    pub fn ended(&mut self, identity: &Text, last: Option<Timestamp>) {
        let Some(sender) = self.known.get_mut(identity) else { return };
        sender.here = sender.here.saturating_sub(1);
        sender.left.extend(last);
        if sender.left.len() > Self::CONNECTIONS {
            sender.left.pop_front();
        }
    }

    /// Forgets the sender that has been away longest.
    fn make_room(&mut self, newcomer: &Text) {
        if self.known.len() < Self::MOST || self.known.contains_key(newcomer) {
            return;
        }
        let away = self.known.iter().filter(|(_, sender)| sender.here == 0);
        let oldest = away.min_by_key(|(_, sender)| sender.left.back().copied());
        let oldest = oldest.or(self.known.first_key_value()).map(|(identity, _)| identity.clone());
        oldest.map(|identity| self.known.remove(&identity));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        DateTime::from_timestamp(secs, 0).expect("in range")
    }

    #[test]
    fn the_time_between_two_connections_of_one_server_is_a_gap() {
        let mut senders = Senders::default();
        let (a, b) = (Text::new("coredns-a"), Text::new("coredns-b"));
        assert_eq!(senders.began(&a, Some(at(100))), None, "nothing is known of the time before");
        assert_eq!(senders.began(&b, Some(at(101))), None);
        senders.ended(&a, Some(at(150)));
        let gap = senders.began(&a, Some(at(161))).expect("a gap");
        assert_eq!((gap.from, gap.until, gap.lost), (at(150), Some(at(161)), None));
        assert_eq!(
            gap.why.as_str(),
            "coredns-a connected anew, and drops its answers while it is not connected"
        );
        assert_eq!(senders.began(&a, Some(at(170))), None, "a second server block, nothing was away");
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_gap_of_negative_length() {
        let mut senders = Senders::default();
        let a = Text::new("a");
        senders.began(&a, Some(at(100)));
        senders.ended(&a, Some(at(150)));
        let gap = senders.began(&a, Some(at(140))).expect("a gap");
        assert_eq!((gap.from, gap.until), (at(150), Some(at(150))));
    }

    #[test]
    fn senders_that_change_their_name_for_ever_cost_no_memory() {
        let mut senders = Senders::default();
        for n in 0..10_000_i64 {
            let name = Text::from(format!("dns-{n}"));
            senders.began(&name, Some(at(n)));
            senders.ended(&name, Some(at(n)));
        }
        assert_eq!(senders.known.len(), Senders::MOST);
        assert!(senders.began(&Text::new("dns-9999"), Some(at(10_000))).is_some());
        assert!(senders.began(&Text::new("dns-3"), Some(at(10_000))).is_none());
    }
}
