//! Reads one cluster's collector for the cockpit: its state every half minute, edges when asked.
//! What it says is hostile until parsed: bounded in bytes, lines and time. Its facts go to the
//! inbox; without a collector nothing here runs.

use chrono::TimeDelta;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep_until, timeout},
};

use super::wire;
use crate::{
    cockpit::ports::{Baseline, ClusterFact, CollectorState, Fact, Link, Trouble},
    domain::{
        coverage::Coverage,
        edge::Window,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    edges,
    flows::source::{Backoff, Closed, Dial, Inbox},
};

/// How often the state is read.
pub const EVERY: Duration = Duration::from_secs(30);
/// How far back edges are asked for, from the newest that the collector has.
pub const WINDOW: TimeDelta = TimeDelta::days(7);
/// Namespaces that may wait to be read.
pub const ASKS: usize = 64;
const ANSWER: Duration = Duration::from_secs(30);
const STATE_BYTES: usize = 32 << 20;
const LINE_BYTES: usize = 64 << 10;
/// Edges of one answer; more are counted.
const EDGES: usize = 100_000;

/// Reads until the inbox closes. Namespaces whose edges are wanted come through `asks`.
pub async fn run(cluster: ClusterName, dial: Dial, asks: mpsc::Receiver<NsName>, inbox: mpsc::Sender<Fact>) {
    let closed = inbox.clone();
    let object = format!("collector of {cluster}");
    let inbox = Inbox::new(cluster, inbox);
    let visitor = Visitor { object, state: bare(Link::Connecting), open: None };
    let mut reader = Reader { visitor, inbox };
    tokio::select! {
        () = closed.closed() => {}
        _ = reader.for_ever(&dial, asks) => {}
    }
}

/// Its state, read once.
pub async fn once(object: &str, dial: &Dial) -> Result<CollectorState, Trouble> {
    let mut visitor = Visitor { object: object.to_owned(), state: bare(Link::Connecting), open: None };
    visitor.state_now(dial).await
}

/// A collector of which nothing is known but its link.
pub fn bare(link: Link) -> CollectorState {
    CollectorState {
        link,
        version: None,
        sources: Vec::new(),
        window: None,
        coverage: Coverage::default(),
        edges: Vec::new(),
        troubles: Vec::new(),
    }
}

/// Reads again and again, and tells.
struct Reader {
    visitor: Visitor,
    inbox: Inbox,
}

/// The way to one collector.
struct Visitor {
    object: String,
    /// What was read last; it stays in sight while the link is broken.
    state: CollectorState,
    open: Option<SendRequest<Empty<Bytes>>>,
}

impl Reader {
    async fn for_ever(&mut self, dial: &Dial, mut asks: mpsc::Receiver<NsName>) -> Result<(), Closed> {
        let mut backoff = Backoff::default();
        self.tell().await?;
        let mut next = Instant::now();
        loop {
            let asked = tokio::select! {
                biased;
                Some(ns) = asks.recv() => Some(ns),
                () = sleep_until(next) => None,
            };
            match asked {
                Some(ns) => self.read_edges(dial, ns).await?,
                None => {
                    let well = self.read_state(dial).await?;
                    next = Instant::now() + if well { EVERY } else { backoff.pause() };
                    if well {
                        backoff.reset();
                    }
                }
            }
        }
    }

    async fn tell(&self) -> Result<(), Closed> {
        self.inbox.send(ClusterFact::Collector(Box::new(self.visitor.state.clone()))).await
    }

    async fn read_state(&mut self, dial: &Dial) -> Result<bool, Closed> {
        let read = match timeout(ANSWER, self.visitor.state_now(dial)).await {
            Ok(read) => read,
            Err(_) => Err(self.visitor.trouble("no answer within 30 s", "Look at its log and its load.")),
        };
        let well = read.is_ok();
        match read {
            Ok(state) => self.visitor.state = state,
            Err(trouble) => {
                self.visitor.open = None;
                self.visitor.state.link = Link::Broken(trouble);
            }
        }
        self.tell().await?;
        Ok(well)
    }

    /// Edges of a namespace, of the last week that the collector knows.
    async fn read_edges(&mut self, dial: &Dial, ns: NsName) -> Result<(), Closed> {
        if self.visitor.state.window.is_none() {
            self.read_state(dial).await?;
        }
        let known = self.visitor.state.window;
        let window = known.map(|known| Window { from: known.from.max(known.to - WINDOW), ..known });
        let window = window.unwrap_or(Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH });
        let mut baseline = Baseline { ns, window, edges: Vec::new(), left_out: 0, trouble: None };
        let read = match known {
            Some(_) => timeout(ANSWER, self.visitor.edges_now(dial, &mut baseline)).await,
            None => Ok(Err(self.visitor.trouble("it has gathered nothing yet", "Wait for its first flows."))),
        };
        let trouble = match read {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble),
            Err(_) => Some(self.visitor.trouble("the edges did not come within 30 s", "Look at its load.")),
        };
        if trouble.is_some() {
            self.visitor.open = None;
        }
        baseline.trouble = baseline.trouble.or(trouble);
        self.inbox.send(ClusterFact::Baseline(Box::new(baseline))).await
    }
}

