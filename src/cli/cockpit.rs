//! The cockpit as a command: what the terminal can do decides how it is drawn.

use std::{
    env,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::IsTerminal as _,
};

use super::{
    args::{Global, Shown},
    exit::Exit,
    observe, preferences,
    session::NoStart,
};
use crate::{
    app::{self, Depth, Options},
    cockpit::{ports::Trouble, spot::Spot},
    domain::names::Text,
    engine::{Secrets, Setup},
    k8s::lease::Role,
    tui::theme,
};

/// `open`: where it begins, as people write it.
pub async fn run(
    global: &Global,
    shown: Shown,
    mut setup: Setup,
    open: Option<&str>,
) -> Result<Exit, NoStart> {
    let term = variable("TERM");
    let plain = shown.plain || term == "dumb";
    if !plain && (!std::io::stdout().is_terminal() || !std::io::stdin().is_terminal()) {
        return Err(refused(
            "the terminal",
            "the cockpit needs one, and standard input or output is not",
            "Use --plain, or `sluice status` and `sluice denials`, in pipes and scripts.",
        ));
    }
    let (by_itself, depth) = looks(&term, &variable("COLORTERM"), &variable("COLORFGBG"));
    let by_itself = by_itself.filter(|_| !is_set("NO_COLOR"));
    let read = preferences::read();
    let own = read.0.theme.map(str::to_owned);
    let asked = global.theme.clone().or(own).or_else(|| by_itself.map(str::to_owned));
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
        plain,
        masked: shown.mask,
        salt: RandomState::new().build_hasher().finish(),
        keep: shown.keep_screen,
        depth,
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

/// The theme that a terminal asks for by what it says of itself, and the colours it claims to have.
/// A light ground is told by COLORFGBG (rxvt's, which Konsole and iTerm2 set too).
fn looks(term: &str, colorterm: &str, ground: &str) -> (Option<&'static str>, Depth) {
    const NONE: &[&str] = &["vt52", "vt100", "vt102", "vt220", "vt320", "xterm-mono", "linux-m"];
    const TRUE: &[&str] = &["direct", "kitty", "alacritty", "ghostty", "wezterm", "foot", "contour"];
    let depth = if ["truecolor", "24bit"].contains(&colorterm) || TRUE.iter().any(|word| term.contains(word))
    {
        Depth::True
    } else if term.contains("256color") {
        Depth::Indexed
    } else {
        Depth::Sixteen
    };
    let is_light = ground.rsplit(';').next().is_some_and(|raw| matches!(raw, "7" | "15"));
    let theme = match depth {
        Depth::Sixteen if NONE.contains(&term) => Some("mono"),
        Depth::Sixteen => Some("ansi16"),
        Depth::Indexed | Depth::True => is_light.then_some("sluice-light"),
    };
    (theme, depth)
}

fn speaks_utf8() -> bool {
    // The console of Linux has no font for our bars and glyphs.
    if variable("TERM") == "linux" {
        return false;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_what_it_claims_to_have() {
        for (term, colorterm, ground, theme, depth) in [
            ("xterm-256color", "truecolor", "", None, Depth::True),
            ("xterm-256color", "", "", None, Depth::Indexed),
            ("tmux-256color", "", "0;15", Some("sluice-light"), Depth::Indexed),
            ("rxvt-unicode-256color", "", "15;default;0", None, Depth::Indexed),
            ("xterm-kitty", "", "", None, Depth::True),
            ("linux", "", "", Some("ansi16"), Depth::Sixteen),
            ("screen", "", "", Some("ansi16"), Depth::Sixteen),
            ("vt100", "", "", Some("mono"), Depth::Sixteen),
            ("", "", "", Some("ansi16"), Depth::Sixteen),
        ] {
            assert_eq!(looks(term, colorterm, ground), (theme, depth), "{term} {colorterm} {ground}");
        }
    }
}
