//! The way to Goldmane: a byte stream through the API server, and what its mutual TLS needs, read from
//! the cluster at each attempt, so that renewed certificates need no restart. Keys are kept nowhere,
//! and no error repeats one. The handshake is `flows::goldmane`'s.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::cockpit::ports::Trouble;

use super::{
    connect::Access,
    forward::{self, BoxStream},
    wire::{Call, Server},
};

const NS: &str = "calico-system";
const PORT: u16 = 7443;
/// The operator's certificate authorities, with no key in it: ConfigMap and key.
const BUNDLE: (&str, &str) = ("goldmane-ca-bundle", "tigera-ca-bundle.crt");
/// Client certificates that Goldmane takes, the one that may least first: one made for sluice, that of
/// Whisker, which reads flows as we do, and that of the nodes.
const CLIENTS: [&str; 3] = ["sluice-goldmane", "whisker-backend-key-pair", "node-certs"];

/// A connection that TLS is still to be spoken on. Has no `Debug`: it holds a key.
pub struct Opened {
    pub stream: BoxStream,
    pub identity: Identity,
}

/// What mutual TLS needs, as PEM.
pub struct Identity {
    pub authorities: Vec<u8>,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

pub async fn open(access: &Access) -> Result<Opened, Trouble> {
    let server = access.server().await?;
    let identity = identity(&server).await?;
    let stream = forward::service(&server, (NS, "goldmane"), PORT).await?;
    Ok(Opened { stream, identity })
}

async fn identity(server: &Server) -> Result<Identity, Trouble> {
    let (map, key) = BUNDLE;
    let path = format!("/api/v1/namespaces/{NS}/configmaps/{map}");
    let object = format!("ConfigMap {NS}/{map}");
    let found = server.ask::<ConfigMap>(Call::get(path)).await;
    let mut bundle = found.map_err(|failure| failure.trouble(&object))?;
    let authorities = bundle.data.remove(key).ok_or_else(|| {
        Trouble::new(&object, &format!("it has no key {key}"), "Look at the Tigera operator's log.")
    })?;
    let mut trouble = None;
    for name in CLIENTS {
        match client(server, name).await {
            Ok(Some((certificate, key))) => {
                return Ok(Identity { authorities: authorities.into_bytes(), certificate, key });
            }
            Ok(None) => {}
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    let next = format!(
        "Give sluice `get` on one of the Secrets {} in {NS}: Goldmane talks only to holders of a certificate.",
        CLIENTS.join(", ")
    );
    Err(trouble.map_or_else(
        || Trouble::new("Goldmane", "no client certificate for it is in the cluster", &next),
        |trouble| Trouble { next: next.as_str().into(), ..trouble },
    ))
}

/// Certificate and key; `None`: there is no such Secret.
async fn client(server: &Server, name: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>, Trouble> {
    let object = format!("Secret {NS}/{name}");
    let path = format!("/api/v1/namespaces/{NS}/secrets/{name}");
    let secret = match server.ask::<Secret>(Call::get(path)).await {
        Ok(secret) => secret,
        Err(failure) if failure.code() == Some(404) => return Ok(None),
        Err(failure) => return Err(failure.trouble(&object)),
    };
    let part = |key: &str| {
        let value = secret.data.get(key).and_then(|value| STANDARD.decode(value).ok());
        value.ok_or_else(|| {
            let fact = format!("it has no usable {key}");
            Trouble::new(&object, &fact, "Look at who writes this Secret.")
        })
    };
    Ok(Some((part("tls.crt")?, part("tls.key")?)))
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: BTreeMap<String, String>,
}
