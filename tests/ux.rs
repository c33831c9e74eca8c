//! The 60 points that screens and commands are held to: each is in `tests/ux/points.toml`, with what
//! shows it or the reason why it is left out, and what is named exists. So the table cannot rot.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    point: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    n: usize,
    says: String,
    /// Test functions, or files below the root.
    #[serde(default)]
    shown: Vec<String>,
    /// Why it is left out.
    left: Option<String>,
}

#[test]
fn each_of_the_sixty_points_is_shown_or_left_out_for_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/ux/points.toml")).expect("the table");
    let points: Points = toml::from_str(&text).expect("its rows");
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        gather(&root.join(folder), &mut tests);
    }
    assert!(tests.contains("each_of_the_sixty_points_is_shown_or_left_out_for_a_reason"));
    let mut wrong = Vec::new();
    for (at, point) in points.point.iter().enumerate() {
        if point.n != at + 1 {
            wrong.push(format!("point {} stands in place {}", point.n, at + 1));
        }
        match (&point.left, point.shown.as_slice()) {
            (None, []) => wrong.push(format!("{}: nothing shows it: {}", point.n, point.says)),
            (Some(why), shown) if why.trim().is_empty() || !shown.is_empty() => {
                wrong.push(format!("{}: either shown or left out, for a reason", point.n));
            }
            (None | Some(_), _) => {}
        }
        for name in &point.shown {
            let is_file = name.contains('.') && root.join(name).is_file();
            if !tests.contains(name) && !is_file {
                wrong.push(format!("{}: there is no test and no file {name}", point.n));
            }
        }
    }
    assert_eq!(points.point.len(), 60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of all test functions below a folder.
fn gather(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, tests);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let mut marked = false;
            for line in text.lines().map(str::trim_start) {
                marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let line = line.trim_start_matches("async ");
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                    tests.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                    marked = false;
                }
            }
        }
    }
}
