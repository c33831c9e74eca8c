//! Transcripts: the whole program on a simulated fleet under virtual time, keys typed, the screen
//! as text. Each file of `tests/transcripts` tells a story; `UPDATE_GOLDEN=1` rewrites its screens and
//! the README's pictures, which are screens of these stories.
//!
//! ```text
//! fleet NAME|FILE.toml  seed N  person WHO  from TIME  collectors      first line
//! # what the reader should notice
//! wait 30s                                           let virtual time pass
//! until TEXT                                         … until the screen shows it (at most 2 minutes)
//! keys a j ctrl-r                                    as the help writes them
//! type payments                                      letters
//! as PERSON   ·   leave                              another person's cockpit; nobody's
//! sluice report handover                             a command, as whoever sat there last
//! closed CLUSTER NAMESPACE                           what the simulation's own evaluator denies there now
//! fault CLUSTER KIND [ARG]   ·   heal CLUSTER
//! screen 100x30   ·   picture NAME                   picture: 120x40, and assets/pictures/NAME.svg
//! | what it shows
//! ```

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::support::{
    goldens,
    player::{Player, Told},
};

/// Plays them all; each has a thread of its own.
#[test]
fn transcripts_read_as_they_are_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/transcripts");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "txt"));
    files.sort();
    let read = |file: &Path| fs::read_to_string(file).expect("text");
    let told: Vec<_> = std::thread::scope(|scope| {
        let played: Vec<_> = files.iter().map(|file| scope.spawn(|| play(&read(file)))).collect();
        played.into_iter().map(|thread| thread.join().expect("the story ends")).collect()
    });
    let mut told_now = BTreeMap::new();
    for (file, told) in files.iter().zip(told) {
        told_now.insert(file.clone(), told.text);
        let pictures = told.pictures.into_iter();
        told_now.extend(pictures.map(|(name, svg)| (root.join(format!("assets/pictures/{name}.svg")), svg)));
    }
    let wrong = goldens::compare(told_now);
    assert!(
        wrong.is_empty(),
        "transcripts differ; look, then `UPDATE_GOLDEN=1 cargo test --test people transcripts::`\n{wrong}"
    );
}

/// Plays one transcript and answers it with the screens as they came out.
fn play(text: &str) -> Told {
    goldens::paused(async {
        let mut lines = text.lines();
        let first = lines.next().expect("a first line");
        let mut told = Told { text: format!("{first}\n"), pictures: Vec::new() };
        let mut player = Player::start(first);
        for line in lines.filter(|line| !line.starts_with('|')) {
            let _ = writeln!(told.text, "{line}");
            player.act(line, &mut told).await;
        }
        player.end(&told);
        told
    })
}
