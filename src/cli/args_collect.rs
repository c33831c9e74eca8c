//! Arguments of `sluice collect`: the sources that it gathers from, where it keeps the edges, and where
//! it serves them. Parsing only records.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::args::duration;
use crate::{
    cockpit::plan::{RelayAddress, ShownFiles, TlsFiles},
    domain::{names::Text, sighting::Outcome},
    flows::records::Format as Records,
};

#[derive(Clone, Debug, Args)]
#[command(after_long_help = super::help::COLLECT)]
pub struct Collect {
    /// Where Hubble Relay listens (host:port or tls://host:port); left out: found in the cluster
    #[arg(long, value_name = "HOST:PORT", value_parser = super::collect::relay, conflicts_with = "no_hubble")]
    pub hubble: Option<RelayAddress>,
    /// Speak TLS with Hubble Relay, at an address or by port-forward: PEM file of its authority
    #[arg(long, value_name = "FILE", conflicts_with = "no_hubble")]
    pub hubble_ca: Option<PathBuf>,
    /// Client certificate for a relay that asks for one, as PEM
    #[arg(long, value_name = "FILE", requires = "hubble_key", conflicts_with = "no_hubble")]
    pub hubble_cert: Option<PathBuf>,
    /// Key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "hubble_cert")]
    pub hubble_key: Option<PathBuf>,
    /// Do not read Hubble
    #[arg(long)]
    pub no_hubble: bool,
    /// Read Antrea's flow aggregator (FlowStreamService), through the API server
    #[arg(long, conflicts_with = "hubble")]
    pub antrea: bool,
    /// Read Goldmane of Calico: without an address through the API server, with a certificate out of
    /// the cluster (role sluice-target-goldmane)
    #[arg(long, value_name = "HOST:PORT", value_parser = super::collect::relay, conflicts_with = "hubble")]
    pub goldmane: Option<Option<RelayAddress>>,
    /// A folder with the certificate that Goldmane at an address takes: ca.crt, tls.crt, tls.key
    #[arg(long, value_name = "DIR", requires = "goldmane")]
    pub goldmane_tls: Option<PathBuf>,
    /// Read records that pods print to their logs (label sluice.dev/prints), through the API server; may
    /// be repeated. FORMAT: calico-json, antrea-csv, antrea-log, kernel-log
    #[arg(long, value_name = "FORMAT", value_parser = super::collect::printed)]
    pub logs: Vec<Records>,
    /// Where DNS servers send dnstap to, or (call:) one that listens: CoreDNS 1.14.5 or newer with
    /// `dnstap listen`, each replica by itself; may be repeated
    #[arg(long, value_name = "unix:PATH|tcp:ADDR:PORT|call:HOST:PORT", value_parser = super::collect::dnstap_door)]
    pub dnstap: Vec<DnstapDoor>,
    /// A file of flow records that grows and is rotated; may be repeated. FORMAT: hubble-json,
    /// calico-json, antrea-csv, antrea-log, kernel-log (kernel-log=allowed or =denied: what the Log rule
    /// stands before)
    #[arg(long, value_name = "FORMAT:PATH", value_parser = super::collect::flow_file)]
    pub flows: Vec<FlowFile>,
    /// The folder of the database; left out: /var/lib/sluice where it can be written, else this user's
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where edges are served; on loopback only the API server's port-forward reaches it
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], crate::flows::baseline::serve::PORT)))]
    pub listen: SocketAddr,
    /// How long edges are kept after they were last seen
    #[arg(long, value_name = "DURATION", default_value = "35d", value_parser = duration)]
    pub keep: Duration,
}

impl Collect {
    /// Something else than Hubble is asked for by name: then Hubble is read only where it is, too.
    pub fn reads_another(&self) -> bool {
        self.antrea || self.goldmane.is_some() || !self.logs.is_empty()
    }

    /// Files of TLS with Hubble Relay; `None`: none is named.
    pub fn hubble_tls(&self) -> Option<TlsFiles> {
        let named = |path: &Option<PathBuf>| path.as_ref().map(|path| Text::new(&path.to_string_lossy()));
        let shown = named(&self.hubble_cert).zip(named(&self.hubble_key));
        let shown = shown.map(|(cert, key)| ShownFiles { cert, key });
        let files = TlsFiles { ca: named(&self.hubble_ca), shown };
        (files != TlsFiles::default()).then_some(files)
    }

    /// It can do without an API server.
    pub fn has_address(&self) -> bool {
        self.hubble.is_some() || self.no_hubble || matches!(self.goldmane, Some(Some(_)))
    }
}

/// A file of flow records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFile {
    pub format: Records,
    pub path: PathBuf,
    /// Of kernel-log: what became of the packets that reached the `Log` rule.
    pub logged: Option<Outcome>,
}

/// Where dnstap comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnstapDoor {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// A DNS server that listens itself.
    Call(RelayAddress),
}
