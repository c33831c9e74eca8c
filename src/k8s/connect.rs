//! The kubeconfig and the way to one API server: contexts, credentials, deadlines. What kube offers
//! (several files, tokens, client certificates, exec plugins, proxies) works; whatever fails is
//! said without repeating a secret.

use std::{sync::Arc, time::Duration};

use kube::config::{Config, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::time::timeout;

use crate::{cockpit::ports::Trouble, domain::names::Text};

use super::wire::Server;

const CONNECT: Duration = Duration::from_secs(5);
/// An exec plugin has to answer within this.
const CREDENTIALS: Duration = Duration::from_secs(20);

/// How to reach one API server.
#[derive(Clone)]
pub enum Access {
    Context {
        kubeconfig: Arc<Kubeconfig>,
        context: String,
    },
    /// A client that stands already: tests in memory.
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

/// The kubeconfig: `KUBECONFIG` with several paths, merged, or `~/.kube/config`.
pub fn read_kubeconfig() -> Result<Kubeconfig, Trouble> {
    Kubeconfig::read().map_err(|error| kubeconfig_trouble("kubeconfig", &error))
}

/// The kubeconfig in this file.
pub fn read_kubeconfig_at(path: &std::path::Path) -> Result<Kubeconfig, Trouble> {
    Kubeconfig::read_from(path)
        .map_err(|error| kubeconfig_trouble(&format!("kubeconfig {}", path.display()), &error))
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

/// All contexts, in the order of the files.
pub fn contexts(kubeconfig: &Kubeconfig) -> Vec<ContextInfo> {
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

impl Access {
    /// A new client with its deadlines. Runs the context's exec plugin where it has one.
    pub async fn client(&self) -> Result<kube::Client, Trouble> {
        match self {
            Self::Client(client) => Ok(client.clone()),
            Self::Context { kubeconfig, context } => open(kubeconfig, context).await,
        }
    }

    pub(super) async fn server(&self) -> Result<Server, Trouble> {
        self.client().await.map(Server::new)
    }
}

async fn open(kubeconfig: &Arc<Kubeconfig>, context: &str) -> Result<kube::Client, Trouble> {
    let object = format!("context {}", Text::new(context));
    if !kubeconfig.contexts.iter().any(|named| named.name == context) {
        let known: Vec<_> = kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect();
        let next = if known.is_empty() {
            "The kubeconfig has no contexts at all: set KUBECONFIG.".to_owned()
        } else {
            format!("Use one of: {}.", known.join(", "))
        };
        return Err(Trouble::new(&object, "it is not in the kubeconfig", &next));
    }
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(Kubeconfig::clone(kubeconfig), &options)
        .await
        .map_err(|error| kubeconfig_trouble(&object, &error))?;
    let config = settled(config, &object)?;
    // Building runs the exec plugin, which blocks: it must not hold up the other clusters.
    let runtime = tokio::runtime::Handle::current();
    let build = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        kube::Client::try_from(config)
    });
    match timeout(CREDENTIALS, build).await {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(error))) => Err(client_trouble(&object, &error)),
        Ok(Err(_)) => Err(Trouble::new(&object, "its client could not be made", "Look at the log file.")),
        Err(_) => Err(Trouble::new(
            &object,
            &format!("its exec plugin did not answer within {} s", CREDENTIALS.as_secs()),
            "Run the plugin by hand; it may wait for a login.",
        )),
    }
}

/// Our deadlines, no hidden retries, and no plugin that would read from the cockpit's terminal.
fn settled(mut config: Config, object: &str) -> Result<Config, Trouble> {
    config.connect_timeout = Some(CONNECT);
    config.default_retry = false;
    if let Some(exec) = &mut config.auth_info.exec {
        if matches!(exec.interactive_mode, Some(ExecInteractiveMode::Always)) {
            return Err(Trouble::new(
                object,
                "its exec plugin wants a terminal (interactiveMode: Always)",
                "Sign in with kubectl first and use a plugin that caches its credentials.",
            ));
        }
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    Ok(config)
}

fn client_trouble(object: &str, error: &kube::Error) -> Trouble {
    match error {
        // The text may hold what the plugin printed.
        kube::Error::Auth(_) => Trouble::new(
            object,
            "its credentials could not be obtained (exec plugin, token file or auth provider)",
            "Run the plugin by hand, or sign in again.",
        ),
        kube::Error::RustlsTls(_) => Trouble::new(
            object,
            "its client certificate, key or CA is not valid PEM",
            "Check certificate-authority, client-certificate and client-key of this context.",
        ),
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            Trouble::new(
                object,
                "its proxy-url is of a kind that is not supported",
                "Use http:// or socks5://.",
            )
        }
        kube::Error::InferKubeconfig(error) => kubeconfig_trouble(object, error),
        _ => Trouble::new(object, "its client could not be made", "Check this context with kubectl."),
    }
}

