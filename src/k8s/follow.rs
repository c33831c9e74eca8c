//! One watched list, for ever: list in pages, then watch, and list again when the server has
//! forgotten. Plain list and watch, not streaming lists, which some servers refuse. A list that is
//! refused is told as one missing part; the others go on. Its facts go to the cluster's inbox.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    cockpit::ports::{Change, ClusterFact, Fact, Trouble},
    domain::{
        fleet::{NamespaceSeen, Part, Pod},
        names::{ClusterName, NsName, PodName, Text},
        policy::{Bodies, Policy, PolicyKey, PolicyKind},
    },
};

use super::{
    decode::{self, MetaOnly, PodWire},
    failure::Failure,
    listed::{self, ListMeta},
    wire::{self, Call, Server},
};

const PAGE: usize = 500;
/// Unreadable objects remembered of one list.
const UNREADABLE: usize = 100;
/// The server ends a watch after this; we open the next.
const WATCH_SECS: u64 = 290;
/// A watch without a line for this long is dead, as when a network broke and nobody closed the
/// connection: bookmarks come every minute. A server that sends none is only asked anew, from the
/// version before.
const WATCH_SILENCE: Duration = Duration::from_secs(130);

/// Where what is told of one cluster goes: facts to the world, or something else to who asked for it.
pub struct Out<F = Fact> {
    pub cluster: ClusterName,
    pub inbox: mpsc::Sender<F>,
}

impl<F> Clone for Out<F> {
    fn clone(&self) -> Self {
        Self { cluster: self.cluster.clone(), inbox: self.inbox.clone() }
    }
}

impl<F> Out<F> {
    /// Waits for room. When nobody listens any more, waits for ever: the task is about to be dropped.
    pub async fn send(&self, fact: F) {
        if self.inbox.send(fact).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Out {
    pub async fn tell(&self, fact: ClusterFact) {
        self.send(Fact::Cluster(self.cluster.clone(), fact)).await;
    }

    pub async fn part(&self, what: Part, trouble: Option<Trouble>) {
        self.tell(ClusterFact::Partial { what, trouble }).await;
    }
}

/// A kind of object that is followed.
pub trait Watched: Send + Sync {
    type Wire: DeserializeOwned + Send;
    type Seen: Send;
    type Key: Send;
    /// What is told.
    type Told: Send;
    fn name(&self) -> &'static str;
    fn path(&self) -> String;
    /// Media types of the list and of the watch.
    fn accept(&self) -> (&'static str, &'static str);
    /// `namespace/name` and the version.
    fn head(wire: &Self::Wire) -> (String, Option<String>);
    fn decode(&self, wire: &Self::Wire) -> Result<Self::Seen, Text>;
    fn key(&self, seen: Self::Seen) -> Self::Key;
    fn fact(&self, cluster: &ClusterName, change: Change<Self::Seen, Self::Key>) -> Self::Told;
    /// The list is missing or old; without a trouble it is well again.
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Self::Told;
    /// One object cannot be read; `id` is `namespace/name`, or empty. Told nothing: it counts as a
    /// trouble of the list, and what was known of it stays.
    fn unreadable(&self, _id: &str, _why: &Text) -> Vec<Self::Told> {
        Vec::new()
    }
    /// What is not served is empty, not missing.
    fn may_be_absent(&self) -> bool {
        false
    }
}

/// One part of a cluster is missing, or there again.
pub fn partial(cluster: &ClusterName, what: Part, trouble: Option<Trouble>) -> Fact {
    Fact::Cluster(cluster.clone(), ClusterFact::Partial { what, trouble })
}

pub struct Namespaces;
pub struct Pods;
/// Policies of a kind, and the bodies that those of all clusters share.
pub struct Policies(pub PolicyKind, pub SharedBodies);

/// One store of bodies for the readers of all clusters, so that lists under way are small too.
#[derive(Clone, Debug, Default)]
pub struct SharedBodies(Arc<Mutex<Bodies>>);

impl SharedBodies {
    fn share(&self, policy: &mut Policy) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).share(policy);
    }
}

impl Watched for Namespaces {
    type Wire = MetaOnly;
    type Seen = NamespaceSeen;
    type Key = NsName;
    type Told = Fact;
    fn name(&self) -> &'static str {
        "namespaces"
    }
    fn path(&self) -> String {
        "/api/v1/namespaces".to_owned()
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::METADATA_LIST, wire::METADATA)
    }
    fn head(wire: &MetaOnly) -> (String, Option<String>) {
        wire.metadata.head()
    }
    fn decode(&self, wire: &MetaOnly) -> Result<NamespaceSeen, Text> {
        decode::namespace(&wire.metadata)
    }
    fn key(&self, seen: NamespaceSeen) -> NsName {
        seen.name
    }
    fn fact(&self, cluster: &ClusterName, change: Change<NamespaceSeen, NsName>) -> Fact {
        Fact::Cluster(cluster.clone(), ClusterFact::Namespaces(change))
    }
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Fact {
        partial(cluster, Part::Namespaces, trouble)
    }
}

