//! The owner gate: each file of `tests/cases/gate` tells policies, evidence and reviews, and after a
//! question what is answered (`=>`). Then what must hold for every opening and every grant.

mod dossier;
mod evidence;
mod laws;
mod orders;
mod story;

use std::{fs, path::Path};

#[test]
fn the_gate_answers_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/gate");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = story::play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(4).header("written", "answered").to_string();
        assert!(text == actual, "{} differs:\n{diff}", file.display());
    }
}
