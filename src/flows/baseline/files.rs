//! Follows one file of flow records for the collector: what its lines tell, and with it where the
//! file was read to, so that both are committed together. Reads on a blocking task, a piece at a
//! time; what was rotated away unread is a gap.

use std::{collections::BTreeMap, path::PathBuf};

use tokio::{
    sync::mpsc,
    time::{Duration, sleep},
};

use super::{
    gather::{Input, Now},
    owned::Heard,
    store::Position,
};
use crate::{
    cockpit::ports::{Gap, Link, SourceState, Trouble},
    domain::{
        evidence::Cause,
        names::{NodeName, Text},
        sighting::{Outcome, Told},
        source::SourceKind,
        time::{Timestamp, age},
    },
    flows::{
        records::{Context, Decoder, Format},
        tail::{self, Head, Missed, Tail},
    },
};

/// Read at once.
const BUDGET: u64 = 1 << 20;
/// Between two looks at a file that does not grow.
const PAUSE: Duration = Duration::from_secs(1);

/// A file to follow.
#[derive(Clone, Debug)]
pub struct File {
    /// What it is called in positions and in the state.
    pub source: Text,
    pub format: Format,
    pub path: PathBuf,
    /// Of kernel-log: what became of the packets that reached the `Log` rule.
    pub logged: Option<Outcome>,
    /// As it was stored.
    pub position: Option<Position>,
}

/// Follows until the collector is gone.
pub async fn run(file: File, now: Now, to: mpsc::Sender<Input>) {
    let source = file.source.clone();
    let mut follower = Follower::new(&file);
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let piece = follower.piece();
            (follower, piece)
        });
        let Ok((back, piece)) = read.await else { return };
        follower = back;
        let idle = piece.read_bytes == 0;
        if hand_on(&source, piece, &follower, &now, &to).await.is_none() {
            return;
        }
        if idle {
            sleep(PAUSE).await;
        }
    }
}

struct Follower {
    tail: Tail,
    decoder: Decoder,
    malformed: u64,
    newest: Option<Timestamp>,
}

/// What was read at once.
#[derive(Default)]
struct Piece {
    told: Vec<(Heard, Option<u64>)>,
    signs: BTreeMap<Option<NodeName>, Timestamp>,
    missed: Vec<Missed>,
    position: Option<Position>,
    read_bytes: u64,
    failed: Option<String>,
    /// Newest before this piece.
    before: Option<Timestamp>,
}

impl Follower {
    fn new(file: &File) -> Self {
        let from = match &file.position {
            Some(Position::File(text)) => position_of(text),
            Some(Position::Time(_)) | None => None,
        };
        Self {
            tail: Tail::new(&file.path, from),
            decoder: Decoder::new(file.format, Context { logged: file.logged, ..Context::default() }),
            malformed: 0,
            newest: None,
        }
    }

    fn piece(&mut self) -> Piece {
        let Self { tail, decoder, malformed, newest } = self;
        let mut piece = Piece { before: *newest, ..Piece::default() };
        let step = tail.step(BUDGET, &mut |heard| match heard {
            tail::Heard::Line(line) => {
                let read = decoder.line(line, &mut |told| piece.take(&told, newest));
                *malformed += u64::from(read.is_err());
            }
            tail::Heard::Missed(missed) => piece.missed.push(missed),
        });
        match step {
            Ok(step) => piece.read_bytes = step.read_bytes,
            Err(error) => piece.failed = Some(error.to_string()),
        }
        if piece.read_bytes > 0 {
            piece.position = tail.position().map(|position| Position::File(position_text(&position)));
        }
        piece
    }
}

impl Piece {
    fn take(&mut self, told: &Told<'_>, newest: &mut Option<Timestamp>) {
        let (node, at) = match told {
            Told::Flow(flow) => (flow.node, Some(flow.until)),
            Told::Other { node, at } => (*node, *at),
            Told::Answer(answer) => (None, Some(answer.at)),
            Told::Lost(_) => (None, None),
        };
        *newest = (*newest).max(at);
        let is_sign = matches!(told, Told::Flow(_) | Told::Other { .. });
        if let (true, Some(at)) = (is_sign, at) {
            let node = node.and_then(|node| NodeName::parse(node).ok());
            let sign = self.signs.entry(node).or_insert(at);
            *sign = at.max(*sign);
        }
        if !matches!(told, Told::Other { .. }) {
            self.told.push((Heard::of(told), None));
        }
    }
}

/// `None`: nobody listens any more.
async fn hand_on(
    source: &Text,
    piece: Piece,
    follower: &Follower,
    now: &Now,
    to: &mpsc::Sender<Input>,
) -> Option<()> {
    let Piece { told, signs, missed, position, failed, before, .. } = piece;
    for missed in missed {
        let gap = gap_of(missed, before, told.first().map(|(heard, _)| heard), now);
        to.send(Input::Gap(gap)).await.ok()?;
    }
    if !told.is_empty() || position.is_some() {
        to.send(Input::Told { source: source.clone(), told, position }).await.ok()?;
    }
    for (node, until) in signs {
        to.send(Input::Sign(node, until)).await.ok()?;
    }
    let link = match failed {
        None => Link::Live,
        Some(error) => Link::Broken(Trouble::new(
            source.as_str(),
            &format!("it cannot be read: {error}"),
            "Let this user read the file and its folder; it is tried again by itself.",
        )),
    };
    let state = SourceState {
        kind: SourceKind::Unknown,
        name: source.clone(),
        link,
        history_from: None,
        lag: follower.newest.map(|newest| age(newest, now())),
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: follower.malformed,
        repeats: 0,
    };
    to.send(Input::State(source.clone(), Box::new(state))).await.ok()
}

/// From the last line that was read to the first after it.
fn gap_of(missed: Missed, before: Option<Timestamp>, after: Option<&Heard>, now: &Now) -> Gap {
    let after = match after {
        Some(Heard::Flow(flow)) => flow.at,
        Some(Heard::Answer(answer)) => answer.at,
        Some(Heard::Lost(_) | Heard::Other { .. }) | None => now(),
    };
    let from = before.unwrap_or(after).min(after);
    let why = Text::new(missed.as_str());
    Gap { node: None, from, until: Some(after), lost: Some(1), cause: Cause::Loss, why }
}

fn position_text(position: &tail::Position) -> String {
    let tail::Position { device, inode, offset, head } = position;
    format!("{device} {inode} {offset} {} {}", head.len, head.hash)
}

fn position_of(text: &str) -> Option<tail::Position> {
    let mut parts = text.split(' ').map(|part| part.parse::<u64>().ok());
    let mut next = || parts.next().flatten();
    let (device, inode, offset) = (next()?, next()?, next()?);
    let head = Head { len: u16::try_from(next()?).ok()?, hash: next()? };
    Some(tail::Position { device, inode, offset, head })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_both_ways() {
        let position = tail::Position { device: 1, inode: 2, offset: u64::MAX, head: Head::of(b"{\"flow\"") };
        assert_eq!(position_of(&position_text(&position)), Some(position));
        for bad in ["", "1 2 3", "1 2 3 99999999 4", "a b c d e"] {
            assert_eq!(position_of(bad), None, "{bad}");
        }
    }
}
