//! The way into one context, kept by all who go there: its exec plugin runs once for all of them, and
//! again only near the end of what it gave or after the server refused that. Clients themselves are
//! made anew, so that a rollback never waits on a connection that died in somebody else's hands.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use kube::config::{AuthInfo, Config, Kubeconfig};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};

use crate::{
    cockpit::ports::Trouble,
    domain::{names::Text, time::Timestamp},
};

use super::{
    kubeconfig::{self, Files},
    plugin,
};

/// Nobody waits longer for credentials; the plugin goes on, for a login may take its time.
pub(super) const CREDENTIALS: Duration = Duration::from_secs(20);
/// Credentials are renewed this long before they end, while they still serve.
const EARLY: TimeDelta = TimeDelta::seconds(60);
/// A renewal that failed is not tried again before this.
const PAUSE: Duration = Duration::from_secs(10);

/// A context.
pub struct Door {
    files: Arc<Files>,
    context: String,
    random: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: Option<Ready>,
    /// The last ready one that the server refused.
    refused: Option<u64>,
    /// The one build that is under way, or the last one.
    build: Option<Build>,
    /// Builds begun so far.
    built: u64,
}

type Outcome = Shared<BoxFuture<'static, Result<Ready, Trouble>>>;

struct Build {
    of: u64,
    began: Instant,
    outcome: Outcome,
    task: AbortHandle,
}

/// What a client is made from, credentials included.
#[derive(Clone)]
pub struct Ready {
    pub(super) number: u64,
    /// Tells what the kubeconfig said from what it says later.
    of: u64,
    object: Arc<str>,
    config: Arc<Config>,
    /// When the credentials end.
    until: Option<Timestamp>,
}

impl Door {
    pub fn new(files: Arc<Files>, context: &str) -> Self {
        Self {
            files,
            context: context.to_owned(),
            random: RandomState::new(),
            state: Mutex::new(State::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self) -> String {
        format!("context {}", Text::new(&self.context))
    }

    /// The server does not accept these credentials: the next to come gets others.
    pub(super) fn refuse(&self, number: u64) {
        let mut state = self.state();
        state.refused = state.refused.max(Some(number));
    }

    pub(super) fn refuse_latest(&self) {
        let mut state = self.state();
        state.refused = state.ready.as_ref().map(|ready| ready.number).max(state.refused);
    }

    /// For a new connection: by the files as they are now, and never what the server refused.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Ready, Trouble> {
        let kubeconfig = self.files.now().await;
        let found = kubeconfig::find(&kubeconfig, &self.context, &self.object())?;
        let of = self.random.hash_one(found.written());
        let now = now();
        let outcome = {
            let mut state = self.state();
            let known = state.ready.as_ref().filter(|it| it.of == of && state.refused < Some(it.number));
            match known.filter(|known| !known.ends(now)).cloned() {
                Some(known) => {
                    if known.ends(now + EARLY) {
                        self.renew(&mut state, &known);
                    }
                    return Ok(known);
                }
                None => self.build(&mut state, &kubeconfig, of),
            }
        };
        self.wait(outcome).await
    }

    /// For a request on a connection that stands: what serves now. Here nothing is built because the
    /// server refused something: who connects anew does that.
    pub(super) async fn stay(self: &Arc<Self>) -> Result<Ready, Trouble> {
        let now = now();
        {
            let mut state = self.state();
            if let Some(known) = state.ready.clone().filter(|known| !known.ends(now)) {
                if known.ends(now + EARLY) {
                    self.renew(&mut state, &known);
                }
                return Ok(known);
            }
        }
        self.enter().await
    }

    /// Begins to renew what still serves; nobody waits for it.
    fn renew(self: &Arc<Self>, state: &mut State, known: &Ready) {
        if state.build.as_ref().is_none_or(|build| build.began.elapsed() >= PAUSE) {
            drop(self.build(state, &self.files.held(), known.of));
        }
    }

    /// The build that is under way, or a new one. One for what the kubeconfig said before is ended.
    fn build(self: &Arc<Self>, state: &mut State, kubeconfig: &Arc<Kubeconfig>, of: u64) -> Outcome {
        if let Some(build) = &state.build {
            if build.of == of && build.outcome.peek().is_none() {
                return build.outcome.clone();
            }
            build.task.abort();
        }
        state.built += 1;
        let (door, kubeconfig, number) = (self.clone(), kubeconfig.clone(), state.built);
        let task = tokio::spawn(async move {
            let ready = door.ready(kubeconfig, of, number).await?;
            door.state().ready = Some(ready.clone());
            Ok(ready)
        });
        let (abort, object) = (task.abort_handle(), self.object());
        let outcome =
            task.map(move |ended| ended.unwrap_or_else(|_| Err(not_made(&object)))).boxed().shared();
        // Polled by the first who waits; `peek` has to know an outcome that nobody waited for, too.
        tokio::spawn(outcome.clone().map(drop));
        state.build = Some(Build { of, began: Instant::now(), outcome: outcome.clone(), task: abort });
        outcome
    }

    async fn wait(&self, outcome: Outcome) -> Result<Ready, Trouble> {
        timeout(CREDENTIALS, outcome).await.unwrap_or_else(|_| {
            let fact = format!("its exec plugin did not answer within {} s", CREDENTIALS.as_secs());
            Err(Trouble::new(&self.object(), &fact, "Run the plugin by hand; it may wait for a login."))
        })
    }

    async fn ready(
        self: &Arc<Self>,
        kubeconfig: Arc<Kubeconfig>,
        of: u64,
        number: u64,
    ) -> Result<Ready, Trouble> {
        let (door, object) = (self.clone(), self.object());
        // Reads files.
        let config = tokio::task::spawn_blocking(move || {
            let object = door.object();
            kubeconfig::find(&kubeconfig, &door.context, &object)?.config(&door.files.proxies, &object)
        });
        let mut config = config.await.map_err(|_| not_made(&object))??;
        let until = credentials(&mut config.auth_info).await.map_err(|fact| {
            let next = "Run the plugin by hand, or sign in again.";
            Trouble::new(&object, fact.as_str(), next)
        })?;
        Ok(Ready { number, of, object: object.into(), config: Arc::new(config), until })
    }
}

/// Puts what an exec plugin gives in its place, and says when that ends.
async fn credentials(user: &mut AuthInfo) -> Result<Option<Timestamp>, Text> {
    // As kube has it: whatever the user has beside comes first.
    let has_other = user.auth_provider.is_some()
        || user.token.is_some()
        || user.token_file.is_some()
        || (user.username.is_some() && user.password.is_some());
    let Some(exec) = user.exec.take().filter(|_| !has_other) else { return Ok(None) };
    let given = plugin::run(&exec).await?;
    user.token = given.token.map(Into::into);
    if let Some((certificate, key)) = given.certificate {
        user.client_certificate_data = Some(STANDARD.encode(certificate));
        user.client_key_data = Some(STANDARD.encode(key).into());
    }
    Ok(given.until)
}

/// Credentials end by the clock on the wall, which goes on while the machine sleeps.
#[expect(clippy::disallowed_methods, reason = "the end of credentials is a time of this machine's own clock")]
fn now() -> Timestamp {
    chrono::Utc::now()
}

impl Ready {
    fn ends(&self, by: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= by)
    }

