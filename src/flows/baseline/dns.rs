//! What DNS servers tell by dnstap, on its way to the collector: answers in batches, losses as they
//! are told, and how it goes. Reads nothing itself: the listener hands its queue in.

use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, MissedTickBehavior, interval},
};

use super::{
    gather::{Input, Now},
    owned::Heard,
};
use crate::{
    cockpit::ports::{Gap, Link, SourceState},
    domain::{evidence::Cause, names::Text, source::SourceKind, time::Timestamp},
    flows::dnstap::listen::{self, Figures},
};

/// Answers handed over at once.
const CHUNK: usize = 256;
/// How often the figures are told.
const FIGURES: Duration = Duration::from_secs(5);

/// DNS servers that come this soon after the start were there before it: CoreDNS calls every 10 s.
const RETURN: Duration = Duration::from_secs(60);

/// What is listened to.
pub struct Listened {
    pub source: Text,
    pub heard: mpsc::Receiver<listen::Heard>,
    pub figures: watch::Receiver<Figures>,
    pub now: Now,
    /// Until when an earlier run gathered: what was answered from then on is lost.
    pub before: Option<Timestamp>,
}

/// Hands on until the listener or the collector is gone.
pub async fn run(listened: Listened, to: mpsc::Sender<Input>) {
    let Listened { source, mut heard, figures, now, before } = listened;
    let begun = Instant::now();
    let missed = |identity: &Text| {
        let from = before.filter(|_| begun.elapsed() <= RETURN)?;
        let why = format!("{identity} drops its answers while the collector is not running");
        Some(Gap {
            node: None,
            from,
            until: Some(now().max(from)),
            lost: None,
            cause: Cause::SourceSilent,
            why: Text::from(why),
        })
    };
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
                let returned = chunk.iter().filter_map(|heard| match heard {
                    listen::Heard::Connected { identity, again: false } => missed(identity),
                    listen::Heard::Connected { .. }
                    | listen::Heard::Answer(_)
                    | listen::Heard::Gap(_)
                    | listen::Heard::Left { .. } => None,
                });
                let lost = returned.collect();
                hand_on(&source, &mut chunk, lost, &mut malformed, &to).await
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
    mut lost: Vec<Gap>,
    malformed: &mut u64,
    to: &mpsc::Sender<Input>,
) -> bool {
    let mut told = Vec::with_capacity(chunk.len());
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::sleep;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_442_000 + secs, 0).expect("in range")
    }

    /// A DNS server cannot tell what it dropped while nobody listened: the collector must.
    #[tokio::test(start_paused = true)]
    async fn answers_of_the_time_it_was_not_running_are_a_gap() {
        let begun = Instant::now();
        let now: Now = Arc::new(move || at(begun.elapsed().as_secs() as i64));
        let (heard_at, heard) = mpsc::channel(8);
        let (_figures, figures) = watch::channel(Figures::default());
        let (to, mut inputs) = mpsc::channel(64);
        let listened = Listened { source: Text::new("dnstap"), heard, figures, now, before: Some(at(-30)) };
        let task = tokio::spawn(run(listened, to));
        for (wait, identity, again) in
            [(8, "coredns-a", false), (1, "coredns-a", true), (60, "coredns-b", false)]
        {
            sleep(Duration::from_secs(wait)).await;
            let connected = listen::Heard::Connected { identity: Text::new(identity), again };
            heard_at.send(connected).await.expect("it listens");
        }
        drop(heard_at);
        task.await.expect("no panic");
        let mut gaps = Vec::new();
        while let Ok(input) = inputs.try_recv() {
            if let Input::AnswersLost(gap) = input {
                gaps.push(gap);
            }
        }
        let why = Text::new("coredns-a drops its answers while the collector is not running");
        assert_eq!(
            gaps,
            [Gap {
                node: None,
                from: at(-30),
                until: Some(at(8)),
                lost: None,
                cause: Cause::SourceSilent,
                why
            }]
        );
    }
}
