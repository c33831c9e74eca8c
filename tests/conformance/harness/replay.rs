//! Plays one scene step by step and collects the differences.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::Value;
use sluice::sim::api::cluster::{Cluster, Stop};
use sluice::sim::api::faults::{Faults, Refusal};

use super::compare::{self, Bindings};
use super::connect;
use super::scene::{self, Scene, Step};

/// What differed at one step.
pub struct Difference {
    pub step: usize,
    pub about: String,
    pub lines: Vec<String>,
}

/// One open watch of the scene.
struct Watched {
    step: usize,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    events: Vec<(usize, Value)>,
    ended: Option<(usize, bool)>,
}

struct Player {
    cluster: Cluster,
    scene: Scene,
    bindings: Bindings,
    watches: Vec<Watched>,
    now_at: Arc<Mutex<usize>>,
    differences: Vec<Difference>,
}

/// Plays a scene; no differences means it is green.
pub async fn play(name: &str) -> (usize, Vec<Difference>) {
    let scene: Scene = scene::read(name);
    let cluster = connect::cluster(scene.cluster == "with-controllers");
    let mut player = Player {
        cluster,
        scene,
        bindings: Bindings::default(),
        watches: Vec::new(),
        now_at: Arc::default(),
        differences: Vec::new(),
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let steps = player.scene.steps.len();
    for step in 0..steps {
        player.pass_time(step).await;
        *held(&player.now_at) = step;
        player.step(step).await;
    }
    player.pass_time(steps).await;
    player.compare_watches();
    let order = player.bindings.check_order(&player.scene.rv_order);
    if !order.is_empty() {
        player.differ(steps, order);
    }
    (steps, player.differences)
}

impl Player {
    fn differ(&mut self, step: usize, lines: Vec<String>) {
        let recorded = self.scene.steps.get(step);
        let about = recorded.map_or("order of versions".to_owned(), |s| {
            let request = s.request.as_ref().map(|r| format!("{} {}", r.method, r.path));
            format!("{} {}", request.unwrap_or_default(), s.note)
        });
        self.differences.push(Difference { step, about, lines });
    }

    /// Waits as recorded, and longer until what was recorded before this step has come.
    async fn pass_time(&mut self, step: usize) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let wait = self.scene.steps.get(step).and_then(|s| s.wait_s).unwrap_or(0.0);
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        let patience = if step == self.scene.steps.len() { 90_000 } else { 2_000 };
        for _ in 0..patience / 50 {
            if !self.is_behind(step) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn is_behind(&self, step: usize) -> bool {
        self.watches.iter().any(|watch| {
            let seen = held(&watch.seen);
            let Some(response) = &self.scene.steps[watch.step].response else { return false };
            let events = response.events.as_deref().unwrap_or_default();
            let due = events.iter().filter(|e| e.at_step < step && is_firm(&e.event));
            let due: usize = due.map(|e| compare::elided(&e.event).unwrap_or(1)).sum();
            let came = seen.events.iter().filter(|(_, e)| is_firm(e)).count();
            let end_due = response
                .ended
                .as_ref()
                .is_some_and(|e| e.by == "server" && e.at_step.is_some_and(|at| at < step));
            came < due || (end_due && seen.ended.is_none())
        })
    }

    async fn step(&mut self, index: usize) {
        let step = &self.scene.steps[index];
        if let Some(action) = &step.action {
            let name = action.name.clone();
            return self.act(&name).await;
        }
        let Some(repeat) = &step.repeat else { return self.ask(index, None).await };
        for turn in repeat.from..=repeat.to {
            self.ask(index, Some(turn)).await;
        }
    }

    async fn act(&mut self, name: &str) {
        match name {
            "compact-and-restart" => {
                self.cluster.compact();
                self.cluster.restart(Stop::Clean);
            }
            "kill-and-restart" => self.cluster.restart(Stop::Killed),
            "hold-seats" => self.cluster.set_faults(Faults {
                refusals: vec![Refusal { user: "oncall".to_owned(), retry_after_secs: 2 }],
                ..Faults::default()
            }),
            "seats-free" => self.cluster.set_faults(Faults::default()),
            other => panic!("the recordings have a new action, {other}"),
        }
    }

    fn request(&self, step: &Step, turn: Option<usize>) -> Request<Full<Bytes>> {
        let recorded = step.request.as_ref().expect("a step without an action is a request");
        let path = self.bindings.fill(&recorded.path, "").replace(' ', "%20");
        let mut builder = Request::builder().method(recorded.method.as_str()).uri(path);
        let mut has_agent = false;
        for (name, value) in &recorded.headers {
            has_agent |= name.eq_ignore_ascii_case("user-agent");
            let values = match value {
                Value::Array(values) => values.clone(),
                Value::Null => Vec::new(),
                one => vec![one.clone()],
            };
            for value in values {
                let recorded = if name == "If-None-Match" { own_etag(step) } else { value.as_str() };
                builder = builder.header(name, self.bindings.fill(recorded.unwrap_or_default(), ""));
            }
        }
        let by_token = recorded.user.as_deref().filter(|u| !u.starts_with("cert:"));
        if let (Some(user), false) = (by_token, recorded.headers.contains_key("Authorization")) {
            builder = builder.header("authorization", format!("Bearer {}", connect::token(user)));
        }
        if !has_agent {
            builder = builder.header("user-agent", "sluice-conformance/1");
        }
        let body = self.body(recorded, turn);
        builder
            .header("host", "127.0.0.1:6443")
            .body(Full::new(body))
            .expect("a recorded request is well formed")
    }

    fn body(&self, recorded: &scene::Request, turn: Option<usize>) -> Bytes {
        let text = match (&recorded.body, &recorded.body_text) {
            (Some(body), _) => self.fill_json(&body.0),
            (None, Some(text)) => self.bindings.fill(text, ""),
            (None, None) => String::new(),
        };
        let text = repeated(&text);
        let text = match turn {
            Some(turn) => text
                .replace("np-0000", &format!("np-{turn:04}"))
                .replace("\"i\": \"0\"", &format!("\"i\": \"{turn}\"")),
            None => text,
        };
        Bytes::from(text)
    }

    /// Fills a JSON body; times by their path.
    fn fill_json(&self, text: &str) -> String {
        if !text.contains("<time>") && !text.contains("<microtime>") {
            return self.bindings.fill(text, "");
        }
        let mut value: Value = serde_json::from_str(text).expect("a recorded body is JSON");
        fill_times(&mut value, "", &self.bindings);
        self.bindings.fill(&value.to_string(), "")
    }

    async fn ask(&mut self, index: usize, turn: Option<usize>) {
        let step = &self.scene.steps[index];
        let request = self.request(step, turn);
        let user = step.request.as_ref().and_then(|r| r.user.clone());
        let is_stream = step.response.as_ref().is_some_and(|r| r.events.is_some());
        let sending = connect::send(&self.cluster, connect::peer(user.as_deref()), request);
        let answer = match tokio::time::timeout(Duration::from_secs(100), sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return self.differ(index, vec![format!("no answer: {error}")]),
            Err(_) => return self.differ(index, vec!["no answer within 100 s".to_owned()]),
        };
        if turn.is_some_and(|turn| turn > 0) {
            return;
        }
        if is_stream && answer.status() == 200 {
            self.compare_head(index, &answer);
            self.follow(index, answer);
        } else {
            self.compare_answer(index, answer).await;
        }
    }

    fn compare_head(&mut self, index: usize, answer: &Response<Incoming>) {
        let response = self.scene.steps[index].response.as_ref().expect("a request has a response");
        let mut lines = Vec::new();
        if response.status != answer.status().as_u16() {
            lines.push(format!("status: recorded {}, got {}", response.status, answer.status()));
        }
        lines.extend(headers(&response.headers, answer.headers(), &mut self.bindings));
        if !lines.is_empty() {
            self.differ(index, lines);
        }
    }

    async fn compare_answer(&mut self, index: usize, answer: Response<Incoming>) {
        let (parts, body) = answer.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return self.differ(index, vec![format!("the body broke off: {error}")]),
        };
        let response = self.scene.steps[index].response.as_ref().expect("a request has a response");
        let mut lines = Vec::new();
        if response.status != parts.status.as_u16() {
            lines.push(format!("status: recorded {}, got {}", response.status, parts.status));
        }
        lines.extend(headers(&response.headers, &parts.headers, &mut self.bindings));
        let text = decoded(&parts.headers, &body);
        lines.extend(bodies(response, &text, &mut self.bindings));
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            self.bindings.note_times(&value, "");
        }
        if !lines.is_empty() {
            self.differ(index, lines);
        }
    }

    fn follow(&mut self, index: usize, answer: Response<Incoming>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let now_at = Arc::clone(&self.now_at);
        let into = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut body = answer.into_body();
            let mut rest = Vec::new();
            let clean = loop {
                let frame = match body.frame().await {
                    None => break true,
                    Some(Err(_)) => break false,
                    Some(Ok(frame)) => frame,
                };
                rest.extend_from_slice(frame.data_ref().map_or(&[][..], |b| b));
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event = serde_json::from_slice(&line).unwrap_or(Value::Null);
                    let step = *held(&now_at);
                    held(&into).events.push((step, event));
                }
            };
            let step = *held(&now_at);
            held(&into).ended = Some((step, clean));
        });
        self.watches.push(Watched { step: index, seen });
    }

    fn compare_watches(&mut self) {
        let watches = std::mem::take(&mut self.watches);
        for watch in watches {
            let seen = held(&watch.seen);
            let lines = self.compare_watch(watch.step, &seen);
            if !lines.is_empty() {
                self.differ(watch.step, lines);
            }
        }
    }

    fn compare_watch(&mut self, step: usize, seen: &Seen) -> Vec<String> {
        let Some(response) = &self.scene.steps[step].response else { return Vec::new() };
        let wanted: Vec<_> = response.events.iter().flatten().filter(|e| is_firm(&e.event)).collect();
        let got: Vec<_> = seen.events.iter().filter(|(_, e)| is_firm(e)).collect();
        let mut lines = Vec::new();
        let mut next = 0;
        for (i, event) in wanted.iter().enumerate() {
            if let Some(count) = compare::elided(&event.event) {
                next += count;
                continue;
            }
            let Some((at, actual)) = got.get(next) else {
                lines.push(format!("event {i}: missing {}", event.event));
                continue;
            };
            next += 1;
            self.bindings.is_list =
                event.event["type"] == "BOOKMARK" || event.event["object"]["kind"] == "Table";
            let mut found = compare::value(&event.event, actual, "", &mut self.bindings);
            if *at != event.at_step {
                found.push(format!("came at step {at}, recorded at step {}", event.at_step));
            }
            lines.extend(found.into_iter().map(|line| format!("event {i}: {line}")));
        }
        for (at, extra) in got.iter().skip(next) {
            lines.push(format!("event not recorded, at step {at}: {extra}"));
        }
        let end = response.ended.as_ref();
        match (end.map(|e| e.by.as_str()), seen.ended) {
            (Some("server"), None) => lines.push("the stream did not end".to_owned()),
            (Some("server"), Some((_, clean))) => {
                let wanted_clean = end.is_some_and(|e| e.how.starts_with("clean"));
                if clean != wanted_clean {
                    lines.push(format!("the stream ended cleanly: {clean}, recorded {wanted_clean}"));
                }
            }
            (Some(_) | None, Some(_)) => lines.push("the stream ended by itself".to_owned()),
            (Some(_) | None, None) => {}
        }
        self.bindings.is_list = false;
        lines
    }
}

