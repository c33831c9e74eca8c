//! The kubeconfig's files: read at the start, and again when one of them is another by now, so that a
//! login beside the running cockpit counts. Where reading again fails, what was read before stands.
//! Whatever fails is said without repeating a secret.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use kube::config::{
    AuthInfo, Cluster, Config, ExecAuthCluster, ExecInteractiveMode, Kubeconfig, KubeconfigError,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::timeout;

use crate::{cockpit::ports::Trouble, domain::names::Text};

use super::proxy::{NoAddress, Proxies};

const CONNECT: Duration = Duration::from_secs(5);
/// A home folder that answers later is not waited for.
const LOOK: Duration = Duration::from_secs(2);

/// The files and what was read of them.
pub struct Files {
    paths: Vec<PathBuf>,
    pub(super) proxies: Proxies,
    held: Mutex<Held>,
}

struct Held {
    kubeconfig: Arc<Kubeconfig>,
    stamps: Vec<Stamp>,
}

/// When a file was changed, and its size.
type Stamp = Option<(SystemTime, u64)>;

impl Files {
    /// Reads them all, merged: the first one to name a thing wins.
    pub fn read(paths: Vec<PathBuf>, proxies: Proxies) -> Result<Self, Trouble> {
        let (stamps, kubeconfig) = (stamps(&paths), Arc::new(merged(&paths)?));
        Ok(Self { paths, proxies, held: Mutex::new(Held { kubeconfig, stamps }) })
    }

    fn hold(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it was read last.
    pub fn held(&self) -> Arc<Kubeconfig> {
        self.hold().kubeconfig.clone()
    }

    /// As the files have it now.
    pub(super) async fn now(self: &Arc<Self>) -> Arc<Kubeconfig> {
        let files = self.clone();
        // A look that hangs costs nobody else anything: it is left behind.
        let _ = timeout(LOOK, tokio::task::spawn_blocking(move || files.look())).await;
        self.held()
    }

    fn look(&self) {
        let stamps = stamps(&self.paths);
        if self.hold().stamps == stamps {
            return;
        }
        match merged(&self.paths) {
            Ok(kubeconfig) => *self.hold() = Held { kubeconfig: Arc::new(kubeconfig), stamps },
            Err(trouble) => tracing::warn!(%trouble, "the kubeconfig as it was read before stands"),
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.iter().map(stamp).collect()
}

fn merged(paths: &[PathBuf]) -> Result<Kubeconfig, Trouble> {
    let mut all = Kubeconfig::default();
    for path in paths {
        let object = format!("kubeconfig {}", path.display());
        let next = Kubeconfig::read_from(path).and_then(|next| all.merge(next));
        all = next.map_err(|error| trouble(&object, &error))?;
    }
    Ok(all)
}

/// A context with its cluster and its user. A user that is not there has no credentials.
pub(super) struct Found<'a> {
    cluster: &'a Cluster,
    user: AuthInfo,
    ns: Option<&'a str>,
}

pub(super) fn find<'a>(
    kubeconfig: &'a Kubeconfig,
    context: &str,
    object: &str,
) -> Result<Found<'a>, Trouble> {
    let Some(named) = kubeconfig.contexts.iter().find(|named| named.name == context) else {
        let known: Vec<_> = kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect();
        let next = if known.is_empty() {
            "The kubeconfig has no contexts at all: set KUBECONFIG.".to_owned()
        } else {
            format!("Use one of: {}.", known.join(", "))
        };
        return Err(Trouble::new(object, "it is not in the kubeconfig", &next));
    };
    let lost = |error| trouble(object, &error);
    let context =
        named.context.as_ref().ok_or_else(|| lost(KubeconfigError::LoadContext(named.name.clone())))?;
    let cluster = kubeconfig.clusters.iter().find(|one| one.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| lost(KubeconfigError::LoadClusterOfContext(context.cluster.clone())))?;
    let user = kubeconfig.auth_infos.iter().find(|one| Some(&one.name) == context.user.as_ref());
    let user = user.and_then(|named| named.auth_info.clone()).unwrap_or_default();
    Ok(Found { cluster, user, ns: context.namespace.as_deref() })
}

impl Found<'_> {
    /// Everything of the kubeconfig that a client of this context is made from, secrets and all: only
    /// to be compared.
    pub(super) fn written(&self) -> String {
        serde_json::json!([self.cluster, self.user, self.ns]).to_string()
    }

    /// With our deadlines, no hidden retries, and no plugin that would read from the cockpit's terminal.
    /// kube's own way from a kubeconfig compares NO_PROXY with the proxy instead of the server, and
    /// fails on an empty entry in it.
    pub(super) fn config(self, proxies: &Proxies, object: &str) -> Result<Config, Trouble> {
        let said = |error| trouble(object, &error);
        let server = self.cluster.server.as_ref().ok_or_else(|| said(KubeconfigError::MissingClusterUrl))?;
        let server = server.parse().map_err(|error| said(KubeconfigError::ParseClusterUrl(error)))?;
        // The only public way to the bytes of the authority, from the file or from the kubeconfig.
        let described = ExecAuthCluster::try_from(self.cluster).map_err(said)?;
        let mut config = Config::new(server);
        config.root_cert = match &described.certificate_authority_data {
            Some(pem) => Some(certificates(pem).map_err(|fact| {
                let next = "Check certificate-authority of the cluster.";
                Trouble::new(object, fact, next)
            })?),
            None => None,
        };
        config.proxy_url = proxies
            .before(&config.cluster_url, self.cluster.proxy_url.as_deref())
            .map_err(|NoAddress { of }| no_proxy(object, of))?;
        config.default_namespace = self.ns.unwrap_or("default").to_owned();
        config.accept_invalid_certs = self.cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.disable_compression = self.cluster.disable_compression.unwrap_or(false);
        config.tls_server_name = self.cluster.tls_server_name.clone();
        config.auth_info = self.user;
        if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
            exec.cluster = Some(described);
        }
        settled(config, object)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let all = CertificateDer::pem_slice_iter(pem).map(|one| one.map(|der| der.to_vec()));
    all.collect::<Result<_, _>>().map_err(|_| "its certificate authority cannot be read")
}

fn no_proxy(object: &str, of: &str) -> Trouble {
    let next = match of {
        "proxy-url" => "Correct `proxy-url` of the cluster.".to_owned(),
        variable => format!("Correct the variable {variable}, or name this server in NO_PROXY."),
    };
    Trouble::new(object, &format!("its proxy by {of} is not a valid address"), &next)
}

/// Our deadlines, and what must not happen behind our back.
pub(super) fn settled(mut config: Config, object: &str) -> Result<Config, Trouble> {
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

/// The parser's own text shows lines of the file, which may hold tokens: only the place is told.
pub(super) fn trouble(object: &str, error: &KubeconfigError) -> Trouble {
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
