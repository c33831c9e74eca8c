//! Arguments of the cockpit itself, which only it and the demo's take.

use clap::Args;

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
    pub fn is_any(self) -> bool {
        self.plain || self.mask || self.keep_screen
    }

    /// Said before or after the subcommand.
    pub fn or(self, other: Self) -> Self {
        Self {
            plain: self.plain || other.plain,
            mask: self.mask || other.mask,
            keep_screen: self.keep_screen || other.keep_screen,
        }
    }
}