impl Watched for Pods {
    type Wire = PodWire;
    type Seen = Pod;
    type Key = (NsName, PodName);
    type Told = Fact;
    fn name(&self) -> &'static str {
        "pods"
    }
    fn path(&self) -> String {
        "/api/v1/pods".to_owned()
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &PodWire) -> (String, Option<String>) {
        wire.metadata.head()
    }
    fn decode(&self, wire: &PodWire) -> Result<Pod, Text> {
        decode::pod(wire)
    }
    fn key(&self, seen: Pod) -> (NsName, PodName) {
        (seen.ns, seen.name)
    }
    fn fact(&self, cluster: &ClusterName, change: Change<Pod, (NsName, PodName)>) -> Fact {
        Fact::Cluster(cluster.clone(), ClusterFact::Pods(change))
    }
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Fact {
        partial(cluster, Part::Pods, trouble)
    }
}

impl Watched for Policies {
    type Wire = Value;
    type Seen = Policy;
    type Key = PolicyKey;
    type Told = Fact;
    fn name(&self) -> &'static str {
        match self.0 {
            PolicyKind::NetworkPolicy => "network policies",
            PolicyKind::CiliumNetworkPolicy => "Cilium network policies",
            PolicyKind::CiliumClusterwideNetworkPolicy => "Cilium clusterwide network policies",
        }
    }
    fn path(&self) -> String {
        wire::policies_path(self.0, None)
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &Value) -> (String, Option<String>) {
        let text = |field: &str| wire["metadata"][field].as_str().map(str::to_owned);
        let id = format!("{}/{}", text("namespace").unwrap_or_default(), text("name").unwrap_or_default());
        (id, text("resourceVersion"))
    }
    fn decode(&self, wire: &Value) -> Result<Policy, Text> {
        let mut policy = decode::policy(self.0, wire)?;
        self.1.share(&mut policy);
        Ok(policy)
    }
    fn key(&self, seen: Policy) -> PolicyKey {
        seen.key
    }
    fn fact(&self, cluster: &ClusterName, change: Change<Policy, PolicyKey>) -> Fact {
        Fact::Cluster(cluster.clone(), ClusterFact::Policies(self.0, change))
    }
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Fact {
        partial(cluster, Part::Policies(self.0), trouble)
    }
    fn may_be_absent(&self) -> bool {
        self.0 != PolicyKind::NetworkPolicy
    }
}

/// Waiting times after failures: 1 s doubling to 30 s, spread by a seed so that clusters behind one
/// proxy do not come back in step.
pub struct Backoff {
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    pub fn new(seed: &str) -> Self {
        let seed = seed.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self { failures: 0, random: fastrand::Rng::with_seed(seed) }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn next(&mut self) -> Duration {
        let secs = f64::from(1_u32 << self.failures.min(5)).min(30.0);
        self.failures += 1;
        Duration::from_secs_f64(secs * (0.8 + 0.2 * self.random.f64()))
    }
}

/// Follows a kind for ever; dropped with its session.
pub async fn follow<K: Watched>(kind: K, server: Server, out: Out<K::Told>) {
    let mut follower = Follower {
        backoff: Backoff::new(&format!("{} {}", out.cluster, kind.name())),
        kind,
        server,
        out,
        troubled: false,
        unreadable: BTreeMap::new(),
    };
    loop {
        let began = Instant::now();
        match follower.round().await {
            // Forgotten versions are read anew at once, but not in a tight loop.
            Ok(()) if began.elapsed() < Duration::from_secs(30) => sleep(follower.backoff.next()).await,
            Ok(()) => follower.backoff.reset(),
            // A page token grew old in the middle of the list: nothing is wrong, it is read anew.
            Err(failure) if failure.code() == Some(410) => sleep(follower.backoff.next()).await,
            Err(failure) => follower.fail(&failure).await,
        }
    }
}

struct Follower<K: Watched> {
    kind: K,
    server: Server,
    out: Out<K::Told>,
    backoff: Backoff,
    /// A trouble was told and not taken back yet.
    troubled: bool,
    /// Objects that cannot be read, with why; at most [`UNREADABLE`].
    unreadable: BTreeMap<String, Text>,
}

/// How a watch ended.
enum End {
    /// Cleanly or by a broken connection: go on from the last version.
    Resume,
    /// The server has forgotten the version: list again.
    Expired,
}

impl<K: Watched> Follower<K> {
    /// List, then watch until the list has to be read anew.
    async fn round(&mut self) -> Result<(), Failure> {
        let (seen, mut version) = self.list().await?;
        self.tell(Change::Reset(seen)).await;
        self.well().await;
        loop {
            let began = Instant::now();
            match self.watch(&mut version).await {
                Ok(End::Expired) => return Ok(()),
                // A server that ends watches at once must not be asked in a tight loop.
                Ok(End::Resume) if began.elapsed() < Duration::from_secs(30) => {
                    sleep(self.backoff.next()).await;
                }
                Ok(End::Resume) => self.backoff.reset(),
                Err(failure) if failure.code() == Some(410) => return Ok(()),
                Err(failure) => self.fail(&failure).await,
            }
        }
    }

