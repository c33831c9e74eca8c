//! Rules about the code itself: who may import whom, sizes, and what must not appear.
//! The table below is section 2 of the architecture; a new folder needs a row here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Folder (or file) of `src`, what of ours it may use, and outside crates it must not name.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    (
        "domain",
        &["domain"],
        &["tokio", "tonic", "serde", "serde_json", "kube", "ratatui", "crossterm", "k8s_openapi"],
    ),
    (
        "cockpit",
        &["domain", "cockpit"],
        &["tokio", "tonic", "serde", "serde_json", "kube", "ratatui", "crossterm"],
    ),
    ("manifest", &["domain", "manifest"], &["tokio", "kube", "ratatui", "crossterm"]),
    ("edges", &["domain", "edges"], &["tokio", "kube", "ratatui", "crossterm"]),
    (
        "documents",
        &["domain", "cockpit", "documents", "manifest", "edges"],
        &["tokio", "kube", "ratatui", "crossterm"],
    ),
    ("flows", &["domain", "cockpit::ports", "pb", "edges", "flows"], &["kube", "ratatui", "crossterm"]),
    (
        "k8s",
        &["domain", "cockpit::ports", "cockpit::orders", "cockpit::shared", "manifest", "k8s"],
        &["ratatui", "crossterm", "tonic"],
    ),
    (
        "workspace",
        &["domain", "cockpit::ports", "cockpit::plan", "cockpit::settings", "manifest", "edges", "workspace"],
        &["tokio", "kube", "ratatui", "crossterm"],
    ),
    ("tui", &["domain", "cockpit", "tui"], &["tokio", "kube", "tonic"]),
    ("sim", &["domain::names", "pb", "sim"], &["kube", "ratatui", "crossterm"]),
    (
        "engine",
        &["domain", "cockpit", "documents", "k8s", "flows", "workspace", "engine"],
        &["ratatui", "crossterm"],
    ),
    ("app", &["domain", "cockpit", "engine", "tui", "app"], &[]),
    (
        "cli",
        &[
            "domain",
            "cockpit",
            "engine",
            "k8s",
            "flows",
            "workspace",
            "documents",
            "manifest",
            "edges",
            "app",
            "tui",
            "sim",
            "cli",
        ],
        &["ratatui"],
    ),
    ("pb", &["pb"], &[]),
    ("main", &["cli"], &[]),
    ("lib", &[], &[]),
];

/// Shared cells have no place where state has one door.
const NO_CELLS: &[&str] = &["domain", "cockpit", "tui"];
const CELLS: &[&str] =
    &["Rc<", "RefCell<", "Mutex<", "RwLock<", "static mut", "AtomicU", "AtomicB", "AtomicI"];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const STRUCT_FIELDS: usize = 16;

struct Source {
    path: String,
    layer: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut out = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let relative = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                let layer = relative.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
                out.push(Source { text: fs::read_to_string(&path).expect("text"), path: relative, layer });
            }
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// Source without what is only compiled for tests: by our habit the test module stands last.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every path below `crate::` that a text names, with groups `{a, b::c}` spelled out one level deep.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("crate::") {
        let start = from + at;
        let rest = &text[start + "crate::".len()..];
        let line = text[..start].lines().count();
        let comment =
            text[..start].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with("//"));
        if !comment {
            out.extend(expand(rest).into_iter().map(|path| (line, path)));
        }
        from = start + "crate::".len();
    }
    out
}

/// The paths that one `use` names: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(rest: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
    let head = &rest[..end];
    if !rest[end..].starts_with('{') {
        return vec![head.trim_end_matches(':').to_owned()];
    }
    let (mut depth, mut paths, mut item) = (0, Vec::new(), String::new());
    for c in rest[end..].chars() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        let inside = depth > 1 || (depth == 1 && !matches!(c, '{' | ','));
        if inside {
            item.extend((!c.is_whitespace()).then_some(c));
        } else if !item.is_empty() {
            paths.extend(expand(&item).into_iter().map(|path| format!("{head}{path}")));
            item.clear();
        }
        if depth == 0 {
            break;
        }
    }
    paths
}

