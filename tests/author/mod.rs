//! Authoring: each file of `tests/cases/author` tells facts, evidence and reviews, and after a
//! question what is written (`=>`). Then what must hold for every draft, and what the built binary
//! does to files that people wrote.

mod evaluated;
mod files;
mod laws;
mod story;
mod surroundings;

use std::{fs, path::Path};

use crate::eval::naive;

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn policies_are_written_as_the_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/author");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = story::play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(4).header("written", "answered").to_string();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &actual).expect("written");
        } else if text != actual {
            wrong.push_str(&format!("{} differs:\n{diff}\n", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
