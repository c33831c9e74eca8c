//! A watch: what is there already if asked for, then every change as one line, bookmarks, and the
//! ways it ends. It never blocks a writer: it reads the store's log at its own pace.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sim::api::cluster::{Cluster, Stop};
use crate::sim::api::forms::EventShape;
use crate::sim::api::object;
use crate::sim::api::query::Query;
use crate::sim::api::read::{not_a_number, parse_version};
use crate::sim::api::reply::Lines;
use crate::sim::api::select::Selection;
use crate::sim::api::status::Status;
use crate::sim::api::store::{Change, Event};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// A watch without a time-out ends after this long, within the range a real server picks from.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

/// The options of a watch, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    start: Start,
    bookmarks: bool,
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// First everything there is; `announced` by a bookmark that marks the end.
    Everything { announced: bool },
    /// Only what comes after a version.
    After(u64),
    /// Only what comes from now on.
    Now,
}

impl WatchOptions {
    pub fn parse(query: &Query) -> Result<Self, Status> {
        let bookmarks = query.flag("allowWatchBookmarks");
        let timeout = match query.get("timeoutSeconds") {
            "" => 0,
            text => text.parse::<i64>().map_err(|_| not_a_number(text))?,
        };
        let timeout = match u64::try_from(timeout) {
            Ok(0) | Err(_) => DEFAULT_TIMEOUT,
            Ok(seconds) => Duration::from_secs(seconds),
        };
        let text = query.get("resourceVersion");
        let version = if text.is_empty() { 0 } else { parse_version(text).map_err(Status::internal)? };
        let start = if query.has("sendInitialEvents") {
            match (query.flag("sendInitialEvents"), version) {
                (true, _) => Start::Everything { announced: bookmarks },
                (false, 0) => Start::Now,
                (false, version) => Start::After(version),
            }
        } else if version == 0 {
            Start::Everything { announced: bookmarks && text == "0" }
        } else {
            Start::After(version)
        };
        Ok(Self { start, bookmarks, timeout })
    }
}

/// One open watch.
struct Watching {
    cluster: Cluster,
    selection: Selection,
    shape: EventShape,
    /// Everything up to this version was sent or does not concern this watch.
    cursor: u64,
    /// Lines not yet taken by the connection.
    ready: VecDeque<Bytes>,
    changes: watch::Receiver<u64>,
    restarts: watch::Receiver<(u64, Stop)>,
    deadline: Instant,
    bookmark_at: Option<Instant>,
    ended: bool,
}

/// Opens a watch as a stream of lines.
pub fn open(cluster: &Cluster, selection: Selection, options: WatchOptions, shape: EventShape) -> Lines {
    let now = Instant::now();
    let mut watching = Watching {
        cluster: cluster.clone(),
        selection,
        cursor: 0,
        ready: VecDeque::new(),
        changes: cluster.subscribe(),
        restarts: cluster.restarts(),
        deadline: now + options.timeout,
        bookmark_at: options.bookmarks.then(|| next_bookmark(now, now + options.timeout)),
        ended: shape.is_refused(),
        shape,
    };
    watching.begin(options.start);
    futures::stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((line, watching))
    })
    .boxed()
}

impl Watching {
    fn begin(&mut self, start: Start) {
        if self.ended {
            return;
        }
        let expire = self.cluster.faults().expire_watches;
        let (version, watchable) = {
            let store = self.cluster.store();
            (store.version(), store.watchable())
        };
        match start {
            Start::Everything { announced } => {
                self.cursor = version;
                self.send_everything();
                if announced {
                    self.send_bookmark(true);
                }
            }
            Start::After(from) if from < watchable || expire => self.expire(from, watchable),
            Start::After(from) => self.cursor = from,
            Start::Now => self.cursor = version,
        }
    }

    fn send_everything(&mut self) {
        let store = self.cluster.store();
        let all: Vec<Arc<Value>> = store
            .list(self.selection.storage, &self.selection.namespace)
            .into_iter()
            .map(|(_, o)| o)
            .collect();
        drop(store);
        let shown = all.into_iter().map(|object| self.selection.view(object));
        let matching: Vec<Arc<Value>> = shown.filter(|object| self.selection.matches(object)).collect();
        for object in matching {
            self.send("ADDED", &object);
        }
    }