#[test]
fn layers_point_one_way() {
    let layers: BTreeMap<_, _> =
        LAYERS.iter().map(|(layer, ours, banned)| (*layer, (*ours, *banned))).collect();
    let mut wrong = Vec::new();
    // By our habit a file of that name is only compiled for tests.
    for source in sources().into_iter().filter(|source| !source.path.ends_with("/tests.rs")) {
        let Some((ours, banned)) = layers.get(source.layer.as_str()) else {
            wrong.push(format!("src/{}: no row for this folder in tests/tidy.rs", source.path));
            continue;
        };
        let text = shipped(&source.text);
        for (line, path) in crate_paths(text) {
            let allowed = ours.iter().any(|may| path == *may || path.starts_with(&format!("{may}::")));
            // `crate::domain::{names, ..}`: a group below a layer that is only partly allowed names its items.
            if !allowed && !path.is_empty() {
                wrong.push(format!("src/{}:{line}: {} must not use {path}", source.path, source.layer));
            }
        }
        for krate in *banned {
            let named = |line: &str| {
                let line = line.trim_start();
                !line.starts_with("//")
                    && (line.starts_with(&format!("use {krate}::")) || line.contains(&format!(" {krate}::")))
            };
            if let Some(at) = text.lines().position(named) {
                wrong.push(format!("src/{}:{}: {} must not name {krate}", source.path, at + 1, source.layer));
            }
        }
    }
    report(&wrong);
}

#[test]
fn state_has_one_door() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| NO_CELLS.contains(&source.layer.as_str())) {
        for cell in CELLS {
            if let Some(at) = shipped(&source.text).lines().position(|line| line.contains(cell)) {
                wrong.push(format!("src/{}:{}: {cell}", source.path, at + 1));
            }
        }
    }
    report(&wrong);
}

#[test]
fn files_and_functions_stay_small_and_files_say_what_they_are() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.layer != "pb") {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("src/{}: {lines} lines, at most {FILE_LINES}", source.path));
        }
        if !source.text.starts_with("//!") {
            wrong.push(format!("src/{}: does not open with what it is", source.path));
        }
        for (name, length) in blocks(&source.text, "fn ") {
            if length > FUNCTION_LINES {
                wrong.push(format!(
                    "src/{}: fn {name} has {length} lines, at most {FUNCTION_LINES}",
                    source.path
                ));
            }
        }
    }
    report(&wrong);
}

#[test]
fn structs_stay_small() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.layer != "pb") {
        for (name, body) in bodies(&source.text, "struct ") {
            let fields = body.iter().filter(|line| is_field(line)).count();
            if fields > STRUCT_FIELDS {
                wrong.push(format!(
                    "src/{}: struct {name} has {fields} fields, at most {STRUCT_FIELDS}",
                    source.path
                ));
            }
        }
    }
    report(&wrong);
}

fn is_field(line: &str) -> bool {
    let line = line.trim_start();
    let word = line
        .strip_prefix("pub")
        .map_or(line, |rest| rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start());
    !line.starts_with("//")
        && !line.starts_with('#')
        && word
            .split(':')
            .next()
            .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        && word.contains(": ")
}

fn blocks(text: &str, keyword: &str) -> Vec<(String, usize)> {
    bodies(text, keyword).into_iter().map(|(name, body)| (name, body.len() + 2)).collect()
}

/// Items that begin a line (formatted code) with the keyword, up to the brace at the same depth.
fn bodies(text: &str, keyword: &str) -> Vec<(String, Vec<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let words = ["pub ", "pub(super) ", "pub(crate) ", "async ", "const "];
        let mut item = trimmed;
        while let Some(rest) = words.iter().find_map(|word| item.strip_prefix(word)) {
            item = rest;
        }
        let Some(rest) = item.strip_prefix(keyword) else { continue };
        let indent = line.len() - trimmed.len();
        let close = format!("{}}}", " ".repeat(indent));
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body = lines[at + 1..]
            .iter()
            .take_while(|line| !line.starts_with(&close))
            .map(|line| (*line).to_owned());
        out.push((name, body.collect()));
    }
    out
}

#[test]
fn tests_do_not_sleep_and_none_is_ignored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut folders = vec![root.join("tests"), root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|end| end != "rs") || path.ends_with("tidy.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            for word in ["thread::sleep", "#[ignore", "todo!(", "unimplemented!("] {
                if text.contains(word) {
                    wrong.push(format!("{}: {word}", path.strip_prefix(root).unwrap_or(&path).display()));
                }
            }
        }
    }
    report(&wrong);
}

/// Tests are modules of three programs: a file that none of them names would never run.
#[test]
fn every_test_file_is_in_a_program() {
    const PROGRAMS: [&str; 3] = ["servers", "judged", "people"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let text = |name: &str| fs::read_to_string(root.join(format!("{name}.rs"))).expect("text");
    let all = PROGRAMS.map(text).concat();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&root).expect("readable") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let is_test = path.extension().is_some_and(|end| end == "rs") || path.join("mod.rs").is_file();
        if is_test && !PROGRAMS.contains(&name.as_str()) && !all.contains(&format!("\nmod {name};")) {
            wrong.push(format!("tests/{name} is in no program"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