/// The parser's own text shows lines of the file, which may hold tokens: only the place is told.
fn kubeconfig_trouble(object: &str, error: &KubeconfigError) -> Trouble {
    match error {
        KubeconfigError::ReadConfig(io, path) => Trouble::new(
            &format!("kubeconfig {}", path.display()),
            &format!("cannot be read: {}", io.kind()),
            "Set KUBECONFIG to the right files, or pass --kubeconfig.",
        ),
        KubeconfigError::Parse(parse) => {
            let place = parse
                .location()
                .map_or_else(String::new, |at| format!(" (line {}, column {})", at.line(), at.column()));
            Trouble::new(object, &format!("is not valid YAML of a kubeconfig{place}"), "Correct the file.")
        }
        KubeconfigError::FindPath => {
            Trouble::new(object, "there is none", "Set KUBECONFIG, or try `sluice demo`.")
        }
        KubeconfigError::LoadContext(name) => {
            Trouble::new(object, &format!("has no context {}", Text::new(name)), "Name one of its contexts.")
        }
        KubeconfigError::LoadClusterOfContext(name) => Trouble::new(
            object,
            &format!("names the cluster {}, which is not in the kubeconfig", Text::new(name)),
            "Add the cluster, or correct the context.",
        ),
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => Trouble::new(
            object,
            "its cluster has no valid server address",
            "Correct `server` of the cluster.",
        ),
        KubeconfigError::ParseProxyUrl(_) => {
            Trouble::new(object, "its proxy-url is not valid", "Correct `proxy-url` of the cluster.")
        }
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => Trouble::new(
            object,
            "its certificate authority cannot be read",
            "Check certificate-authority of the cluster.",
        ),
        KubeconfigError::LoadClientCertificate(_) | KubeconfigError::LoadClientKey(_) => Trouble::new(
            object,
            "its client certificate or key cannot be read",
            "Check client-certificate and client-key of the user.",
        ),
        KubeconfigError::CurrentContextNotSet
        | KubeconfigError::KindMismatch
        | KubeconfigError::ApiVersionMismatch
        | KubeconfigError::ParseNoProxy(_) => {
            Trouble::new(object, "cannot be used", "Check it with `kubectl config view`.")
        }
    }
}

#[cfg(test)]
mod tests {
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
        let kubeconfig = Kubeconfig::from_yaml(CONFIG).expect("the test's own YAML");
        let access = Access::Context { kubeconfig: Arc::new(kubeconfig), context: context.to_owned() };
        access.client().await.err().map(|trouble| trouble.to_string()).unwrap_or_default()
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
                "context plugin: its credentials could not be obtained (exec plugin, token file or auth provider). Run the plugin by hand, or sign in again.",
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
        let error = Kubeconfig::from_yaml("users:\n- name: [a\n  token: sekrit").expect_err("not YAML");
        let said = kubeconfig_trouble("kubeconfig", &error).to_string();
        assert!(said.starts_with("kubeconfig: is not valid YAML of a kubeconfig (line "), "{said}");
        assert!(!said.contains("sekrit"), "{said}");
    }

    #[test]
    fn all_contexts_are_listed_in_order() {
        let kubeconfig = Kubeconfig::from_yaml(CONFIG).expect("the test's own YAML");
        let names: Vec<_> = contexts(&kubeconfig).into_iter().map(|context| context.name).collect();
        assert_eq!(names, ["good", "tty", "plugin", "lost", "broken"]);
    }
}
