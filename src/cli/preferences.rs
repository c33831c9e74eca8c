//! The user's own folders: preferences are read, and which keys the last run had. A file that cannot be
//! read is told and never keeps the cockpit from starting.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use directories::ProjectDirs;

use super::info;
use crate::{
    app::{Chosen, Tool},
    cockpit::ports::Trouble,
    domain::names::Text,
    tui::preferences::{self, Clipboard, Preferences},
};

/// Nobody writes more; a file that was mistaken for it may be endless.
const LARGEST: u64 = 256 * 1024;

/// The keys of the last run, below the folder of the log files.
pub const KEYS: &str = "keys.txt";

/// Where the preferences lie; `None` where there is no home.
pub fn file() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "sluice")?.config_dir().join(preferences::FILE))
}

/// What the user chose; nothing where there is no file.
pub fn read() -> (Preferences, Vec<Trouble>) {
    match file().map(|path| (text(&path), path)) {
        None => preferences::read(""),
        Some((Ok(text), _)) => preferences::read(&text),
        Some((Err(error), _)) if error.kind() == io::ErrorKind::NotFound => preferences::read(""),
        Some((Err(error), path)) => {
            let (read, _) = preferences::read("");
            let object = Text::new(&path.to_string_lossy());
            let trouble = Trouble::new(
                object.as_str(),
                &format!("it cannot be read: {error}"),
                "Keys, theme and views are as they ship.",
            );
            (read, vec![trouble])
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LARGEST} bytes")));
    }
    fs::read_to_string(path)
}

/// All of it for the cockpit. Keeps the keys of this run for the next one.
pub fn chosen((read, troubles): (Preferences, Vec<Trouble>), variable: impl Fn(&str) -> String) -> Chosen {
    let clipboard = tools(read.clipboard, variable);
    let kept = info::log_folder().map(|folder| folder.join(KEYS));
    let changed = kept.map_or_else(Vec::new, |path| {
        let before = text(&path).unwrap_or_default();
        let now = preferences::shipped_keys();
        if before != now {
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            if let Err(error) = folder.and_then(|()| fs::write(&path, &now)) {
                tracing::warn!(%error, path = %path.display(), "the keys of this run are not kept");
            }
        }
        preferences::changed_keys(&before, &read.keys)
    });
    Chosen { preferences: read, troubles, changed, clipboard }
}

/// The system's clipboard tools to try, in this order; none: the terminal is asked (OSC 52).
fn tools(wanted: Clipboard, variable: impl Fn(&str) -> String) -> Vec<Tool> {
    let is_set = |name: &str| !variable(name).is_empty();
    let remote = is_set("SSH_TTY") || is_set("SSH_CONNECTION");
    if wanted == Clipboard::Terminal || (wanted == Clipboard::Auto && remote) {
        return Vec::new();
    }
    let mut out: Vec<Tool> = Vec::new();
    if cfg!(target_os = "macos") {
        out.push(("pbcopy", &[]));
    }
    if is_set("WAYLAND_DISPLAY") {
        out.push(("wl-copy", &[]));
    }
    if is_set("DISPLAY") {
        out.extend([("xclip", &["-selection", "clipboard"][..]), ("xsel", &["--input", "--clipboard"][..])]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_ssh_the_terminal_has_the_clipboard_and_else_the_system() {
        let names = |wanted, set: &[&str]| -> Vec<&str> {
            let variable = |name: &str| if set.contains(&name) { "x".to_owned() } else { String::new() };
            tools(wanted, variable).iter().map(|(name, _)| *name).filter(|name| *name != "pbcopy").collect()
        };
        for (wanted, set, want) in [
            (Clipboard::Auto, &["SSH_TTY", "DISPLAY"][..], &[][..]),
            (Clipboard::Auto, &["SSH_CONNECTION", "WAYLAND_DISPLAY"], &[]),
            (Clipboard::Auto, &["WAYLAND_DISPLAY", "DISPLAY"], &["wl-copy", "xclip", "xsel"]),
            (Clipboard::Auto, &[], &[]),
            (Clipboard::Terminal, &["DISPLAY"], &[]),
            (Clipboard::System, &["SSH_TTY", "DISPLAY"], &["xclip", "xsel"]),
        ] {
            assert_eq!(names(wanted, set), want, "{wanted:?} {set:?}");
        }
    }
}
