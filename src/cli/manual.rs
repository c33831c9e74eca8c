//! The manual page and the README's table of commands, from the one definition of the command line
//! that `--help` prints too. Pure: asks nobody and reads no environment.

use clap::{Arg, Command as Tree, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, bold, italic, roman},
};

use super::{args::Cli, exit::Exit, help};

/// Variables that are read, and what for.
pub const ENVIRONMENT: [(&str, &str); 9] = [
    ("KUBECONFIG", "the kubeconfig files, unless --kubeconfig names one; else ~/.kube/config"),
    ("SLUICE_LOG", "what is logged, as `warn` or `sluice=debug`; warn,sluice=info if not set"),
    ("SLUICE_NOTIFY_URL", "where events go, in place of `notify.webhook` in sluice.yaml"),
    ("SLUICE_NOTIFY_TOKEN", "a bearer token for that address"),
    ("NO_COLOR", "no colours, unless --theme asks for some"),
    ("TERM, COLORTERM", "sixteen colours where neither claims more"),
    ("LC_ALL, LC_CTYPE, LANG", "ASCII characters only where the locale is not UTF-8"),
    (
        "SSH_TTY, SSH_CONNECTION",
        "over ssh the terminal has the clipboard, unless preferences.toml says otherwise",
    ),
    ("WAYLAND_DISPLAY, DISPLAY", "which of wl-copy, xclip and xsel takes copied text"),
];

/// Files that are read or written; `sluice info` prints where they are on this machine.
pub const FILES: [(&str, &str); 7] = [
    ("sluice.yaml", "the fleet, in the current folder, its parents, or --workspace"),
    ("network-policies/CLUSTER/NAMESPACE/*.yaml", "the pinned policies, one object a file"),
    ("network-policies/discovery/NAMESPACE.md", "the discovery document, with its edges beside it"),
    ("SECURITY-RUNBOOK.md, kyverno/, reports/", "written by runbook, kyverno and report with --write"),
    ("~/.config/sluice/preferences.toml", "your theme, clipboard, keys and views"),
    ("~/.local/state/sluice/", "the log, acts that wait for the journal, the keys of the last run"),
    ("/var/lib/sluice/, ~/.local/share/sluice/", "edges of `sluice collect`, unless --data says otherwise"),
];

/// One command as both show it.
struct Entry {
    /// `sluice review ask [OPTIONS] --namespace <NAMESPACE>`
    usage: String,
    tree: Tree,
}

/// Every command that can be run, in the order of `--help`; those of inner use are left out.
fn entries() -> Vec<Entry> {
    let mut root = Cli::command();
    root.build();
    let mut out = Vec::new();
    collect(&root, &mut out);
    out
}

fn collect(tree: &Tree, out: &mut Vec<Entry>) {
    for child in tree.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        if !child.is_subcommand_required_set() {
            out.push(Entry { usage: usage(child), tree: child.clone() });
        }
        collect(child, out);
    }
}

fn usage(tree: &Tree) -> String {
    let text = tree.clone().render_usage().to_string();
    let words: Vec<&str> = text.trim_start_matches("Usage:").split_whitespace().collect();
    words.join(" ")
}

/// Help as a person wrote it, on one line.
fn said(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Not those of every command, and not `--help`.
fn own_arguments(tree: &Tree) -> impl Iterator<Item = &Arg> {
    let is_own = |it: &&Arg| !it.is_global_set() && !it.is_hide_set();
    tree.get_arguments().filter(is_own).filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
}

/// The whole manual as one page.
pub fn roff() -> String {
    let man = Man::new(Cli::command()).manual("sluice");
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page));
    debug_assert!(rendered.is_ok(), "writing to memory cannot fail");
    let mut rest = Roff::new();
    rest.control("SH", ["COMMANDS"]);
    entries().iter().for_each(|entry| command_section(&mut rest, entry));
    rest.control("SH", ["EXAMPLES"]);
    as_written(&mut rest, help::MAIN.lines().skip(1));
    rest.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        tagged(&mut rest, &exit.code().to_string(), exit.doc());
    }
    rest.control("SH", ["ENVIRONMENT"]);
    ENVIRONMENT.iter().for_each(|(name, what)| tagged(&mut rest, name, what));
    rest.control("SH", ["FILES"]);
    rest.text([roman("`sluice info` prints where they are on this machine.")]);
    FILES.iter().for_each(|(name, what)| tagged(&mut rest, name, what));
    rest.control("SH", ["SEE ALSO"]);
    rest.text([
        bold("kubectl"),
        roman("(1), "),
        bold("cilium"),
        roman("(1), "),
        bold("hubble"),
        roman("(1); README.md, which walks from an empty folder to a previewed policy"),
    ]);
    String::from_utf8_lossy(&page).into_owned() + &rest.render()
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text([roman(text)]);
}