    fn expire(&mut self, from: u64, oldest: u64) {
        let message = format!("too old resource version: {from} ({oldest})");
        let status = Status::new(410, "Expired", message).to_value();
        self.push(&json!({ "type": "ERROR", "object": status }));
        self.ended = true;
    }

    /// The next line, or the end.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.ended {
                return None;
            }
            if let Some(stop) = self.stopped() {
                return match stop {
                    Stop::Clean => None,
                    Stop::Killed => Some(Err(io::Error::other("the simulated server was killed"))),
                };
            }
            // Asked before the last changes are read: they still belong to this watch.
            let lives_on =
                self.cluster.catalog().is_current(self.selection.resource, self.selection.resource());
            self.catch_up();
            self.ended |= !lives_on;
            if self.ready.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    fn stopped(&mut self) -> Option<Stop> {
        let moved = self.restarts.has_changed().unwrap_or(true);
        moved.then(|| {
            self.ended = true;
            self.restarts.borrow_and_update().1
        })
    }

    fn catch_up(&mut self) {
        self.changes.mark_unchanged();
        let store = self.cluster.store();
        let (version, watchable) = (store.version(), store.watchable());
        if self.cursor < watchable {
            drop(store);
            return self.expire(self.cursor, watchable);
        }
        let events = store.since(self.selection.storage, &self.selection.namespace, self.cursor);
        drop(store);
        self.cursor = self.cursor.max(version);
        for event in events {
            let object = self.selection.view(event.object);
            let before = event.before.map(|before| self.selection.view(before));
            self.send_change(&Event { object, before, ..event });
        }
    }

    async fn wait(&mut self) {
        let bookmark_at = self.bookmark_at.unwrap_or(self.deadline);
        tokio::select! { biased;
            _ = self.restarts.changed() => self.restarts.mark_changed(),
            _ = self.changes.changed() => {}
            () = tokio::time::sleep_until(self.deadline.min(bookmark_at)) => self.tick(),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.deadline {
            self.ended = true;
        } else if self.bookmark_at.is_some() {
            self.send_bookmark(false);
            self.bookmark_at = Some(next_bookmark(now, self.deadline));
        }
    }

    /// What a change means to this watch: leaving the selection is a delete, entering it an add.
    fn send_change(&mut self, event: &Event) {
        let is_in = event.change != Change::Deleted && self.selection.matches(&event.object);
        let before = event.before.as_ref().filter(|o| self.selection.matches(o));
        match (before, is_in) {
            (None, true) => self.send("ADDED", &event.object),
            (Some(_), true) => self.send("MODIFIED", &event.object),
            (Some(_), false) if event.change == Change::Deleted => {
                self.send("DELETED", &event.object);
            }
            (Some(before), false) => {
                let mut last = Value::clone(before);
                object::set_meta(&mut last, "resourceVersion", event.version.to_string());
                self.send("DELETED", &last);
            }
            (None, false) => {}
        }
    }

    fn send_bookmark(&mut self, initial_end: bool) {
        let version = self.cursor.max(self.cluster.store().watchable());
        let bookmark = self.shape.bookmark(self.selection.resource(), version, initial_end);
        self.push(&json!({ "type": "BOOKMARK", "object": bookmark }));
    }

    fn send(&mut self, change: &str, object: &Value) {
        let now = self.cluster.clock().now();
        let shaped = self.shape.shape(object, now);
        self.push(&json!({ "type": change, "object": shaped }));
    }

    fn push(&mut self, line: &Value) {
        self.ready.push_back(Bytes::from(format!("{line}\n")));
    }
}

/// Once a minute, and once shortly before the end.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline.checked_sub(LAST_BOOKMARK_BEFORE_END).filter(|last| *last > now);
    let regular = now + BOOKMARK_EVERY;
    last.map_or(regular, |last| regular.min(last))
}
