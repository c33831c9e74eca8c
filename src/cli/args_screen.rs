//! Arguments of the cockpit itself, which only it and the demo's take.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::args::{PersonArg, speed};

/// How the cockpit shows itself.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "The cockpit")]
pub struct Shown {
    /// By lines instead of a screen, for pipes and screen readers; so by itself where TERM is dumb
    #[arg(long)]
    pub plain: bool,
    /// Hide names and addresses, for sharing the screen
    #[arg(long)]
    pub mask: bool,
    /// Leave the last screen behind on the terminal
    #[arg(long)]
    pub keep_screen: bool,
}

impl Shown {
    /// Said before or after the subcommand.
    pub fn or(self, other: Self) -> Self {
        Self {
            plain: self.plain || other.plain,
            mask: self.mask || other.mask,
            keep_screen: self.keep_screen || other.keep_screen,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Serve the fleet without the cockpit until interrupted; prints `export KUBECONFIG=PATH` first
    #[arg(long)]
    pub serve: bool,
    /// With --serve: also open each Hubble Relay on loopback: the first on this port, each further
    /// one a port higher; without a port, each on any free one
    #[arg(long, value_name = "ADDR[:PORT]", requires = "serve", value_parser = super::demo::relay_address,
        num_args = 0..=1, default_missing_value = "127.0.0.1")]
    pub relay_address: Option<SocketAddr>,
    /// The fleet to simulate: a name or a file
    #[arg(long, value_name = "FILE|NAME")]
    pub scenario: Option<String>,
    /// Same seed, same fleet and traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds a second
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Whose kubeconfig the cockpit uses
    #[arg(long, value_enum, default_value_t)]
    pub person: PersonArg,
    /// Where its files go (kubeconfigs, workspace); a temporary folder if left out
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    pub shown: Shown,
}
