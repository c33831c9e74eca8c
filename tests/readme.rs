//! The README's generated blocks: the keys from the command table, the commands from the definition of
//! the command line, the example sluice.yaml. `UPDATE_GOLDEN=1` rewrites them. What it links to is there.

use std::{env, fs, path::Path};

use sluice::domain::{
    evidence::{Cause, Effect},
    source::{Ability, SourceKind},
};

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn the_readmes_blocks_are_in_step() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let blocks = [
        ("soak", soak_tables()),
        ("keys", sluice::tui::keys::markdown()),
        ("preferences.toml", format!("```toml\n{}```\n", read("assets/preferences.example.toml"))),
        ("commands", sluice::cli::manual::markdown()),
        ("sluice.yaml", format!("```yaml\n{}```\n", read("assets/sluice.example.yaml"))),
    ];
    let kept = read("README.md");
    let mut fresh = kept.clone();
    for (name, block) in &blocks {
        fresh = with_block(&fresh, name, block);
    }
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root.join("README.md"), &fresh).expect("written");
    } else {
        assert!(
            kept == fresh,
            "README.md is not in step: `UPDATE_GOLDEN=1 cargo test --test people readme::`"
        );
    }
}

/// What stops the clock, and what each source can prove.
fn soak_tables() -> String {
    let mut out = "| cause | the clock |\n| --- | --- |\n".to_owned();
    for cause in Cause::ALL {
        let effect = match cause.effect() {
            Effect::Pauses => "stands still",
            Effect::Restarts => "begins anew",
        };
        out.push_str(&format!("| {} | {effect} |\n", cause.as_str()));
    }
    out.push_str("\n| source | node known | loss known | denied named | history | who the other end is | credit needs |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    let yes = |known: bool| if known { "yes" } else { "no" };
    for kind in SourceKind::ALL {
        let Ability { node, loss, denied, history, names, .. } = kind.ability();
        let needs =
            if kind.needs_heartbeat() { "a probe denied on every node, each 5 minutes" } else { "its signs" };
        out.push_str(&format!(
            "| {} | {} | {} | {} | {history} | {names} | {needs} |\n",
            kind.as_str(),
            yes(node),
            yes(loss),
            yes(denied)
        ));
    }
    out.push_str(
        "\nWhat must be known of a source before its figures are read; the sources page says it too:\n\n",
    );
    for kind in SourceKind::ALL {
        let limits = kind.ability().limits;
        if !limits.is_empty() {
            out.push_str(&format!("- **{}**: {}.\n", kind.as_str(), limits.join("; ")));
        }
    }
    out
}

/// Files of this repository, and headings of this page.
#[test]
fn what_the_readme_links_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).expect("text");
    let anchor = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>()
            .replace(' ', "-")
    };
    let anchors: Vec<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 6, "{links:?}");
    for link in links {
        match link.strip_prefix('#') {
            Some(wanted) => assert!(anchors.iter().any(|have| have == wanted), "{link}"),
            None => assert!(link.contains("://") || root.join(link).is_file(), "{link}"),
        }
    }
    let pictures = text.matches("](assets/pictures/").count();
    assert_eq!(pictures, 3, "one for each of those who use it");
}

fn with_block(text: &str, name: &str, block: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let start = text.find(&open).unwrap_or_else(|| panic!("README.md has no {open}")) + open.len();
    let end = text[start..].find(&close).map_or(start, |at| start + at);
    let tail = text[end..].strip_prefix(close.as_str()).unwrap_or(&text[end..]);
    format!("{}{}{}{}", &text[..start], block, close, tail)
}
