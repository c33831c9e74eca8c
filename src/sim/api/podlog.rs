//! A container's log as the kubelet gives it through the API server: from a time or so many lines
//! before its end, with times, followed or not. What it says, whoever runs the container knows.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::sim::api::call::Call;
use crate::sim::api::reply::Reply;
use crate::sim::api::route::Target;
use crate::sim::api::status::Status;

/// How often a follower looks for new lines.
const LOOK: Duration = Duration::from_millis(200);

/// A container somebody wants the log of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodContainer {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

/// What the log holds from a line on.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub lines: Vec<(DateTime<Utc>, String)>,
    /// Number of the line that comes next.
    pub next: u64,
    /// The kubelet is gone: what is followed breaks, and nothing is opened.
    pub broken: bool,
}

/// A log by line numbers: what is there from this one on.
pub type Log = Arc<dyn Fn(u64) -> Page + Send + Sync>;

/// Finds logs; nothing where no such container prints.
pub type Logs = Arc<dyn Fn(&PodContainer) -> Option<Log> + Send + Sync>;

/// The container that is asked for, by name, or the only one.
pub fn container(call: &Call, target: &Target, pod: &Value) -> Result<String, Status> {
    let names: Vec<&str> = pod
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let asked = call.query.get("container");
    match (asked, names.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", _) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            target.name,
            names.join(" ")
        ))),
        (asked, names) if names.contains(&asked) => Ok(asked.to_owned()),
        (asked, _) => {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {}", target.name)))
        }
    }
}

/// A container that has not started has no log.
pub fn check_started(target: &Target, pod: &Value, container: &str) -> Result<(), Status> {
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
    let status = statuses.into_iter().flatten().find(|status| status["name"] == container);
    match status.and_then(|status| status.pointer("/state/waiting")) {
        Some(waiting) => Err(Status::bad_request(format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: {}",
            target.name,
            waiting["reason"].as_str().unwrap_or("ContainerCreating")
        ))),
        None => Ok(()),
    }
}

struct Options {
    follow: bool,
    timestamps: bool,
    since: Option<DateTime<Utc>>,
    tail: Option<usize>,
    limit: usize,
}

impl Options {
    /// Numbers are signed, so that one below zero is refused for what it is.
    fn read(call: &Call, pod: &str, now: DateTime<Utc>) -> Result<Self, Status> {
        let number = |name: &str| match call.query.get(name) {
            "" => Ok(None),
            raw => raw.parse::<i64>().map(Some).map_err(|_| {
                Status::bad_request(format!("strconv.ParseInt: parsing \"{raw}\": invalid syntax"))
            }),
        };
        let at_least = |name: &'static str, least: i64, must: &str| {
            let value = number(name)?;
            match value.filter(|value| *value < least) {
                Some(value) => Err(invalid(pod, &format!("{name}: Invalid value: {value}: {must}"))),
                None => Ok(value.map(i64::unsigned_abs)),
            }
        };
        let tail = at_least("tailLines", 0, "must be greater than or equal to 0")?;
        let limit = at_least("limitBytes", 1, "must be greater than 0")?;
        let (seconds, time) = (number("sinceSeconds")?, call.query.get("sinceTime"));
        if seconds.is_some() && !time.is_empty() {
            let message = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            return Err(invalid(pod, &format!("[]: Forbidden: {message}")));
        }
        let seconds = at_least("sinceSeconds", 1, "must be greater than 0")?;
        let since = match DateTime::parse_from_rfc3339(time) {
            Ok(at) => Some(at.with_timezone(&Utc)),
            Err(_) if time.is_empty() => {
                seconds.and_then(|ago| now.checked_sub_signed(chrono::Duration::try_seconds(ago as i64)?))
            }
            Err(_) => return Err(Status::bad_request(format!("parsing time {time:?}"))),
        };
        Ok(Self {
            follow: call.query.flag("follow"),
            timestamps: call.query.flag("timestamps"),
            since,
            tail: tail.map(|lines| lines as usize),
            limit: limit.map_or(usize::MAX, |bytes| bytes as usize),
        })
    }
}

fn invalid(pod: &str, why: &str) -> Status {
    Status::new(422, "Invalid", format!("PodLogOptions \"{pod}\" is invalid: {why}"))
}

/// Answers with the log. A kubelet that is gone says so at once.
pub fn answer(call: &Call, pod: &str, now: DateTime<Utc>, log: &Log, gone: Status) -> Result<Reply, Status> {
    let options = Options::read(call, pod, now)?;
    let Page { mut lines, next, broken } = log(0);
    if broken {
        return Err(gone);
    }
    lines.retain(|(at, _)| options.since.is_none_or(|since| *at >= since));
    let skip = options.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    lines.drain(..skip);
    let first = text(&lines, options.timestamps, options.limit);
    let Options { follow, timestamps, limit, .. } = options;
    if !follow {
        return Ok(Reply::text_bytes(200, first));
    }
    let left = limit.saturating_sub(first.len());
    let log = Arc::clone(log);
    let more = stream::unfold(Some((log, next, left)), move |state| async move {
        let (log, from, left) = state?;
        if left == 0 {
            return None;
        }
        tokio::time::sleep(LOOK).await;
        let page = log(from);
        if page.broken {
            return Some((Err(io::ErrorKind::ConnectionReset.into()), None));
        }
        let bytes = text(&page.lines, timestamps, left);
        let left = left - bytes.len();
        Some((Ok(bytes), Some((log, page.next, left))))
    });
    let more =
        more.filter(|chunk| std::future::ready(chunk.as_ref().map_or(true, |bytes| !bytes.is_empty())));
    let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
    Ok(Reply::text_lines(first.chain(more).boxed()))
}

/// A limit counts bytes, the times in front among them, and cuts wherever it falls.
fn text(lines: &[(DateTime<Utc>, String)], timestamps: bool, limit: usize) -> Bytes {
    let mut out = String::new();
    for (at, line) in lines {
        if timestamps {
            out.push_str(&at.to_rfc3339_opts(SecondsFormat::Nanos, true));
            out.push(' ');
        }
        out.push_str(line);
        out.push('\n');
        if out.len() >= limit {
            break;
        }
    }
    let mut bytes = Bytes::from(out);
    bytes.truncate(limit);
    bytes
}
