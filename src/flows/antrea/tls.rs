//! TLS on a byte stream to the flow aggregator: its certificate must be of its own authority and made
//! out to the Service. Nothing of ours is shown: it asks for no client certificate.

use std::sync::Arc;

use crate::{
    cockpit::ports::Trouble,
    flows::{
        source::{BoxIo, Io},
        tls::{self, Pem},
    },
};

const NAME: &str = "flow-aggregator.flow-aggregator.svc";

/// `authority`: as PEM.
pub async fn speak(stream: impl Io + Unpin + 'static, authority: Vec<u8>) -> Result<BoxIo, Trouble> {
    let pem = Pem { authorities: Some(authority), shown: None };
    let config = Arc::new(tls::config(&pem).map_err(|fact| trouble(&fact))?);
    let spoken = tls::speak(stream, config, NAME).await;
    spoken.map(|stream| Box::pin(stream) as BoxIo).map_err(|why| trouble(&why.to_string()))
}

fn trouble(fact: &str) -> Trouble {
    let next = "Look at ConfigMap flow-aggregator/flow-aggregator-ca: kubectl -n flow-aggregator get configmap flow-aggregator-ca";
    Trouble::new("flow aggregator", fact, next)
}