    async fn tell(&self, change: Change<K::Seen, K::Key>) {
        self.out.send(self.kind.fact(&self.out.cluster, change)).await;
    }

    async fn list(&mut self) -> Result<(Vec<K::Seen>, String), Failure> {
        self.unreadable.clear();
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let mut path = format!("{}?limit={PAGE}", self.kind.path());
            if !token.is_empty() {
                path.push_str("&continue=");
                path.push_str(&escaped(&token));
            }
            let call = Call { accept: self.kind.accept().0, ..Call::get(path) };
            let body = match self.server.bytes(call).await {
                Err(failure) if failure.code() == Some(404) && self.kind.may_be_absent() => {
                    // Looked at again after the backoff of an empty watch.
                    return Ok((Vec::new(), String::new()));
                }
                answer => answer?,
            };
            let (metadata, items) = page(&self.kind, &body)?;
            drop(body);
            for item in items {
                match item {
                    Ok(object) => seen.push(object),
                    Err((id, why)) => self.note_unreadable(id, why).await,
                }
            }
            token = metadata.r#continue;
            if token.is_empty() {
                return Ok((seen, metadata.resource_version));
            }
        }
    }

    async fn note_unreadable(&mut self, id: String, why: Text) {
        let told = self.kind.unreadable(&id, &why);
        if !told.is_empty() {
            for told in told {
                self.out.send(told).await;
            }
        } else if self.unreadable.len() < UNREADABLE {
            self.unreadable.insert(id, why);
        }
    }

    async fn watch(&mut self, version: &mut String) -> Result<End, Failure> {
        if version.is_empty() {
            // Not served: look again later.
            sleep(Duration::from_secs(60)).await;
            return Ok(End::Expired);
        }
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECS}&resourceVersion={}",
            self.kind.path(),
            escaped(version)
        );
        let mut lines = self.server.watch(path, self.kind.accept().1).await?;
        self.well().await;
        loop {
            let line = match timeout(WATCH_SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                // A broken watch is nothing to tell: the next one says whether anything is wrong.
                Ok(Ok(None) | Err(_)) | Err(_) => return Ok(End::Resume),
            };
            if let Some(end) = self.event(&line, version).await? {
                return Ok(end);
            }
        }
    }

    async fn event(&mut self, line: &[u8], version: &mut String) -> Result<Option<End>, Failure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let Ok(event) = serde_json::from_slice::<Event<K::Wire>>(line) else {
            self.note_unreadable(String::new(), Text::new("an event of another form")).await;
            self.well().await;
            return Ok(None);
        };
        let (wire, gone) = match event {
            Event::Added(wire) | Event::Modified(wire) => (wire, false),
            Event::Deleted(wire) => (wire, true),
            Event::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                return Ok(None);
            }
            Event::Error(status) if status.code == 410 => return Ok(Some(End::Expired)),
            Event::Error(status) => {
                let body = format!(r#"{{"message":{}}}"#, Value::from(status.message));
                return Err(Failure::of_answer(status.code, wire::JSON, None, body.as_bytes()));
            }
        };
        let (id, newer) = K::head(&wire);
        if let Some(newer) = newer {
            *version = newer;
        }
        let was_unreadable = self.unreadable.remove(&id).is_some();
        match self.kind.decode(&wire) {
            Ok(seen) if gone => {
                let key = self.kind.key(seen);
                self.tell(Change::Gone(key)).await;
            }
            Ok(seen) => self.tell(Change::Put(seen)).await,
            Err(_) if gone => {}
            Err(why) => self.note_unreadable(id.clone(), why).await,
        }
        if was_unreadable || self.unreadable.contains_key(&id) {
            self.well().await;
        }
        Ok(None)
    }

    /// The list is whole again, or all but the objects that could not be read.
    async fn well(&mut self) {
        let trouble = self.unreadable.values().next().map(|why| {
            let object = format!("{} of {}", self.kind.name(), self.out.cluster);
            Trouble::new(&object, &format!("one cannot be read: {why}"), "Look at it with kubectl.")
        });
        if self.troubled || trouble.is_some() {
            self.troubled = trouble.is_some();
            self.out.send(self.kind.trouble(&self.out.cluster, trouble)).await;
        }
    }

    async fn fail(&mut self, failure: &Failure) {
        self.troubled = true;
        let object = format!("{} of {}", self.kind.name(), self.out.cluster);
        let trouble = Some(failure.trouble(&object));
        self.out.send(self.kind.trouble(&self.out.cluster, trouble)).await;
        let asked = match failure {
            Failure::Refused(refused) => refused.retry_after.unwrap_or_default(),
            Failure::Unreached { .. } | Failure::Silent { .. } | Failure::Foreign(_) => Duration::ZERO,
        };
        sleep(self.backoff.next().max(asked.min(Duration::from_secs(30)))).await;
    }
}