/// What a lock guards; nobody panics while holding one.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

/// Bookmarks may come at any time, but for the one that ends the initial events.
fn is_firm(event: &Value) -> bool {
    event["type"] != "BOOKMARK" || event["object"]["metadata"]["annotations"].is_object()
}

fn fill_times(value: &mut Value, path: &str, bindings: &Bindings) {
    match value {
        Value::String(text) if text == "<time>" || text == "<microtime>" => *text = bindings.fill(text, path),
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                fill_times(item, &format!("{path}/{i}"), bindings);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                fill_times(field, &format!("{path}/{key}"), bindings);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The tag that a 304 repeats: recorded in the request as the real server's own.
fn own_etag(step: &Step) -> Option<&str> {
    step.response.as_ref()?.headers.get("etag")?.as_str()
}

/// Writes out `<repeat:3:x>` as `xxx`.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<repeat:") else { return text.to_owned() };
    let Some((inner, after)) = rest.split_once('>') else { return text.to_owned() };
    let (count, what) = inner.split_once(':').expect("a repeat names count and text");
    let count: usize = count.parse().expect("a count is a number");
    format!("{before}{}{}", what.repeat(count), repeated(after))
}

fn headers(
    wanted: &std::collections::BTreeMap<String, Value>,
    got: &HeaderMap,
    bindings: &mut Bindings,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, value) in wanted {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let mut all: Vec<&str> = got.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
        for value in values.iter().filter_map(Value::as_str) {
            match all.iter().position(|actual| compare::text(value, actual, false, bindings)) {
                Some(found) => drop(all.remove(found)),
                None => lines.push(format!("header {name}: recorded {value:?}, not among {all:?}")),
            }
        }
        lines.extend(all.iter().map(|actual| format!("header {name}: not recorded, got {actual:?}")));
    }
    let extra = got.keys().filter(|name| *name != "date" && !wanted.contains_key(name.as_str()));
    lines.extend(extra.map(|name| format!("header {name}: not recorded, got {:?}", got[name])));
    lines
}

