//! Kubernetes manifests on disk -> [`Gathering`]: files and folders of YAML or JSON, several documents
//! a file, `List`s too. Every object is named with its file and line; a document that is no YAML is an
//! error, because anything may have stood in it. Writes nothing.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use super::yaml::{self, Node, Value};
use crate::{cockpit::ports::Trouble, domain::names::Text, manifest::cluster::Gathering};

/// Largest file that is read: all pods of a large cluster have a few dozen megabytes.
const FILE_LIMIT: u64 = 256 << 20;
/// Files of one question.
const FILES: usize = 10_000;
/// Folders in folders.
const DEPTH: usize = 32;
/// Values of one document.
const NODES: usize = 20_000_000;

/// Reads all objects of these files and folders. The errors are what makes every answer unsound.
pub fn read(paths: &[PathBuf], into: &mut Gathering) -> Result<(), Vec<Trouble>> {
    let (mut files, mut troubles) = (Vec::new(), Vec::new());
    for path in paths {
        find(path, true, 0, &mut files, &mut troubles);
    }
    if files.is_empty() && troubles.is_empty() {
        let next = "Name files that end in .yaml, .yml or .json, or folders of them.";
        troubles.push(Trouble::new("--manifests", "no manifests are there", next));
    }
    for file in &files {
        match text_of(file) {
            Ok(text) => document_by_document(&shown(file), &text, into, &mut troubles),
            Err(trouble) => troubles.push(trouble),
        }
    }
    if troubles.is_empty() { Ok(()) } else { Err(troubles) }
}

fn shown(path: &Path) -> String {
    Text::new(&path.to_string_lossy()).to_string()
}

/// Manifests of a path by name; hidden files and other endings only where they are named themselves.
fn find(path: &Path, is_named: bool, depth: usize, files: &mut Vec<PathBuf>, troubles: &mut Vec<Trouble>) {
    let mut trouble = |fact: String, next: &str| troubles.push(Trouble::new(&shown(path), &fact, next));
    let kind = match fs::metadata(path) {
        Ok(kind) => kind,
        Err(error) => {
            return trouble(format!("it cannot be read ({error})"), "Correct the path or its rights.");
        }
    };
    if !kind.is_dir() {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if is_named || matches!(ending.as_str(), "yaml" | "yml" | "json") {
            if files.len() == FILES {
                return trouble(format!("there are more than {FILES} manifests"), "Name fewer folders.");
            }
            files.push(path.to_owned());
        }
        return;
    }
    if depth == DEPTH {
        return trouble(format!("folders are more than {DEPTH} deep"), "Name the folders below it.");
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            return trouble(format!("the folder cannot be read ({error})"), "Correct its rights.");
        }
    };
    let mut inside: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    inside.sort();
    for entry in inside {
        let is_hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden {
            find(&entry, false, depth + 1, files, troubles);
        }
    }
}

fn text_of(path: &Path) -> Result<String, Trouble> {
    let bad = |fact: String, next: &str| Trouble::new(&shown(path), &fact, next);
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| bad(format!("it cannot be read ({error})"), "Correct its rights."))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(bad(format!("it is larger than {} MiB", FILE_LIMIT >> 20), "Split it."));
    }
    String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned(), "Save it as UTF-8."))
}

fn document_by_document(file: &str, text: &str, into: &mut Gathering, troubles: &mut Vec<Trouble>) {
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
    {
        return json_objects(file, &value, into);
    }
    for (first, document) in documents(text) {
        match yaml::parse_up_to(document, NODES) {
            Ok(node) => objects(file, first, &node, into),
            Err(bad) => {
                let place = match bad.line {
                    0 => format!("{file}:{first}"),
                    line => format!("{file}:{}", first + line - 1),
                };
                let next = "Correct it: what stands in this document may decide, so nothing is answered.";
                troubles.push(Trouble::new(&place, bad.why.as_str(), next));
            }
        }
    }
}

/// The documents of a text, each with the number of its first line. `---` at the start of a line
/// always begins one (YAML 1.2, 9.1.2).
fn documents(text: &str) -> Vec<(u64, &str)> {
    let is_mark = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
    };
    let (mut out, mut begin, mut first, mut at) = (Vec::new(), 0, 1, 0);
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if is_mark(line) && at > begin {
            out.push((first, &text[begin..at]));
            (begin, first) = (at, number);
        }
        at += line.len();
    }
    out.push((first, &text[begin..]));
    out.retain(|(_, document)| {
        let said = document.lines().map(|line| line.strip_prefix("---").unwrap_or(line).trim());
        said.clone().any(|line| !line.is_empty() && !line.starts_with('#'))
    });
    out
}

/// Objects of a document: itself, or the items of a list, each with its own line.
fn objects(file: &str, first: u64, node: &Node, into: &mut Gathering) {
    if node.is_null() {
        return;
    }
    let Value::Map(entries) = &node.value else {
        return into.object(&place(file, first, node), &node.json());
    };
    let kind = entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.node.value);
    let is_list = matches!(kind, Some(Value::Text(kind)) if kind.ends_with("List"));
    match entries.iter().find(|entry| is_list && entry.key == "items").map(|entry| &entry.node.value) {
        Some(Value::List(items)) => items.iter().for_each(|item| objects(file, first, item, into)),
        _ => into.object(&place(file, first, node), &node.json()),
    }
}

fn place(file: &str, first: u64, node: &Node) -> String {
    match node.line {
        0 => format!("{file}:{first}"),
        line => format!("{file}:{}", first + line - 1),
    }
}

fn json_objects(file: &str, value: &serde_json::Value, into: &mut Gathering) {
    let is_list =
        value.get("kind").and_then(serde_json::Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(serde_json::Value::as_array) {
        Some(items) if is_list => {
            for (item, at) in items.iter().zip(1..) {
                into.object(&format!("{file} item {at}"), item);
            }
        }
        _ => into.object(file, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_first_line() {
        let text = "# head\n---\na: 1\n--- # two\nb: |\n  ---x\n---\n---\n--- {c: 3}\n";
        let found: Vec<_> = documents(text).into_iter().map(|(line, text)| (line, text.trim())).collect();
        assert_eq!(found, [(2, "---\na: 1"), (4, "--- # two\nb: |\n  ---x"), (9, "--- {c: 3}")]);
    }
}