    /// A client of its own connections. A command of the auth provider `gcp`, which Kubernetes has no
    /// more, runs in here.
    pub(super) async fn client(&self) -> Result<kube::Client, Trouble> {
        let (runtime, config) = (tokio::runtime::Handle::current(), Config::clone(&self.config));
        let build = tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            kube::Client::try_from(config)
        });
        match timeout(CREDENTIALS, build).await {
            Ok(Ok(Ok(client))) => Ok(client),
            Ok(Ok(Err(error))) => Err(client_trouble(&self.object, &error)),
            Ok(Err(_)) => Err(not_made(&self.object)),
            Err(_) => Err(Trouble::new(
                &self.object,
                &format!("its auth provider did not answer within {} s", CREDENTIALS.as_secs()),
                "Use an exec plugin in place of it.",
            )),
        }
    }
}

fn not_made(object: &str) -> Trouble {
    Trouble::new(object, "its client could not be made", "Look at the log file.")
}

pub(super) fn client_trouble(object: &str, error: &kube::Error) -> Trouble {
    match error {
        // The text may hold what a command printed.
        kube::Error::Auth(_) => Trouble::new(
            object,
            "its credentials could not be obtained (token file or auth provider)",
            "Check the token file, or sign in again.",
        ),
        kube::Error::RustlsTls(_) => Trouble::new(
            object,
            "its client certificate, key or CA is not valid PEM",
            "Check certificate-authority, client-certificate and client-key of this context.",
        ),
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            Trouble::new(
                object,
                "its proxy (proxy-url, or HTTPS_PROXY of the environment) is of a kind that is not supported",
                "Use http:// or socks5://.",
            )
        }
        kube::Error::InferKubeconfig(error) => kubeconfig::trouble(object, error),
        _ => Trouble::new(object, "its client could not be made", "Check this context with kubectl."),
    }
}
