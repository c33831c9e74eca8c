//! How an API server is reached: by a context of the kubeconfig, from inside a cluster, or by a client
//! that stands already. What kube offers (several files, tokens, client certificates, exec plugins,
//! proxies) works.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use kube::config::{Config, Kubeconfig};

use crate::cockpit::ports::Trouble;

use super::{
    door::{Door, client_trouble},
    kubeconfig::{Files, settled},
    wire::Server,
};

pub use super::proxy::Proxies;

/// How to reach one API server.
#[derive(Clone)]
pub enum Access {
    Context(Arc<Door>),
    /// A client that stands already: the cluster around this pod, tests in memory.
    Client(kube::Client),
}

/// A context as the kubeconfig has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextInfo {
    pub name: String,
    pub cluster: String,
    pub user: Option<String>,
    pub namespace: Option<String>,
}

/// The kubeconfig, and one door for each of its contexts.
pub struct Contexts {
    files: Arc<Files>,
    doors: Mutex<BTreeMap<String, Arc<Door>>>,
}

impl Contexts {
    /// Reads these files, merged: the first one to name a thing wins.
    pub fn read(paths: Vec<PathBuf>, proxies: Proxies) -> Result<Self, Trouble> {
        let files = Arc::new(Files::read(paths, proxies)?);
        Ok(Self { files, doors: Mutex::default() })
    }

    /// As it was read last.
    pub fn kubeconfig(&self) -> Arc<Kubeconfig> {
        self.files.held()
    }

    /// All contexts, in the order of the files.
    pub fn all(&self) -> Vec<ContextInfo> {
        let kubeconfig = self.kubeconfig();
        let named = kubeconfig.contexts.iter();
        named
            .filter_map(|named| {
                let context = named.context.as_ref()?;
                Some(ContextInfo {
                    name: named.name.clone(),
                    cluster: context.cluster.clone(),
                    user: context.user.clone(),
                    namespace: context.namespace.clone(),
                })
            })
            .collect()
    }

    /// The way into a context, the same for all who ask.
    pub fn access(&self, context: &str) -> Access {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = doors.entry(context.to_owned());
        let door = door.or_insert_with(|| Arc::new(Door::new(self.files.clone(), context)));
        Access::Context(door.clone())
    }
}

/// The cluster that this program runs in, by the service account of its pod. `None`: it runs in none.
pub fn in_cluster() -> Option<Result<Access, Trouble>> {
    const OBJECT: &str = "the cluster around this pod";
    if !std::path::Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists() {
        return None;
    }
    let config = Config::incluster().map_err(|error| {
        Trouble::new(OBJECT, &error.to_string(), "Let the pod mount its service account's token.")
    });
    let client = config.and_then(|config| {
        let config = settled(config, OBJECT)?;
        kube::Client::try_from(config).map_err(|error| client_trouble(OBJECT, &error))
    });
    Some(client.map(Access::Client))
}

impl Access {
    /// A client with its deadlines, by credentials that serve now.
    pub async fn client(&self) -> Result<kube::Client, Trouble> {
        match self {
            Self::Client(client) => Ok(client.clone()),
            Self::Context(door) => door.enter().await?.client().await,
        }
    }

    /// The server does not accept these credentials: the next client gets others.
    pub(super) fn refuse(&self) {
        match self {
            Self::Client(_) => {}
            Self::Context(door) => door.refuse_latest(),
        }
    }

