//! The way to Antrea's flow aggregator: whether it serves FlowStreamService at all, a byte stream to it
//! through the API server, and the authority of its certificate, read at each attempt. The handshake
//! is `flows::antrea`'s.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cockpit::ports::Trouble;

use super::{
    connect::Access,
    forward::{self, BoxStream},
    wire::Call,
};

const NS: &str = "flow-aggregator";
const NAME: &str = "flow-aggregator";
const PORT: u16 = 14740;
const AUTHORITY: (&str, &str) = ("flow-aggregator-ca", "ca.crt");

/// A connection that TLS is still to be spoken on.
pub struct Opened {
    pub stream: BoxStream,
    /// As PEM.
    pub authority: Vec<u8>,
}

/// Does its Service have the stream's port? It came with Antrea 2.7 and is off by default.
pub async fn serves_stream(access: &Access) -> Result<bool, Trouble> {
    let server = access.server().await?;
    forward::has_port(&server, (NS, NAME), PORT).await
}

pub async fn open(access: &Access) -> Result<Opened, Trouble> {
    let server = access.server().await?;
    let (map, key) = AUTHORITY;
    let object = format!("ConfigMap {NS}/{map}");
    let found = server.ask::<ConfigMap>(Call::get(format!("/api/v1/namespaces/{NS}/configmaps/{map}"))).await;
    let mut data = found.map_err(|failure| failure.trouble(&object))?.data;
    let authority = data.remove(key).ok_or_else(|| {
        let next = "Look at its log: kubectl -n flow-aggregator logs deploy/flow-aggregator";
        Trouble::new(&object, &format!("it has no key {key}"), next)
    })?;
    let stream = forward::service_port(&server, (NS, NAME), PORT).await?;
    Ok(Opened { stream, authority: authority.into_bytes() })
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}
