//! Whether reading went on where it had stopped. A new stream begins a little before the end of the
//! last one: whoever reads something known again has missed nothing; what is new at once was not the
//! next thing. Pure; times are the source's own.

use crate::{
    cockpit::ports::Gap,
    domain::{
        evidence::Cause,
        names::{NodeName, Text},
        time::Timestamp,
    },
};

/// One thing that is read from beginning to end: a node's log, or a whole source.
#[derive(Debug)]
pub struct Thread {
    /// `None`: the whole source.
    node: Option<NodeName>,
    /// Everything up to here was read, gaps aside.
    read: Option<Timestamp>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    from: Timestamp,
    why: Text,
    cause: Cause,
    /// Only a doubt so far.
    untold: bool,
}

impl Thread {
    /// `read`: up to where it was read before.
    pub fn new(node: Option<NodeName>, read: Option<Timestamp>) -> Self {
        Self { node, read, open: None }
    }

    pub fn read(&self) -> Option<Timestamp> {
        self.read
    }

    pub fn is_broken(&self) -> bool {
        self.open.is_some()
    }

    /// Reading begins now: what came before was never ours to read.
    pub fn begins(&mut self, at: Timestamp) {
        self.read.get_or_insert(at);
    }

    /// Nothing is read from here on. `None`: it was told already, or nothing was ever read.
    pub fn broke(&mut self, why: &str, cause: Cause) -> Option<Gap> {
        let from = self.read?;
        if self.open.as_ref().is_some_and(|open| !open.untold) {
            return None;
        }
        self.open = Some(Open { from, why: Text::new(why), cause, untold: false });
        self.gap(None, cause)
    }

    /// Reading goes on elsewhere, and nothing need be missing: a gap only if that turns out.
    pub fn doubt(&mut self, why: &str) {
        if let Some(from) = self.read.filter(|_| self.open.is_none()) {
            self.open = Some(Open { from, why: Text::new(why), cause: Cause::SourceSilent, untold: true });
        }
    }

    /// Something known was read again: nothing is missing.
    pub fn again(&mut self) -> Option<Gap> {
        let from = self.open.as_ref()?.from;
        let gap = self.gap(Some(from), Cause::SourceSilent)?;
        let was_told = self.open.take().is_some_and(|open| !open.untold);
        let why = Text::from(format!("{}; read again, nothing is missing", gap.why));
        was_told.then_some(Gap { why, ..gap })
    }

    /// Something new of this moment. With it the gap that it ends, and from where on all was read.
    pub fn fresh(&mut self, at: Timestamp) -> (Option<Gap>, Timestamp) {
        let gap = self.open.as_ref().map(|open| (open.from, open.cause)).and_then(|(from, cause)| {
            let gap =
                self.gap(Some(at.max(from)), if cause == Cause::SourceSilent { Cause::Loss } else { cause })?;
            Some(Gap { why: Text::from(format!("{}; what was told meanwhile is gone", gap.why)), ..gap })
        });
        self.open = None;
        let from = if gap.is_some() { at } else { self.read.map_or(at, |read| read.min(at)) };
        self.read = self.read.max(Some(at));
        (gap, from)
    }

    fn gap(&self, until: Option<Timestamp>, cause: Cause) -> Option<Gap> {
        let Open { from, why, .. } = self.open.as_ref()?;
        Some(Gap { node: self.node.clone(), from: *from, until, lost: None, cause, why: why.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
    }

    fn said(gap: Option<Gap>) -> String {
        gap.map_or_else(String::new, |gap| {
            let until = gap.until.map(|until| (until - at(0)).num_seconds());
            format!("{} {until:?} {} {}", (gap.from - at(0)).num_seconds(), gap.cause.as_str(), gap.why)
        })
    }

    #[test]
    fn what_is_read_again_heals_and_what_is_new_at_once_is_a_loss() {
        let mut thread = Thread::new(None, None);
        assert_eq!(said(thread.broke("no way there", Cause::SourceSilent)), "", "nothing was read yet");
        thread.begins(at(0));
        assert_eq!((said(thread.fresh(at(5)).0).as_str(), thread.read()), ("", Some(at(5))));
        assert_eq!(
            said(thread.broke("the stream ended", Cause::SourceSilent)),
            "5 None source silent the stream ended"
        );
        assert_eq!(said(thread.broke("again", Cause::SourceSilent)), "", "told once");
        assert_eq!(
            said(thread.again()),
            "5 Some(5) source silent the stream ended; read again, nothing is missing"
        );
        assert_eq!(said(thread.again()), "");
        assert_eq!(
            said(thread.broke("the stream ended", Cause::SourceSilent)),
            "5 None source silent the stream ended"
        );
        let (gap, from) = thread.fresh(at(9));
        assert_eq!(said(gap), "5 Some(9) loss the stream ended; what was told meanwhile is gone");
        assert_eq!(from, at(9), "the sign says nothing of the gap");
        assert_eq!(thread.fresh(at(12)).1, at(9));
        assert_eq!(thread.fresh(at(11)).1, at(11), "an older one says nothing new");
        thread.doubt("its log was opened again");
        assert_eq!(said(thread.again()), "", "a doubt that was none is not told");
        thread.doubt("its log was opened again");
        assert_eq!(
            said(thread.fresh(at(20)).0),
            "12 Some(20) loss its log was opened again; what was told meanwhile is gone"
        );
    }
}
