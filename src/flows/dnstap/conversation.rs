//! One connection of a DNS server: its handshake, its frames, its end. Never waits for whoever takes
//! the answers: what does not fit is counted and told as a gap as soon as there is room. Drives the
//! Frame Streams reader over the byte stream that it is given.

use std::{collections::VecDeque, pin::Pin};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Duration, Instant, sleep_until, timeout},
};

use crate::{
    cockpit::ports::{Gap, Trouble},
    domain::{evidence::Cause, names::Text, time::Timestamp},
    pb::dnstap::Dnstap,
};

use super::{
    decode::{event, is_answer, time},
    frames::{Broken, Event, Reader, accept, finish},
    listen::{Ear, Ended, Frame, Heard, Manner},
};

/// Why a connection ended otherwise than by its sender's will.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("no handshake within {0} s")]
    Silent(u64),
    #[error("the connection ended before its handshake did")]
    Unfinished,
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("a frame is not a dnstap event: the stream is torn")]
    Torn,
    #[error("nothing came for {0} s")]
    Idle(u64),
    #[error("the connection failed: {0}")]
    Failed(Text),
    #[error("nobody takes the answers any more")]
    Untaken,
}

impl Fault {
    fn trouble(&self, peer: &str) -> Trouble {
        let next = match self {
            Self::Silent(_) | Self::Unfinished | Self::Broken(_) => {
                "Point only `dnstap` of CoreDNS, or of another DNS server, here."
            }
            Self::Torn => "It is connected anew; on CoreDNS 1.14.4 let CoreDNS connect to us instead.",
            Self::Idle(_) | Self::Failed(_) => "The DNS server connects anew by itself.",
            Self::Untaken => "Start the collector again.",
        };
        Trouble::new(&format!("dnstap of {peer}"), &self.to_string(), next)
    }
}

fn failed(error: &std::io::Error) -> Fault {
    Fault::Failed(Text::from(error.to_string()))
}

/// An identity that was heard on this connection.
struct Voice {
    raw: Vec<u8>,
    identity: Text,
    last: Option<Timestamp>,
}

/// Answers that there was no room for.
struct Lost {
    /// When they are told: one gap a second, so that gaps do not take the room of answers.
    due: Instant,
    count: u64,
    from: Timestamp,
    until: Timestamp,
}

/// What is not in the figures yet.
#[derive(Default)]
struct News {
    frames: u64,
    dropped: u64,
    malformed: u64,
    latest: Option<Timestamp>,
}

pub(super) struct Conversation<'a, S> {
    ear: &'a Ear,
    io: Pin<Box<S>>,
    manner: Manner,
    reader: Reader,
    /// At most [`VOICES`]; further ones are taken for the first.
    voices: Vec<Voice>,
    /// To be told before the next answer.
    pending: VecDeque<Heard>,
    lost: Option<Lost>,
    news: News,
    stopped: bool,
}

/// Identities on one connection: one, where nothing stands in between that gathers.
const VOICES: usize = 8;

/// Losses within this time are one gap.
const FOLD: Duration = Duration::from_secs(1);

impl<'a, S: AsyncRead + AsyncWrite + Send> Conversation<'a, S> {
    pub fn new(ear: &'a Ear, io: Pin<Box<S>>, manner: Manner) -> Self {
        Self {
            ear,
            io,
            manner,
            reader: Reader::default(),
            voices: Vec::new(),
            pending: VecDeque::new(),
            lost: None,
            news: News::default(),
            stopped: false,
        }
    }

    pub async fn run(mut self, peer: &str) -> Ended {
        let limit = self.ear.limits.handshake;
        let opening = timeout(limit, self.open()).await;
        if let Err(fault) = opening.unwrap_or(Err(Fault::Silent(limit.as_secs()))) {
            let trouble = fault.trouble(peer);
            self.ear.turn_away(trouble.clone());
            return Ended { opened: false, trouble: Some(trouble) };
        }
        self.ear.note(|figures| figures.connections += 1);
        let fault = self.listen().await.err();
        let broke = matches!(fault, Some(Fault::Broken(_)));
        let trouble = fault.map(|fault| fault.trouble(peer));
        self.publish();
        self.ear.note(|figures| {
            figures.connections -= 1;
            figures.malformed += u64::from(broke);
            figures.trouble = trouble.clone().or(figures.trouble.take());
        });
        self.leave().await;
        Ended { opened: true, trouble }
    }

    /// Up to START, with an answer to READY.
    async fn open(&mut self) -> Result<(), Fault> {
        loop {
            match self.reader.event()? {
                Some(Event::Ready) => {
                    self.io.write_all(&accept()).await.map_err(|error| failed(&error))?;
                    self.io.flush().await.map_err(|error| failed(&error))?;
                }
                Some(Event::Started) => return Ok(()),
                Some(Event::Frame(_) | Event::Stopped) => return Err(Broken::NoStart.into()),
                None => match self.io.read_buf(self.reader.room()).await {
                    Ok(0) => return Err(Fault::Unfinished),
                    Ok(_) => {}
                    Err(error) => return Err(failed(&error)),
                },
            }
        }
    }

