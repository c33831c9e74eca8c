//! The files that rotation leaves beside a live one, oldest first: `flows.log.2.gz flows.log.1`,
//! `flows.log-20260302`, `events-2026-03-02T09-15-04.120.log.gz`. Only names that rotation makes.

use std::{
    cmp::Reverse,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Who a file is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub len: u64,
}

/// `None`: there is no such file.
pub fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(Identity { device: meta.dev(), inode: meta.ino(), len: meta.len() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The rotated files, oldest first, and the live one if it is there.
pub fn all(live: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (live.parent(), live.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name();
        if let Some(age) = other.to_str().and_then(|other| age(name, other)) {
            files.push((age, entry.path()));
        }
    }
    // A file and its compressed form: the plain one is whole until it goes.
    files.sort();
    files.dedup_by(|later, earlier| later.0.same(&earlier.0));
    let mut files: Vec<_> = files.into_iter().map(|(_, path)| path).collect();
    if identity(live)?.is_some() {
        files.push(live.to_owned());
    }
    Ok(files)
}

/// Orders oldest first, and the plain form before the compressed one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    number: Reverse<Option<u32>>,
    text: String,
    compressed: bool,
}

impl Age {
    fn same(&self, other: &Self) -> bool {
        self.number == other.number && self.text == other.text
    }
}

/// `None`: not a name that rotation makes of the live one's.
fn age(live: &str, other: &str) -> Option<Age> {
    let plain = other.strip_suffix(".gz").unwrap_or(other);
    let compressed = plain.len() < other.len();
    let (stem, end) = live.rsplit_once('.').map_or((live, ""), |(stem, end)| (stem, end));
    let behind = plain.strip_prefix(live).and_then(|rest| rest.strip_prefix(['.', '-']));
    let within = || plain.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(end)?.strip_suffix('.');
    let mark = behind.or_else(within)?;
    if !mark.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // A small number counts up with age; dates are text and order by themselves.
    let number = if mark.len() < 6 { mark.parse().ok() } else { None };
    let text = if number.is_some() { String::new() } else { mark.to_owned() };
    Some(Age { number: Reverse(number), text, compressed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_known_by_name_and_ordered_by_age() {
        let ordered = |live: &str, names: &[&str]| {
            let mut found: Vec<_> = names.iter().filter_map(|name| Some((age(live, name)?, *name))).collect();
            found.sort();
            found.into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            ordered(
                "flows.log",
                &["flows.log.1", "flows.log", "flows.log.10.gz", "flows.log.2.gz", "flows.log.pos"]
            ),
            ["flows.log.10.gz", "flows.log.2.gz", "flows.log.1"]
        );
        assert_eq!(
            ordered(
                "events.log",
                &[
                    "events-2026-03-02T09-15-04.120.log",
                    "events-2026-03-01T09-15-04.120.log.gz",
                    "events-x.log",
                    "other-2026-03-01T09-15-04.120.log",
                    "events.log.tmp"
                ]
            ),
            ["events-2026-03-01T09-15-04.120.log.gz", "events-2026-03-02T09-15-04.120.log"]
        );
        assert_eq!(
            ordered("np.log", &["np.log-20260302", "np.log-20260301.gz", "np.log-20260302.gz"]),
            ["np.log-20260301.gz", "np.log-20260302", "np.log-20260302.gz"]
        );
    }
}
