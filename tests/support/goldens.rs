//! Stories that are written down with what came of them: compared, or rewritten where `UPDATE_GOLDEN`
//! is set; and the clock on which they are played.

use std::{env, fmt::Write as _, fs, path::PathBuf};

/// What differs from what is written; nothing where it was rewritten.
pub fn compare(told: impl IntoIterator<Item = (PathBuf, String)>) -> String {
    let mut wrong = String::new();
    for (file, told) in told {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if is_update() {
            fs::write(file, &told).expect("written");
        } else if told != text {
            let diff = similar::TextDiff::from_lines(&text, &told);
            let _ = writeln!(wrong, "{}\n{}", file.display(), diff.unified_diff().context_radius(2));
        }
    }
    wrong
}

/// Plays under a paused clock.
pub fn paused<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(story)
}

#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites goldens")]
fn is_update() -> bool {
    env::var_os("UPDATE_GOLDEN").is_some()
}
