//! From the command line to a running engine: kubeconfig, workspace, subset of clusters; and the one
//! loop of every headless command, which turns the engine until a condition holds.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{FixedOffset, Local, Offset as _};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{args::Global, exit::Exit};
use crate::{
    cockpit::{ports::Trouble, world::World},
    domain::names::Text,
    engine::{Clock, Engine, Records, Setup},
    k8s::connect::{Contexts, Proxies},
    workspace::root::{self, Place, Workspace},
};

/// What a command needs of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It acts by what sluice.yaml says: a broken one ends the command.
    Workspace,
    /// A broken sluice.yaml is told, and the kubeconfig's contexts stand in: rollback and looking
    /// work in every state.
    Clusters,
    /// The same at once: policy files are read after the start.
    AtOnce,
}

/// Why nothing could be started.
#[derive(Debug)]
pub struct NoStart {
    pub exit: Exit,
    pub troubles: Vec<Trouble>,
}

impl NoStart {
    fn failed(troubles: Vec<Trouble>) -> Self {
        Self { exit: Exit::Failed, troubles }
    }
}

/// What is needed to start, from the flags that every command shares.
pub fn setup(global: &Global, need: Need, follow_flows: bool) -> Result<Setup, NoStart> {
    let contexts =
        contexts(global.kubeconfig.as_deref()).map_err(|trouble| NoStart::failed(vec![trouble]))?;
    let place = place(global);
    let read = match &place {
        Ok(Some(place)) if need == Need::AtOnce => {
            root::read_fleet_of(place).map_err(|errors| usage_if_context(errors, global))
        }
        Ok(Some(place)) => root::read(place).map_err(|errors| usage_if_context(errors, global)),
        Ok(None) => Ok(Workspace::default()),
        Err(trouble) => Err(NoStart { exit: Exit::Usage, troubles: vec![trouble.clone()] }),
    };
    let (mut workspace, place) = match (read, need) {
        (Ok(workspace), _) => (workspace, place.ok().flatten()),
        (Err(bad), Need::Workspace) => return Err(bad),
        (Err(bad), Need::Clusters | Need::AtOnce) => {
            (Workspace { notices: bad.troubles, ..Workspace::default() }, place.ok().flatten())
        }
    };
    if workspace.fleet.path.is_none() {
        let known = contexts.all();
        let stand_in = root::stand_in(known.iter().map(|context| context.name.as_str()));
        workspace.fleet = stand_in.fleet;
        workspace.notices.extend(stand_in.notices);
        if let Err(unknown) = root::subset(&mut workspace.fleet, &global.contexts) {
            workspace.notices.push(unknown);
            return Err(NoStart { exit: Exit::Usage, troubles: workspace.notices });
        }
    }
    if workspace.fleet.clusters.is_empty() {
        return Err(NoStart::failed(vec![nothing_to_see()]));
    }
    Ok(Setup {
        fleet: workspace.fleet,
        files: workspace.files,
        notices: workspace.notices,
        reach: Arc::new(move |entry| contexts.access(entry.context.as_str())),
        clock: Clock::system(),
        zone: zone(),
        read_only: global.read_only,
        follow_flows,
        records: super::info::records_folder(global, place.as_ref()).map(|folder| Records {
            folder,
            strays: place.as_ref().and_then(|_| super::info::records_folder(global, None)),
        }),
        workspace: place,
        notify: None,
    })
}

/// The operator's zone, which goes on as a fact.
#[expect(clippy::disallowed_methods, reason = "the zone is read once, here")]
fn zone() -> FixedOffset {
    Local::now().offset().fix()
}

/// The contexts of this kubeconfig, or of those that the environment names: `KUBECONFIG` with several
/// paths, or `~/.kube/config`.
#[expect(clippy::disallowed_methods, reason = "the command line reads the environment and passes it on")]
pub fn contexts(path: Option<&Path>) -> Result<Contexts, Trouble> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let named: Vec<_> = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
    let paths = match (path, named.is_empty()) {
        (Some(path), _) => vec![path.to_owned()],
        (None, false) => named,
        (None, true) => {
            let home = std::env::home_dir().ok_or_else(|| {
                Trouble::new("kubeconfig", "there is none", "Set KUBECONFIG, or try `sluice demo`.")
            })?;
            vec![home.join(".kube").join("config")]
        }
    };
    Contexts::read(paths, Proxies::read(|name| std::env::var(name).ok()))
}

/// Where the workspace is, if there is one.
pub fn place(global: &Global) -> Result<Option<Place>, Trouble> {
    let current = std::env::current_dir().map_err(|error| {
        Trouble::new("current folder", &format!("it cannot be read ({error})"), "Change into another folder.")
    })?;
    let found = root::find(global.workspace.as_deref(), &current)?;
    Ok(found.map(|root| Place { root, only: global.contexts.clone() }))
}

/// A context that nobody knows is a mistake on the command line, not in a file.
pub(super) fn usage_if_context(errors: Vec<Trouble>, global: &Global) -> NoStart {
    let is_usage =
        !global.contexts.is_empty() && errors.iter().all(|error| error.object == Text::new("--context"));
    NoStart { exit: if is_usage { Exit::Usage } else { Exit::Failed }, troubles: errors }
}

fn nothing_to_see() -> Trouble {
    Trouble::new(
        "kubeconfig",
        "it has no contexts",
        "Name another one with --kubeconfig or KUBECONFIG, or try `sluice demo`.",
    )
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Reached,
    Deadline,
    Interrupted,
}

/// A running engine that is waited on.
pub struct Session {
    engine: Engine,
}

impl Session {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    pub fn world(&self) -> &World {
        self.engine.world()
    }

    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Turns the engine until the condition holds or this much runtime time has passed.
    pub async fn until(&mut self, patience: Duration, done: impl Fn(&World) -> bool) -> Waited {
        self.each_turn(Some(patience), |world| done(world)).await
    }

    /// The same, with a look at the world after each turn; `None`: no deadline.
    pub async fn each_turn(
        &mut self,
        patience: Option<Duration>,
        mut done: impl FnMut(&World) -> bool,
    ) -> Waited {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut ages = interval(Duration::from_secs(1));
        ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            if done(self.engine.world()) {
                return Waited::Reached;
            }
            tokio::select! {
                biased;
                _ = &mut interrupted => return Waited::Interrupted,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Waited::Deadline;
                }
                () = self.engine.turn() => {}
                _ = ages.tick() => self.engine.tick(),
            }
        }
    }
}

/// Ends when a person or the system asks the program to stop.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
