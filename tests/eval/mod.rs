//! The evaluator: text cases with answers written down from the API's reference, a second evaluator
//! that is slow and plain against it on generated clusters, and what must hold for all of them.

mod generated;
mod laws;
mod live;
pub mod naive;
mod predict;
mod story;

use std::{fs, path::Path};

#[test]
fn verdicts_are_as_written() {
    played("tests/cases/eval", 8, story::play);
}

/// Every file of cases in a folder, at least so many, answers as it says.
fn played(folder: &str, least: usize, play: fn(&str) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= least, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        if text != actual {
            let diff = diff.unified_diff().context_radius(3).header("written", "answered").to_string();
            wrong.push_str(&format!("{}:\n{diff}\n", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
