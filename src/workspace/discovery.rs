//! `network-policies/discovery/<namespace>.md` and its companion `<namespace>.edges.jsonl`: found,
//! read and written whole. A file is replaced by a complete one or not at all. Knows nothing of what
//! stands in them; decides nothing.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{fleet_file::DISCOVERY, policy_files};
use crate::{
    cockpit::ports::Trouble,
    domain::names::{NsName, Text},
};

/// The two files of a namespace, as they lie there. `None`: not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub document: Option<String>,
    pub companion: Option<String>,
}

/// Largest document or companion that is read.
const FILE_LIMIT: u64 = 1 << 30;
/// Longest first line that is read.
const LINE_LIMIT: u64 = 64 << 20;
const END: &str = ".edges.jsonl";

/// Where a namespace's document lies.
pub fn document_path(root: &Path, ns: &NsName) -> PathBuf {
    folder(root).join(format!("{ns}.md"))
}

/// Where its companion lies.
pub fn companion_path(root: &Path, ns: &NsName) -> PathBuf {
    folder(root).join(format!("{ns}{END}"))
}

fn folder(root: &Path) -> PathBuf {
    root.join(policy_files::FOLDER).join(DISCOVERY)
}

/// The path as people know it: from the root of the workspace on.
pub fn shown(root: &Path, path: &Path) -> String {
    Text::new(&path.strip_prefix(root).unwrap_or(path).to_string_lossy()).to_string()
}

/// Both files of a namespace.
pub fn read(root: &Path, ns: &NsName) -> Result<Files, Trouble> {
    Ok(Files {
        document: read_text(root, &document_path(root, ns))?,
        companion: read_text(root, &companion_path(root, ns))?,
    })
}

/// Namespaces that have a companion, by name.
pub fn namespaces(root: &Path) -> Vec<NsName> {
    let Ok(entries) = fs::read_dir(folder(root)) else { return Vec::new() };
    let mut out: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| NsName::parse(entry.file_name().to_string_lossy().strip_suffix(END)?).ok())
        .collect();
    out.sort();
    out
}

/// Namespaces that have a document, a companion, or both, by name.
pub fn documented(root: &Path) -> Vec<NsName> {
    let Ok(entries) = fs::read_dir(folder(root)) else { return Vec::new() };
    let mut out: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            NsName::parse(name.strip_suffix(END).or_else(|| name.strip_suffix(".md"))?).ok()
        })
        .collect();
    out.sort();
    out.dedup();
    out
}

/// The first line of a file of the workspace; `None`: it is not there.
pub fn first_line(root: &Path, path: &Path) -> Result<Option<String>, Trouble> {
    let cannot = |fact: String| Trouble::new(&shown(root, path), &fact, "Correct the file or its rights.");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(format!("cannot be read ({error})"))),
    };
    let mut line = Vec::new();
    io::BufReader::new(file.take(LINE_LIMIT))
        .read_until(b'\n', &mut line)
        .map_err(|error| cannot(format!("cannot be read ({error})")))?;
    String::from_utf8(line).map(Some).map_err(|_| cannot("is not UTF-8 text".to_owned()))
}

/// A file of the workspace; `None`: it is not there.
pub fn read_text(root: &Path, path: &Path) -> Result<Option<String>, Trouble> {
    let cannot = |fact: String| Trouble::new(&shown(root, path), &fact, "Correct the file or its rights.");
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(format!("cannot be read ({error})"))),
    };
    if !metadata.is_file() {
        return Err(cannot("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(format!("cannot be read ({error})")))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(cannot(format!("has more than {FILE_LIMIT} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| cannot("is not UTF-8 text".to_owned()))
}

/// Replaces a file by this text: whole, and on the disk before the old one is gone.
pub fn write(root: &Path, path: &Path, text: &str) -> Result<(), Trouble> {
    replace(path, text.as_bytes()).map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "Make room on the disk and run it again; the old file is untouched."
            }
            _ => "Correct the folder's rights and run it again; the old file is untouched.",
        };
        Trouble::new(&shown(root, path), &format!("could not be written ({error})"), next)
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&fresh, path));
    if moved.is_err() {
        // What is left of the half-written one helps nobody.
        let _ = fs::remove_file(&fresh);
    }
    moved?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_found_again() {
        let root = tempfile::tempdir().expect("a folder");
        let ns = NsName::parse("shop").expect("valid");
        assert_eq!(read(root.path(), &ns), Ok(Files::default()));
        write(root.path(), &document_path(root.path(), &ns), "one").expect("written");
        write(root.path(), &document_path(root.path(), &ns), "two").expect("written");
        write(root.path(), &companion_path(root.path(), &ns), "edges").expect("written");
        let files = read(root.path(), &ns).expect("readable");
        assert_eq!((files.document.as_deref(), files.companion.as_deref()), (Some("two"), Some("edges")));
        assert_eq!(namespaces(root.path()), [ns]);
        assert_eq!(fs::read_dir(folder(root.path())).expect("there").count(), 2, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_written_is_told_with_the_next_step() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join(policy_files::FOLDER), "in the way").expect("written");
        let ns = NsName::parse("shop").expect("valid");
        let said = write(root.path(), &document_path(root.path(), &ns), "x").expect_err("refused");
        assert!(said.to_string().starts_with("network-policies/discovery/shop.md: could not be written ("));
    }
}