    /// Frames, until the sender stops or goes.
    async fn listen(&mut self) -> Result<(), Fault> {
        loop {
            match self.reader.event()? {
                Some(Event::Frame(frame)) => self.take(&frame)?,
                Some(Event::Stopped) => return self.stop().await,
                Some(Event::Ready | Event::Started) => {}
                None => {
                    self.publish();
                    if self.read().await? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// More bytes. What waits to be told goes out meanwhile.
    async fn read(&mut self) -> Result<usize, Fault> {
        let idle = self.ear.limits.idle;
        loop {
            let due = self.lost.as_ref().map(|lost| lost.due);
            tokio::select! {
                biased;
                read = timeout(idle, self.io.read_buf(self.reader.room())) => {
                    return match read {
                        Err(_) => Err(Fault::Idle(idle.as_secs())),
                        Ok(read) => read.map_err(|error| failed(&error)),
                    };
                }
                place = self.ear.heard.reserve(), if !self.pending.is_empty() => {
                    let place = place.map_err(|_| Fault::Untaken)?;
                    if let Some(told) = self.pending.pop_front() {
                        place.send(told);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.tell_loss(),
            }
        }
    }

    async fn stop(&mut self) -> Result<(), Fault> {
        self.stopped = true;
        if self.reader.answers() {
            // It is through whether or not it hears this.
            let farewell = async {
                self.io.write_all(&finish()).await?;
                self.io.shutdown().await
            };
            let _ = timeout(self.ear.limits.handshake, farewell).await;
        }
        Ok(())
    }

    fn take(&mut self, frame: &Bytes) -> Result<(), Fault> {
        self.news.frames += 1;
        let Ok(event) = event(frame) else {
            self.news.malformed += 1;
            return match self.manner {
                Manner::Accepted => Ok(()),
                Manner::Called => Err(Fault::Torn),
            };
        };
        let Some(message) = &event.message else {
            self.news.malformed += 1;
            return Ok(());
        };
        let at = time(message);
        self.news.latest = at.or(self.news.latest);
        self.listen_to(event.identity.as_deref().unwrap_or_default(), at);
        if is_answer(message) { self.hand_on(event, frame.len(), at) } else { Ok(()) }
    }

    /// Who speaks; new ones are told.
    fn listen_to(&mut self, raw: &[u8], at: Option<Timestamp>) {
        let known = self.voices.iter().position(|voice| voice.raw == raw);
        if let Some(index) = known.or((self.voices.len() == VOICES).then_some(0)) {
            let voice = &mut self.voices[index];
            voice.last = at.or(voice.last);
            return;
        }
        let shown =
            if raw.is_empty() { "a DNS server without a name".into() } else { String::from_utf8_lossy(raw) };
        let identity = Text::new(&shown);
        let gap = self.ear.senders().began(&identity, at);
        self.pending.push_back(Heard::Connected { identity: identity.clone(), again: gap.is_some() });
        self.pending.extend(gap.map(Heard::Gap));
        self.voices.push(Voice { raw: raw.to_owned(), identity, last: at });
    }

    /// Into the queue, or lost.
    fn hand_on(&mut self, event: Dnstap, size: usize, at: Option<Timestamp>) -> Result<(), Fault> {
        if self.ear.heard.is_closed() {
            return Err(Fault::Untaken);
        }
        if self.lost.as_ref().is_some_and(|lost| lost.due <= Instant::now()) {
            self.tell_loss();
        }
        while let Some(told) = self.pending.pop_front() {
            if let Err(error) = self.ear.heard.try_send(told) {
                self.pending.push_front(error.into_inner());
                self.lose(at);
                return Ok(());
            }
        }
        let room = self.ear.room.clone().try_acquire_many_owned(size as u32);
        let kept = room
            .ok()
            .and_then(|room| self.ear.heard.try_send(Heard::Answer(Frame { event, _room: room })).ok());
        if kept.is_none() {
            self.lose(at);
        }
        Ok(())
    }

    fn lose(&mut self, at: Option<Timestamp>) {
        self.news.dropped += 1;
        let at = at.or(self.lost.as_ref().map(|lost| lost.until)).unwrap_or_default();
        let lost = self.lost.get_or_insert_with(|| {
            let due = Instant::now() + FOLD;
            Lost { due, count: 0, from: at, until: at }
        });
        lost.count += 1;
        lost.from = lost.from.min(at);
        lost.until = lost.until.max(at);
    }

    fn tell_loss(&mut self) {
        let Some(lost) = self.lost.take() else { return };
        self.pending.push_back(Heard::Gap(Gap {
            node: None,
            from: lost.from,
            until: Some(lost.until),
            lost: Some(lost.count),
            cause: Cause::Loss,
            why: Text::new("more DNS answers came than sluice could take in"),
        }));
    }

    fn publish(&mut self) {
        let news = std::mem::take(&mut self.news);
        if news.frames > 0 {
            self.ear.note(|figures| {
                figures.frames += news.frames;
                figures.dropped += news.dropped;
                figures.malformed += news.malformed;
                figures.latest = news.latest.or(figures.latest);
            });
        }
    }

    /// Tells what is left to tell. The byte stream is closed already: only this task waits.
    async fn leave(mut self) {
        self.tell_loss();
        for voice in std::mem::take(&mut self.voices) {
            self.ear.senders().ended(&voice.identity, voice.last);
            let Voice { identity, last, .. } = voice;
            self.pending.push_back(Heard::Left { identity, last, orderly: self.stopped });
        }
        let Self { ear, io, pending, .. } = self;
        drop(io);
        for told in pending {
            if ear.heard.send(told).await.is_err() {
                return;
            }
        }
    }
}
