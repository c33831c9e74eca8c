//! Mutual TLS on a byte stream to Goldmane: its certificate must be of the operator's authority and
//! made out to the Service, and ours is shown.

use std::sync::Arc;

use crate::{
    cockpit::ports::Trouble,
    flows::{
        source::{BoxIo, Io},
        tls,
    },
};

pub use crate::flows::tls::{Pem, Shown};

/// What the operator makes Goldmane's certificate out to.
const NAME: &str = "goldmane.calico-system.svc";

pub async fn speak(stream: impl Io + Unpin + 'static, pem: &Pem) -> Result<BoxIo, Trouble> {
    let config = Arc::new(tls::config(pem).map_err(|fact| trouble(&fact))?);
    let spoken = tls::speak(stream, config, NAME).await;
    spoken.map(|stream| Box::pin(stream) as BoxIo).map_err(|why| trouble(&why.to_string()))
}

fn trouble(fact: &str) -> Trouble {
    Trouble::new("Goldmane", fact, "Look at the Tigera operator's certificates in calico-system.")
}
