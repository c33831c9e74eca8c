//! Frame Streams: bytes in, control frames and data frames out. Does no I/O of its own but for
//! [`File`], which pulls from any reader; whoever holds the socket sends the answers named here.
//! Every length is checked before it is waited for. A length that cannot be ends the stream: there is
//! no mark in it to find the next frame by.

use std::io::{self, ErrorKind, Read};

use bytes::{Buf, Bytes, BytesMut};

use crate::domain::names::Text;

/// What DNS servers call their frames.
pub const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// A DNS message has at most 65,535 bytes; nothing honest in dnstap comes near to twice that.
pub const DATA_LIMIT: usize = 128 * 1024;
pub const CONTROL_LIMIT: usize = 512;
pub const CONTENT_TYPE_LIMIT: usize = 256;

const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;
const FIELD_CONTENT_TYPE: u32 = 1;

/// The answer to [`Event::Ready`].
pub fn accept() -> Vec<u8> {
    let mut out = vec![0; 4];
    let field = 8 + CONTENT_TYPE.len() as u32;
    for word in [4 + field, ACCEPT, FIELD_CONTENT_TYPE, CONTENT_TYPE.len() as u32] {
        out.extend(word.to_be_bytes());
    }
    out.extend(CONTENT_TYPE);
    out
}

/// The answer to [`Event::Stopped`] of a sender that wanted answers.
pub fn finish() -> [u8; 12] {
    [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5]
}

/// Why a stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Broken {
    #[error("it does not begin as Frame Streams do (a control frame READY or START)")]
    NoStart,
    #[error("its content type is not protobuf:dnstap.Dnstap")]
    OtherContent,
    #[error("a frame claims {0} bytes, more than the 131072 that dnstap can need")]
    FrameTooLong(u32),
    #[error("a control frame claims {0} bytes; 4 to 512 are possible")]
    ControlLength(u32),
    #[error("a control frame's fields do not fit into it")]
    ControlFields,
    #[error("a content type claims {0} bytes, more than 256")]
    ContentTypeTooLong(u32),
    #[error("a control frame of type {0} came out of turn")]
    OutOfTurn(u32),
    #[error("it goes on after its end (STOP)")]
    AfterStop,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The sender waits for [`accept`].
    Ready,
    Started,
    /// One whole data frame.
    Frame(Bytes),
    /// The sender is through. Where it [wants answers](Reader::answers), it waits for [`finish`].
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    /// READY came, START is to come.
    Accepted,
    Open,
    Stopped,
}

/// The reading end of one stream.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    phase: Phase,
    answers: bool,
    broken: Option<Broken>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), phase: Phase::Opening, answers: false, broken: None }
    }
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where bytes may be read into directly. Take all [events](Self::event) between two reads, and
    /// it holds one frame and one read at most.
    pub fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(64 * 1024);
        &mut self.buffer
    }

    /// Bytes of a frame that is not whole yet.
    pub fn rest(&self) -> usize {
        self.buffer.len()
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The sender began with READY, so that it also wants to hear of the end.
    pub fn answers(&self) -> bool {
        self.answers
    }

    /// The next event of what was fed; `None` until more is. Once broken, always broken.
    pub fn event(&mut self) -> Result<Option<Event>, Broken> {
        match self.broken {
            Some(broken) => Err(broken),
            None => self.step().inspect_err(|broken| self.broken = Some(*broken)),
        }
    }

    fn step(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            let Some(length) = self.word(0) else { return Ok(None) };
            if length > 0 {
                return self.data(length);
            }
            let Some(length) = self.word(4) else { return Ok(None) };
            if !(4..=CONTROL_LIMIT as u32).contains(&length) {
                return Err(if self.phase == Phase::Opening {
                    Broken::NoStart
                } else {
                    Broken::ControlLength(length)
                });
            }
            if self.buffer.len() < 8 + length as usize {
                return Ok(None);
            }
            self.buffer.advance(8);
            let control = self.buffer.split_to(length as usize);
            if let Some(event) = self.control(&control)? {
                return Ok(Some(event));
            }
        }
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.buffer.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn data(&mut self, length: u32) -> Result<Option<Event>, Broken> {
        match self.phase {
            Phase::Open => {}
            Phase::Opening | Phase::Accepted => return Err(Broken::NoStart),
            Phase::Stopped => return Err(Broken::AfterStop),
        }
        let whole = 4 + length as usize;
        if length as usize > DATA_LIMIT {
            return Err(Broken::FrameTooLong(length));
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(Event::Frame(self.buffer.split_to(length as usize).freeze())))
    }

    /// `None`: a control frame that is none of our business.
    fn control(&mut self, control: &[u8]) -> Result<Option<Event>, Broken> {
        let (kind, fields) = control.split_first_chunk().ok_or(Broken::ControlFields)?;
        let kind = u32::from_be_bytes(*kind);
        match (self.phase, kind) {
            (Phase::Opening, READY) => {
                offers_dnstap(fields)?;
                self.phase = Phase::Accepted;
                self.answers = true;
                Ok(Some(Event::Ready))
            }
            // Files begin so, old Unbound does on sockets too; a file may hold several streams.
            (Phase::Opening | Phase::Accepted | Phase::Stopped, START) => {
                offers_dnstap(fields)?;
                self.phase = Phase::Open;
                Ok(Some(Event::Started))
            }
            (Phase::Open, STOP) => {
                self.phase = Phase::Stopped;
                Ok(Some(Event::Stopped))
            }
            (Phase::Open, ACCEPT | START | READY | FINISH) => Err(Broken::OutOfTurn(kind)),
            (Phase::Open, _) => Ok(None),
            (Phase::Opening, _) => Err(Broken::NoStart),
            (Phase::Accepted, _) => Err(Broken::OutOfTurn(kind)),
            (Phase::Stopped, _) => Err(Broken::AfterStop),
        }
    }
}