fn decoded(headers: &HeaderMap, body: &Bytes) -> String {
    if headers.get("content-encoding").is_some_and(|v| v == "gzip") {
        let mut text = String::new();
        let _ = flate2::read::GzDecoder::new(body.as_ref()).read_to_string(&mut text);
        return text;
    }
    String::from_utf8_lossy(body).into_owned()
}

fn bodies(response: &scene::Response, text: &str, bindings: &mut Bindings) -> Vec<String> {
    match (&response.body, &response.body_text) {
        (Some(wanted), _) => {
            let Ok(actual) = serde_json::from_str::<Value>(text) else {
                return vec![format!("body: not JSON: {text:?}")];
            };
            let kind = wanted["kind"].as_str().unwrap_or_default();
            bindings.is_list = kind.ends_with("List") || kind == "Table";
            let lines = compare::value(wanted, &actual, "", bindings);
            bindings.is_list = false;
            lines
        }
        (None, Some(wanted)) => {
            let is_yaml =
                response.headers.get("content-type").is_some_and(|t| t.to_string().contains("yaml"));
            let parsed = |text: &str| serde_yaml::from_str::<Value>(text).ok().filter(|_| is_yaml);
            match (parsed(wanted), parsed(text)) {
                (Some(wanted), Some(actual)) => compare::value(&wanted, &actual, "", bindings),
                _ if compare::text(wanted, text, false, bindings) => Vec::new(),
                _ => vec![format!("body: recorded {wanted:?}\n got {text:?}")],
            }
        }
        (None, None) if text.is_empty() => Vec::new(),
        (None, None) => vec![format!("body: recorded none, got {text:?}")],
    }
}
