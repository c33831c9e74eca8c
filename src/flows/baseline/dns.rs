//! What DNS servers tell by dnstap, on its way to the collector: answers in batches, losses as they
//! are told, and how it goes. Reads nothing itself: the listener hands its queue in.

use tokio::{
    sync::{mpsc, watch},
    time::{Duration, MissedTickBehavior, interval},
};

use super::{
    gather::{Input, Now},
    owned::Heard,
};
use crate::{
    cockpit::ports::{Link, SourceState},
    domain::{names::Text, source::SourceKind},
    flows::dnstap::listen::{self, Figures},
};

/// Answers handed over at once.
const CHUNK: usize = 256;
/// How often the figures are told.
const FIGURES: Duration = Duration::from_secs(5);

/// Hands on until the listener or the collector is gone.
pub async fn run(
    source: Text,
    mut heard: mpsc::Receiver<listen::Heard>,
    figures: watch::Receiver<Figures>,
    now: Now,
    to: mpsc::Sender<Input>,
) {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut malformed = 0;
    let mut tick = interval(FIGURES);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            biased;
            count = heard.recv_many(&mut chunk, CHUNK) => {
                if count == 0 {
                    return;
                }
                hand_on(&source, &mut chunk, &mut malformed, &to).await
            }
            _ = tick.tick() => {
                let state = state(&source, &figures.borrow(), malformed, &now);
                to.send(Input::State(source.clone(), Box::new(state))).await.is_ok()
            }
        };
        if !sent {
            return;
        }
    }
}

async fn hand_on(
    source: &Text,
    chunk: &mut Vec<listen::Heard>,
    malformed: &mut u64,
    to: &mpsc::Sender<Input>,
) -> bool {
    let mut told = Vec::with_capacity(chunk.len());
    let mut lost = Vec::new();
    for heard in chunk.drain(..) {
        match heard {
            listen::Heard::Answer(frame) => {
                let good = frame.tell(&mut |said| told.push((Heard::of(&said), None)));
                *malformed += u64::from(good.is_err());
            }
            listen::Heard::Gap(gap) => lost.push(gap),
            listen::Heard::Connected { identity, again } => {
                tracing::info!(%identity, again, "a DNS server speaks");
            }
            listen::Heard::Left { identity, orderly, .. } => {
                tracing::info!(%identity, orderly, "a DNS server left");
            }
        }
    }
    told.retain(|(heard, _)| matches!(heard, Heard::Answer(_)));
    if !told.is_empty()
        && to.send(Input::Told { source: source.clone(), told, position: None }).await.is_err()
    {
        return false;
    }
    for gap in lost {
        if to.send(Input::AnswersLost(gap)).await.is_err() {
            return false;
        }
    }
    true
}

fn state(source: &Text, figures: &Figures, malformed: u64, now: &Now) -> SourceState {
    let link = match (&figures.trouble, figures.connections) {
        (Some(trouble), 0) => Link::Broken(trouble.clone()),
        (None, 0) => Link::Connecting,
        (_, 1..) => Link::Live,
    };
    SourceState {
        kind: SourceKind::Unknown,
        name: source.clone(),
        link,
        history_from: None,
        lag: figures.lag(now()),
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: figures.malformed + malformed,
        repeats: 0,
    }
}