    pub(super) async fn server(&self) -> Result<Server, Trouble> {
        match self {
            Self::Client(client) => Ok(Server::new(client.clone())),
            Self::Context(door) => Server::enter(door).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
clusters:
- {name: one, cluster: {server: 'https://127.0.0.1:1'}}
- {name: broken, cluster: {server: ''}}
users:
- {name: me, user: {token: sekrit}}
- {name: tty, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: 'false', interactiveMode: Always}}}
- {name: plugin, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: 'false'}}}
contexts:
- {name: good, context: {cluster: one, user: me, namespace: shop}}
- {name: tty, context: {cluster: one, user: tty}}
- {name: plugin, context: {cluster: one, user: plugin}}
- {name: lost, context: {cluster: two, user: me}}
- {name: broken, context: {cluster: broken, user: me}}
";

    async fn trouble(context: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let client = contexts(folder.path(), CONFIG).access(context).client().await;
        client.err().map(|trouble| trouble.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn each_fault_of_a_kubeconfig_is_said_with_the_next_step() {
        for (context, said) in [
            ("good", ""),
            (
                "gone",
                "context gone: it is not in the kubeconfig. Use one of: good, tty, plugin, lost, broken.",
            ),
            (
                "tty",
                "context tty: its exec plugin wants a terminal (interactiveMode: Always). Sign in with kubectl first and use a plugin that caches its credentials.",
            ),
            (
                "plugin",
                "context plugin: its exec plugin failed (exit status: 1). Run the plugin by hand, or sign in again.",
            ),
            (
                "lost",
                "context lost: names the cluster two, which is not in the kubeconfig. Add the cluster, or correct the context.",
            ),
            (
                "broken",
                "context broken: its cluster has no valid server address. Correct `server` of the cluster.",
            ),
        ] {
            assert_eq!(trouble(context).await, said);
        }
    }

    #[test]
    fn a_broken_file_is_placed_and_never_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        std::fs::write(&path, "users:\n- name: [a\n  token: sekrit").expect("written");
        let read = Contexts::read(vec![path], Proxies::default());
        let said = read.err().map(|trouble| trouble.to_string()).expect("not YAML");
        assert!(said.contains("config: is not valid YAML of a kubeconfig (line "), "{said}");
        assert!(!said.contains("sekrit"), "{said}");
    }

    #[test]
    fn all_contexts_are_listed_in_order_and_the_first_file_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let second = folder.path().join("second");
        let more = "contexts: [{name: good, context: {cluster: two, user: me}}, {name: more, context: {cluster: two}}]";
        std::fs::write(&second, more).expect("written");
        let first = write(folder.path(), CONFIG);
        let contexts = Contexts::read(vec![first, second], Proxies::default()).expect("a kubeconfig");
        let names: Vec<_> =
            contexts.all().into_iter().map(|one| format!("{} {}", one.name, one.cluster)).collect();
        assert_eq!(names, ["good one", "tty one", "plugin one", "lost two", "broken broken", "more two"]);
    }

    fn write(folder: &Path, config: &str) -> PathBuf {
        let path = folder.join("config");
        std::fs::write(&path, config).expect("written");
        path
    }

    fn contexts(folder: &Path, config: &str) -> Contexts {
        Contexts::read(vec![write(folder, config)], Proxies::default()).expect("a kubeconfig")
    }

    /// A context `one` with a plugin that leaves a line in `runs` and goes on with this script.
    fn plugin(folder: &Path, script: &str) -> Contexts {
        let program = folder.join("plugin");
        let runs = folder.join("runs");
        let text =
            format!("#!/bin/sh\ncd '{}'\necho run >> '{}'\n{script}\n", folder.display(), runs.display());
        std::fs::write(&program, text).expect("written");
        let config = format!(
            "clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]
users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['{}']}}}}}}]
contexts: [{{name: one, context: {{cluster: c, user: u}}}}, {{name: other, context: {{cluster: c}}}}]
",
            program.display()
        );
        contexts(folder, &config)
    }

    fn runs(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("runs")).unwrap_or_default().lines().count()
    }

    const TOKEN: &str = r#"echo '{"kind":"ExecCredential","status":{"token":"t"}}'"#;

    async fn enter(contexts: &Contexts, context: &str) -> Result<u64, String> {
        let Access::Context(door) = contexts.access(context) else { panic!("a context") };
        door.enter().await.map(|ready| ready.number).map_err(|trouble| trouble.to_string())
    }

    #[tokio::test]
    async fn ten_operations_run_a_plugin_once_and_a_refusal_once_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = plugin(folder.path(), TOKEN);
        let ten = futures::future::join_all((0..10).map(|_| enter(&contexts, "one"))).await;
        assert!(ten.iter().all(|number| *number == Ok(1)), "{ten:?}");
        assert_eq!((enter(&contexts, "one").await, runs(folder.path())), (Ok(1), 1));
        let Access::Context(door) = contexts.access("one") else { panic!("a context") };
        // Said twice of the same ones, and once more when others serve already.
        door.refuse(1);
        door.refuse(1);
        assert_eq!(enter(&contexts, "one").await, Ok(2));
        door.refuse(1);
        assert_eq!((enter(&contexts, "one").await, runs(folder.path())), (Ok(2), 2));
    }

    #[tokio::test]
    async fn credentials_that_ended_are_asked_for_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let ended = r#"echo '{"status":{"token":"t","expirationTimestamp":"2020-01-01T00:00:00Z"}}'"#;
        let contexts = plugin(folder.path(), ended);
        for wanted in [1, 2, 3] {
            assert!(enter(&contexts, "one").await.is_ok());
            assert_eq!(runs(folder.path()), wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_plugin_that_waits_for_a_person_is_started_once_and_holds_up_nobody_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let wait = format!("while [ ! -f go ]; do sleep 0.02; done\n{TOKEN}");
        let contexts = plugin(folder.path(), &wait);
        for _ in 0..3 {
            let wanted = "context one: its exec plugin did not answer within 20 s. Run the plugin by hand; it may wait for a login.";
            assert_eq!(enter(&contexts, "one").await, Err(wanted.to_owned()));
        }
        assert_eq!(enter(&contexts, "other").await, Ok(1));
        tokio::time::resume();
        std::fs::write(folder.path().join("go"), "").expect("written");
        assert_eq!((enter(&contexts, "one").await, runs(folder.path())), (Ok(1), 1));
    }

    #[tokio::test]
    async fn files_are_read_again_when_they_changed_and_a_broken_one_costs_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let contexts = plugin(folder.path(), TOKEN);
        let text = std::fs::read_to_string(folder.path().join("config")).expect("there");
        assert_eq!(enter(&contexts, "one").await, Ok(1));
        // Something else in it changed, and nothing of this context.
        write(folder.path(), &format!("{text}current-context: other\n"));
        assert_eq!(enter(&contexts, "one").await, Ok(1));
        write(folder.path(), "contexts: [");
        assert_eq!(enter(&contexts, "one").await, Ok(1));
        std::fs::remove_file(folder.path().join("config")).expect("there");
        assert_eq!(enter(&contexts, "one").await, Ok(1));
        write(folder.path(), &text.replace("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!(enter(&contexts, "one").await, Ok(2));
        assert_eq!(runs(folder.path()), 2);
    }
}