/// What could be read of an object, or its `namespace/name` and why it could not.
type Decoded<T> = Result<T, (String, Text)>;
type Seen<K> = Vec<Decoded<<K as Watched>::Seen>>;

/// Reads a page; only if that fails, whatever of its objects can be read.
fn page<K: Watched>(kind: &K, body: &[u8]) -> Result<(ListMeta, Seen<K>), Failure> {
    let decode = |wire: K::Wire| kind.decode(&wire).map_err(|why| (K::head(&wire).0, why));
    listed::each(body, decode).or_else(|_| {
        let either = |value: Value| match serde_json::from_value(value) {
            Ok(wire) => decode(wire),
            Err(_) => Err((String::new(), Text::new("an object of another form"))),
        };
        listed::each(body, either)
    })
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Event<W> {
    Added(W),
    Modified(W),
    Deleted(W),
    Bookmark(MetaOnly),
    Error(StatusWire),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusWire {
    code: u16,
    message: String,
}

/// A query value, percent-encoded.
pub fn escaped(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use kube::client::Body;

    use super::*;

    #[test]
    fn one_bad_object_does_not_cost_the_page() {
        let body = br#"{"metadata":{"resourceVersion":"7","continue":""},"items":[
            {"metadata":{"name":"a"}}, {"metadata":{"name":7}}, {"metadata":{"name":"b"}}]}"#;
        let (metadata, items) = page(&Namespaces, body).expect("a list");
        let names: Vec<_> =
            items.iter().map(|item| item.as_ref().map_or("?", |seen| seen.name.as_str())).collect();
        assert_eq!((names, metadata.resource_version.as_str()), (vec!["a", "?", "b"], "7"));
    }

    #[test]
    fn waiting_grows_to_half_a_minute_and_starts_anew() {
        let mut backoff = Backoff::new("x");
        let waits: Vec<_> = (0..7).map(|_| backoff.next().as_secs_f64()).collect();
        for (wait, most) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
            assert!((most * 0.8..=most).contains(wait), "{wait} of {most}");
        }
        backoff.reset();
        assert!(backoff.next().as_secs_f64() <= 1.0);
    }

    /// Answers lists with nothing and watches with a body that never says a word.
    fn half_open(watches: &Arc<AtomicUsize>) -> Server {
        let watches = watches.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=1"));
            let body = if is_watch {
                watches.fetch_add(1, Ordering::Relaxed);
                StreamBody::new(futures::stream::pending::<Result<_, std::io::Error>>()).boxed_unsync()
            } else {
                let list = Bytes::from_static(br#"{"metadata":{"resourceVersion":"7"},"items":[]}"#);
                Full::new(list).map_err(|never| match never {}).boxed_unsync()
            };
            std::future::ready(Ok::<_, std::io::Error>(http::Response::new(body)))
        });
        Server::new(kube::Client::new(service, "default"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_says_nothing_is_given_up_after_two_bookmarks_were_due() {
        let (watches, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let (inbox, mut told) = mpsc::channel(64);
        let out = Out { cluster: ClusterName::parse("one").expect("a name"), inbox };
        tokio::spawn(follow(Namespaces, half_open(&watches), out));
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        // By hand: 130 s and 260 s after the start.
        for (until, opened) in [(1, 1), (129, 1), (131, 2), (259, 2), (261, 3)] {
            tokio::time::sleep_until(began + Duration::from_secs(until)).await;
            assert_eq!(watches.load(Ordering::Relaxed), opened, "after {until} s");
        }
    }

    #[test]
    fn tokens_are_escaped() {
        assert_eq!(escaped("a+b/c=="), "a%2Bb%2Fc%3D%3D");
    }
}