fn command_section(roff: &mut Roff, entry: &Entry) {
    roff.control("SS", [entry.usage.as_str()]);
    let about = entry.tree.get_long_about().or(entry.tree.get_about()).map(ToString::to_string);
    paragraphs(roff, &about.unwrap_or_default());
    for argument in own_arguments(&entry.tree) {
        roff.control("TP", []);
        let mut head = match (argument.get_short(), argument.get_long()) {
            (Some(short), Some(long)) => {
                vec![bold(format!("-{short}")), roman(", "), bold(format!("--{long}"))]
            }
            (None, Some(long)) => vec![bold(format!("--{long}"))],
            (Some(short), None) => vec![bold(format!("-{short}"))],
            (None, None) => Vec::new(),
        };
        if argument.get_action().takes_values() {
            let names = argument.get_value_names().unwrap_or_default();
            let names: Vec<_> = names.iter().map(|name| format!("<{name}>")).collect();
            head.extend([roman(if head.is_empty() { "" } else { " " }), italic(names.join(" "))]);
        }
        roff.text(head);
        roff.text([roman(said(argument.get_help()) + &values(argument))]);
    }
    let after = entry.tree.get_after_long_help().map(ToString::to_string);
    if let Some(after) = after {
        roff.control("PP", []);
        as_written(roff, after.lines());
    }
}

fn as_written<'t>(roff: &mut Roff, lines: impl Iterator<Item = &'t str>) {
    roff.control("nf", []);
    lines.for_each(|line| {
        roff.text([roman(line)]);
    });
    roff.control("fi", []);
}

fn paragraphs(roff: &mut Roff, text: &str) {
    for (nth, paragraph) in text.split("\n\n").enumerate() {
        if nth > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph.split_whitespace().collect::<Vec<_>>().join(" "))]);
    }
}

/// What may be written, and what holds if nothing is.
fn values(argument: &Arg) -> String {
    let mut out = String::new();
    let possible: Vec<_> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if argument.get_action().takes_values() && !possible.is_empty() {
        out.push_str(&format!(" [{}]", possible.join(", ")));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        out.push_str(&format!(" [default: {}]", defaults.join(", ")));
    }
    out
}

/// The README's tables: commands, options of every command, exit codes, variables.
pub fn markdown() -> String {
    let mut out = String::from("| command | what it does |\n| --- | --- |\n");
    let cell = |text: &str| text.replace('|', "\\|");
    for entry in entries() {
        let usage = cell(&entry.usage.replace(" [OPTIONS]", ""));
        let about = cell(&said(entry.tree.get_about()));
        out.push_str(&format!("| `{usage}` | {about} |\n"));
    }
    out.push_str("\n| option of every command | what it does |\n| --- | --- |\n");
    for argument in Cli::command().get_arguments().filter(|it| it.is_global_set()) {
        let long = argument.get_long().unwrap_or_default();
        let names = argument.get_value_names().filter(|_| argument.get_action().takes_values());
        let names: String = names.unwrap_or_default().iter().map(|name| format!(" <{name}>")).collect();
        out.push_str(&format!("| `--{long}{}` | {} |\n", cell(&names), cell(&said(argument.get_help()))));
    }
    out.push_str("\n| exit code | |\n| --- | --- |\n");
    for exit in Exit::ALL {
        out.push_str(&format!("| {} | {} |\n", exit.code(), exit.doc()));
    }
    out.push_str("\n| variable | what it is for |\n| --- | --- |\n");
    for (name, what) in ENVIRONMENT {
        out.push_str(&format!("| {name} | {what} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a person may write has a sentence: no full stop, no empty one, none that only
    /// repeats the name.
    #[test]
    fn every_command_and_option_has_a_sentence() {
        let mut bad = Vec::new();
        for entry in entries() {
            let mut check = |what: String, text: String| {
                let begins = text.starts_with(|c: char| c.is_ascii_uppercase() || "-`".contains(c));
                if text.len() < 6 || text.ends_with('.') || !begins {
                    bad.push(format!("{what}: {text:?}"));
                }
            };
            check(entry.usage.clone(), said(entry.tree.get_about()));
            for argument in own_arguments(&entry.tree) {
                check(format!("{} --{}", entry.usage, argument.get_id()), said(argument.get_help()));
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }

    /// Examples are run by people as they stand.
    #[test]
    fn every_example_is_a_command_line() {
        let mut count = 0;
        let mut root = Cli::command();
        root.build();
        let texts = entries().into_iter().map(|entry| entry.tree).chain([root]);
        for text in texts.filter_map(|tree| tree.get_after_long_help().map(ToString::to_string)) {
            for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("sluice ")) {
                let line = line.split("  #").next().unwrap_or_default();
                let words = line.split('"').enumerate().flat_map(|(nth, part)| match nth % 2 {
                    0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                    _ => vec![part.to_owned()],
                });
                let words = ["sluice".to_owned()].into_iter().chain(words);
                let words: Vec<String> =
                    words.take_while(|word| !["<", ">", "|"].contains(&word.as_str())).collect();
                if let Err(error) = <Cli as clap::Parser>::try_parse_from(&words) {
                    panic!("sluice {line}\n{error}");
                }
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn the_manual_names_every_command_once() {
        let page = roff();
        for entry in entries() {
            let words: Vec<&str> =
                entry.usage.split(' ').take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
            let head = format!(".SS \"{} ", words.join(" "));
            let found = page.lines().filter(|line| line.starts_with(&head)).count();
            assert_eq!(found, 1, "{}", entry.usage);
        }
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "FILES",
            "\"SEE ALSO\"",
        ] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}");
        }
    }
}
