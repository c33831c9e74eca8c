//! Puts an answer on the wire: media type, compression, length or chunks, and the headers a real
//! server sends with everything.

use std::io;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use serde_json::Value;

use crate::sim::api::cluster::Cluster;
use crate::sim::api::negotiate::Media;
use crate::sim::api::reply::{self, Body, Content, Reply};
use crate::sim::api::status::Status;

/// Larger answers are sent in chunks, as the real server's buffer makes it do.
const CHUNK_FROM: usize = 2048;
/// Larger answers are compressed where the client takes it.
const COMPRESS_FROM: usize = 128 * 1024;

/// How one answer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    pub media: Media,
    /// Indented JSON.
    pub pretty: bool,
    /// The client takes gzip.
    pub gzip: bool,
    /// Priority and fairness let the request in, and says so in headers.
    pub admitted: bool,
}

/// The answer that tells of an error.
pub fn of_status(status: &Status) -> Reply {
    let mut reply = if status.plain {
        Reply::text(status.code, status.message.clone()).with_header("x-content-type-options", "nosniff")
    } else {
        Reply::json(status.code, status.to_value())
    };
    reply.headers.extend(status.headers.iter().cloned());
    reply
}

/// Makes the response.
pub fn render(cluster: &Cluster, reply: Reply, wire: Wire) -> io::Result<Response<Body>> {
    let mut headers: Vec<(&'static str, String)> = vec![
        ("audit-id", cluster.new_uid()),
        // The simulated clock's, not that of this machine.
        ("date", cluster.clock().now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
    ];
    let says_caching = reply.headers.iter().any(|(name, _)| *name == "cache-control");
    if !says_caching {
        headers.push(("cache-control", "no-cache, private".to_owned()));
    }
    if wire.admitted {
        headers.push(("x-kubernetes-pf-flowschema-uid", cluster.flow_uid()));
        headers.push(("x-kubernetes-pf-prioritylevel-uid", cluster.flow_uid()));
    }
    headers.extend(reply.headers);
    let (content_type, body) = match reply.content {
        Content::Json(value) => encode(&value, wire, &mut headers)?,
        Content::Bytes(content_type, bytes) => (content_type, sized(bytes)),
        Content::Whole(content_type, bytes) => (content_type, reply::whole(bytes)),
        Content::Lines(lines) => ("application/json", reply::streamed(lines)),
        Content::TextLines(lines) => ("text/plain", reply::streamed(lines)),
        Content::Nothing => ("", reply::empty()),
    };
    let mut builder = Response::builder().status(reply.code);
    let typed = headers.iter().any(|(name, _)| *name == "content-type");
    if !content_type.is_empty() && !typed {
        builder = builder.header("content-type", content_type);
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body).map_err(io::Error::other)
}

fn encode(
    value: &Value,
    wire: Wire,
    headers: &mut Vec<(&'static str, String)>,
) -> io::Result<(&'static str, Body)> {
    let (content_type, text) = match wire.media {
        Media::Json if wire.pretty => ("application/json", serde_json::to_string_pretty(value)?),
        Media::Json => ("application/json", format!("{value}\n")),
        Media::Yaml => ("application/yaml", serde_yaml::to_string(value).map_err(io::Error::other)?),
    };
    if !wire.gzip || text.len() <= COMPRESS_FROM {
        return Ok((content_type, sized(Bytes::from(text))));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    headers.push(("content-encoding", "gzip".to_owned()));
    headers.push(("vary", "Accept-Encoding".to_owned()));
    Ok((content_type, reply::chunked(Bytes::from(encoder.finish()?))))
}

fn sized(bytes: Bytes) -> Body {
    if bytes.len() > CHUNK_FROM { reply::chunked(bytes) } else { reply::whole(bytes) }
}
