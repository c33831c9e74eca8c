//! The cockpit as a command: what the terminal can do decides how it is drawn.

use std::{env, io::IsTerminal as _};

use super::{args::Global, exit::Exit, observe, preferences, session::NoStart};
use crate::{
    app::{self, Options},
    cockpit::{ports::Trouble, spot::Spot},
    domain::names::Text,
    engine::{Secrets, Setup},
    k8s::lease::Role,
    tui::theme,
};

/// `open`: where it begins, as people write it.
pub async fn run(global: &Global, mut setup: Setup, open: Option<&str>) -> Result<Exit, NoStart> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(refused(
            "the terminal",
            "the cockpit needs one, and standard input or output is not",
            "Use `sluice status` or `sluice denials` in pipes and scripts.",
        ));
    }
    let read = preferences::read();
    let own = read.0.theme.map(str::to_owned);
    let asked = global.theme.clone().or(own).or_else(|| plain_theme().map(str::to_owned));
    let name = theme::choose(asked.as_deref(), is_set("NO_COLOR"))
        .map_err(|fact| refused("--theme", &fact, "Choose one of them."))?;
    let open = open.map(|raw| spot(raw, &setup)).transpose()?;
    setup.notify = Some(secrets());
    let options = Options {
        theme: name,
        mouse: !global.no_mouse,
        ascii: global.ascii || !speaks_utf8(),
        observes: Some((observe::claims(Role::Cockpit), observe::SOAKS)),
        open,
        chosen: preferences::chosen(read, variable),
    };
    match app::run(setup, options).await {
        Ok(()) => Ok(Exit::Done),
        Err(report) => {
            tracing::error!(?report, "the cockpit stopped");
            Err(NoStart {
                exit: Exit::Failed,
                troubles: vec![Trouble::new(
                    "the cockpit",
                    &format!("it stopped: {report}"),
                    "The log file says more.",
                )],
            })
        }
    }
}

fn spot(raw: &str, setup: &Setup) -> Result<Spot, NoStart> {
    let is_known = |name: &_| setup.fleet.clusters.iter().any(|entry| entry.name == *name);
    Spot::find(raw, is_known).ok_or_else(|| {
        let fact = format!("{:?} is no place of this fleet", Text::new(raw));
        refused("--open", &fact, "Write cluster, cluster/namespace or cluster/namespace/egress.")
    })
}

/// What must not stand in a file.
pub(super) fn secrets() -> Secrets {
    let value = |name| Some(variable(name)).filter(|value| !value.is_empty());
    Secrets { url: value("SLUICE_NOTIFY_URL"), token: value("SLUICE_NOTIFY_TOKEN") }
}

fn refused(object: &str, fact: &str, next: &str) -> NoStart {
    NoStart { exit: Exit::Usage, troubles: vec![Trouble::new(object, fact, next)] }
}

/// Sixteen colours where the terminal does not claim more.
fn plain_theme() -> Option<&'static str> {
    let term = variable("TERM");
    let colours = variable("COLORTERM");
    let rich = term.contains("256color") || colours.contains("truecolor") || colours.contains("24bit");
    (!rich && !is_set("NO_COLOR")).then_some("ansi16")
}

fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable).find(|value| !value.is_empty());
    // Without any locale the terminal is most likely a container's or ssh's, which speak UTF-8.
    locale.is_none_or(|locale| locale.to_uppercase().replace('-', "").contains("UTF8"))
}

fn is_set(name: &str) -> bool {
    !variable(name).is_empty()
}

#[expect(clippy::disallowed_methods, reason = "how the terminal is drawn is the environment's to say")]
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