/// Whether one of the content types is ours. None at all means any, as in the reference implementation.
fn offers_dnstap(mut fields: &[u8]) -> Result<(), Broken> {
    let (mut named, mut ours) = (false, false);
    while !fields.is_empty() {
        let (kind, rest) = word(fields)?;
        let (length, rest) = word(rest)?;
        let value = rest.get(..length as usize).ok_or(Broken::ControlFields)?;
        fields = &rest[length as usize..];
        if kind == FIELD_CONTENT_TYPE {
            if value.len() > CONTENT_TYPE_LIMIT {
                return Err(Broken::ContentTypeTooLong(length));
            }
            named = true;
            ours |= value == CONTENT_TYPE;
        }
    }
    if named && !ours { Err(Broken::OtherContent) } else { Ok(()) }
}

fn word(bytes: &[u8]) -> Result<(u32, &[u8]), Broken> {
    let (word, rest) = bytes.split_first_chunk().ok_or(Broken::ControlFields)?;
    Ok((u32::from_be_bytes(*word), rest))
}

/// Why the rest of a file was not read. Everything whole before it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutShort {
    #[error("the file is empty")]
    Empty,
    #[error("it ends inside a frame: the last {0} bytes are not read")]
    InsideFrame(usize),
    #[error("it cannot be read on: {0}")]
    Broken(#[from] Broken),
    #[error("it cannot be read on: {0}")]
    Unreadable(Text),
}

/// The frames of a dnstap file, whole ones only. The last item may say why there is a rest.
pub struct File<R> {
    from: R,
    reader: Reader,
    chunk: Vec<u8>,
    over: bool,
    begun: bool,
}

impl<R: Read> File<R> {
    pub fn new(from: R) -> Self {
        Self { from, reader: Reader::default(), chunk: vec![0; 64 * 1024], over: false, begun: false }
    }

    fn pull(&mut self) -> Result<Option<Bytes>, CutShort> {
        loop {
            match self.reader.event()? {
                Some(Event::Frame(frame)) => return Ok(Some(frame)),
                Some(Event::Ready | Event::Started | Event::Stopped) => {}
                None => match self.from.read(&mut self.chunk) {
                    Ok(0) => return self.end(),
                    Ok(count) => {
                        self.begun = true;
                        self.reader.feed(&self.chunk[..count]);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(&error)),
                },
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, CutShort> {
        match self.reader.rest() {
            0 if self.begun => Ok(None),
            0 => Err(CutShort::Empty),
            rest => Err(CutShort::InsideFrame(rest)),
        }
    }
}

fn unreadable(error: &io::Error) -> CutShort {
    CutShort::Unreadable(Text::from(error.to_string()))
}

impl<R: Read> Iterator for File<R> {
    type Item = Result<Bytes, CutShort>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let pulled = self.pull().transpose();
        self.over = !matches!(pulled, Some(Ok(_)));
        pulled
    }
}
