//! What a handler answers with, before it is put on the wire, and the body type of the wire.
//! It never looks at the request.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Lines of a watch; an error breaks the connection without a last chunk.
pub type Lines = BoxStream<'static, io::Result<Bytes>>;

/// An answer.
pub struct Reply {
    pub code: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
}

/// What is in it.
pub enum Content {
    /// An object or a list, sent in the media type asked for.
    Json(Value),
    /// Already rendered bytes with their content type.
    Bytes(&'static str, Bytes),
    /// The same, sent with its length however long it is.
    Whole(&'static str, Bytes),
    /// A stream of JSON lines.
    Lines(Lines),
    /// A stream of text.
    TextLines(Lines),
    /// Nothing: 304 and 101.
    Nothing,
}

impl Reply {
    pub fn json(code: u16, value: Value) -> Self {
        Self { code, headers: Vec::new(), content: Content::Json(value) }
    }

    pub fn text(code: u16, text: impl Into<String>) -> Self {
        Self::text_bytes(code, Bytes::from(text.into()))
    }

    /// Text that may be cut inside a character.
    pub fn text_bytes(code: u16, bytes: Bytes) -> Self {
        Self { code, headers: Vec::new(), content: Content::Bytes("text/plain; charset=utf-8", bytes) }
    }

    pub fn lines(lines: Lines) -> Self {
        Self { code: 200, headers: Vec::new(), content: Content::Lines(lines) }
    }

    pub fn text_lines(lines: Lines) -> Self {
        Self { code: 200, headers: Vec::new(), content: Content::TextLines(lines) }
    }

    pub fn nothing(code: u16) -> Self {
        Self { code, headers: Vec::new(), content: Content::Nothing }
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A body sent with its length.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(never).boxed_unsync()
}

/// A body sent in chunks.
pub fn chunked(bytes: Bytes) -> Body {
    streamed(futures::stream::once(async move { Ok(bytes) }).boxed())
}

/// A body that is a stream.
pub fn streamed(lines: Lines) -> Body {
    StreamBody::new(lines.map(|line| line.map(Frame::data))).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> io::Error {
    match never {}
}