impl Visitor {
    async fn state_now(&mut self, dial: &Dial) -> Result<CollectorState, Trouble> {
        let mut body = self.get(dial, "/v1/state").await?;
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(&mut body).await? {
            if bytes.len() + piece.len() > STATE_BYTES {
                return Err(self.foreign("its state is larger than 32 MiB"));
            }
            bytes.extend_from_slice(&piece);
        }
        wire::from_json(&bytes).map_err(|bad| self.foreign(&bad.to_string()))
    }

    async fn edges_now(&mut self, dial: &Dial, baseline: &mut Baseline) -> Result<(), Trouble> {
        let time = |at: Timestamp| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        // The window's last moment has been seen: the answer's end must be after it.
        let to = baseline.window.to + TimeDelta::seconds(1);
        let path = format!(
            "/v1/edges?namespace={}&from={}&to={}",
            baseline.ns,
            time(baseline.window.from),
            time(to)
        );
        let mut body = self.get(dial, &path).await?;
        let mut rest = Vec::new();
        while let Some(piece) = self.piece(&mut body).await? {
            rest.extend_from_slice(&piece);
            let whole = memchr::memrchr(b'\n', &rest).map_or(0, |end| end + 1);
            for line in rest[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.take_line(line, baseline);
            }
            rest.drain(..whole);
            if rest.len() > LINE_BYTES {
                return Err(self.foreign("a line of its edges is larger than 64 KiB"));
            }
        }
        Ok(())
    }

    /// One that cannot be read costs itself only.
    fn take_line(&self, line: &[u8], baseline: &mut Baseline) {
        if baseline.edges.len() == EDGES {
            baseline.left_out += 1;
            return;
        }
        let edge = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned());
        let edge = edge.and_then(|line| edges::from_line(line).map_err(|bad| bad.to_string()));
        match edge {
            Ok((key, edge)) if key.ns == baseline.ns => baseline.edges.push((key, edge)),
            Ok(_) => baseline.left_out += 1,
            Err(why) => {
                baseline.left_out += 1;
                let fact = format!("an edge of {} cannot be read: {why}", baseline.ns);
                baseline.trouble.get_or_insert_with(|| self.foreign(&fact));
            }
        }
    }

    async fn get(&mut self, dial: &Dial, path: &str) -> Result<Incoming, Trouble> {
        let mut sender = match self.open.take() {
            Some(sender) if sender.is_ready() => sender,
            Some(_) | None => self.connect(dial).await?,
        };
        let request = Request::get(path)
            .header(header::HOST, "sluice-collect")
            .body(Empty::new())
            .map_err(|_| self.foreign("the request could not be formed"))?;
        let answer = sender.send_request(request).await.map_err(|error| self.silent(&error))?;
        self.open = Some(sender);
        if answer.status() != StatusCode::OK {
            return Err(self.foreign(&format!("it answered {path} with HTTP {}", answer.status().as_u16())));
        }
        Ok(answer.into_body())
    }

    async fn connect(&self, dial: &Dial) -> Result<SendRequest<Empty<Bytes>>, Trouble> {
        let next = "Check that sluice collect runs and listens there, and that the network lets us through.";
        let named = |trouble: Trouble| match trouble.object.as_str().strip_prefix("relay ") {
            // The dial's words for an address are those for a relay.
            Some(address) => self.trouble(&format!("{address}: {}", trouble.fact), next),
            None => trouble,
        };
        let stream = dial().await.map_err(named)?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| self.silent(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Trouble> {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => return Ok(Some(piece)),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Err(self.silent(&error)),
                None => return Ok(None),
            }
        }
    }

    fn silent(&self, error: &hyper::Error) -> Trouble {
        self.trouble(
            &format!("the connection broke: {error}"),
            "It is tried again by itself; see its log if this stays.",
        )
    }

    fn foreign(&self, fact: &str) -> Trouble {
        self.trouble(fact, "Check that sluice collect listens there, of the same version as this sluice.")
    }

    fn trouble(&self, fact: &str, next: &str) -> Trouble {
        Trouble::new(&self.object, &Text::new(fact).to_string(), next)
    }
}
