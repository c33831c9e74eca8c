//! The way to a relay: an address of its own, or a port-forward that the engine hands in; each in the
//! clear or with TLS, whose files are read at each attempt, so that renewed ones need no restart.

use std::sync::Arc;

use futures::FutureExt;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::cockpit::ports::{RelayAddress, TlsFiles, Trouble};

use super::{
    source::{BoxIo, Dial},
    tls::{self, Pem, Refused, Shown},
};

const CONNECT: Duration = Duration::from_secs(5);
/// No certificate is longer, nor a bundle of authorities.
const FILE: u64 = 4 << 20;

/// What certificates of relays are made out to, and believed only under a CA that was named for this
/// relay: Cilium's own (`*.hubble-relay.cilium.io`, or that one name of it), and GKE's.
const NAMES: [&str; 2] =
    ["ui.hubble-relay.cilium.io", "hubble-relay.gke-managed-dpv2-observability.svc.cluster.local"];

/// A dial for an address out of `sluice.yaml`.
pub fn dial_address(relay: RelayAddress) -> Dial {
    let at = format!("relay {}:{}", relay.host, relay.port);
    let (host, port) = (Arc::new(relay.host), relay.port);
    let open: Dial = {
        let (host, at) = (Arc::clone(&host), at.clone());
        Arc::new(move || {
            let (host, at) = (Arc::clone(&host), at.clone());
            async move { connect(host.as_str(), port, &at).await.map(|stream| Box::pin(stream) as BoxIo) }
                .boxed()
        })
    };
    match relay.tls {
        None => open,
        Some(files) => {
            let cilium: &[&str] = if files.ca.is_some() { &NAMES } else { &[] };
            let names = [host.as_str()].into_iter().chain(cilium.iter().copied()).map(str::to_owned);
            with_tls(open, files, names.collect(), at)
        }
    }
}

/// A dial with TLS inside of a port-forward.
pub fn dial_inside(forward: Dial, files: TlsFiles) -> Dial {
    with_tls(forward, files, NAMES.map(str::to_owned).to_vec(), "Hubble Relay by port-forward".to_owned())
}

async fn connect(host: &str, port: u16, at: &str) -> Result<TcpStream, Trouble> {
    let silent = |fact: &str| {
        Trouble::new(at, fact, "Check that the relay listens there and that the network lets us through.")
    };
    match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for more; a failure here only costs time.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(silent(&error.to_string())),
        Err(_) => Err(silent("no connection within 5 s")),
    }
}

/// Each name is tried on a connection of its own, until the certificate is made out to one.
fn with_tls(open: Dial, files: TlsFiles, names: Vec<String>, at: String) -> Dial {
    let kept = Arc::new((files, names, at));
    Arc::new(move || {
        let (open, kept) = (Arc::clone(&open), Arc::clone(&kept));
        async move {
            let (files, names, at) = &*kept;
            let config = tls::config(&pem(files, at).await?).map_err(|fact| unusable(files, at, &fact))?;
            let config = Arc::new(config);
            let mut refused = None;
            for name in names {
                match tls::speak(open().await?, Arc::clone(&config), name).await {
                    Ok(stream) => return Ok(Box::pin(stream) as BoxIo),
                    Err(other @ Refused::OtherName(_)) => refused = refused.or(Some(other)),
                    Err(why) => return Err(untrusted(at, &why)),
                }
            }
            let none = || Refused::OtherName("no name to check its certificate against".to_owned());
            Err(untrusted(at, &refused.unwrap_or_else(none)))
        }
        .boxed()
    })
}

async fn pem(files: &TlsFiles, at: &str) -> Result<Pem, Trouble> {
    let authorities = match &files.ca {
        Some(ca) => Some(read(ca.as_str(), "ca", at).await?),
        None => None,
    };
    let shown = match &files.shown {
        Some(shown) => Some(Shown {
            certificate: read(shown.cert.as_str(), "cert", at).await?,
            key: read(shown.key.as_str(), "key", at).await?,
        }),
        None => None,
    };
    Ok(Pem { authorities, shown })
}

/// A file that `sluice.yaml` names under this key. No error repeats what is in it.
async fn read(file: &str, key: &str, at: &str) -> Result<Vec<u8>, Trouble> {
    let unread = |fact: &str| {
        let fact = format!("the file {file} cannot be read: {fact}");
        Trouble::new(at, &fact, &format!("Set `{key}` of this relay to a readable PEM file."))
    };
    let opened = tokio::fs::File::open(file).await.map_err(|error| unread(&error.to_string()))?;
    let mut bytes = Vec::new();
    let taken = opened.take(FILE + 1).read_to_end(&mut bytes).await;
    taken.map_err(|error| unread(&error.to_string()))?;
    if bytes.len() as u64 > FILE { Err(unread("it is larger than 4 MiB")) } else { Ok(bytes) }
}

fn unusable(files: &TlsFiles, at: &str, fact: &str) -> Trouble {
    let next = match (&files.ca, &files.shown) {
        (None, None) => "Name the relay's certificate authority as `ca`.",
        (_, None) => "Set `ca` to a PEM file with the relay's certificate authority.",
        (_, Some(_)) => "Set `ca`, `cert` and `key` of this relay to PEM files; `key` is the one of `cert`.",
    };
    Trouble::new(at, fact, next)
}

fn untrusted(at: &str, why: &Refused) -> Trouble {
    let next = match why {
        Refused::OtherName(_) | Refused::Failed(_) => "Check `ca` of this relay in sluice.yaml.",
        Refused::WantsCertificate => {
            "Set `cert` and `key` of this relay: a client certificate of Cilium's authority, such as that of Secret hubble-ui-client-certs."
        }
        Refused::NotTaken(_) => "Set `cert` and `key` of this relay to a client certificate that it takes.",
        Refused::Late => "Check that the relay listens there with TLS, and that the network lets us through.",
    };
    Trouble::new(at, &why.to_string(), next)
}
