//! A folder, a writer and a rotation by hand: what a tail tells after each step. No sleeps: a step
//! is a call.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::{Head, Heard, Missed, Position, Tail};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.at(name)).expect("open");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).expect("renamed");
    }

    fn compress(&self, from: &str, to: &str) {
        let text = fs::read(self.at(from)).expect("read");
        let mut gz = GzEncoder::new(File::create(self.at(to)).expect("created"), Compression::fast());
        gz.write_all(&text).expect("compressed");
        gz.finish().expect("finished");
        fs::remove_file(self.at(from)).expect("removed");
    }

    fn copy_and_truncate(&self, from: &str, to: &str) {
        fs::copy(self.at(from), self.at(to)).expect("copied");
        OpenOptions::new().write(true).truncate(true).open(self.at(from)).expect("truncated");
    }

    fn tail(&self, from: Option<Position>) -> Tail {
        Tail::new(&self.at("flows.log"), from)
    }
}

/// Lines and losses of some steps, in words.
fn steps(tail: &mut Tail, count: usize) -> String {
    let mut out = Vec::new();
    for _ in 0..count {
        step(tail, 1 << 20, &mut out);
    }
    out.join(" ")
}

fn step(tail: &mut Tail, budget: u64, out: &mut Vec<String>) -> super::Step {
    let hear = &mut |heard: Heard<'_>| match heard {
        Heard::Line(line) => out.push(String::from_utf8_lossy(line).into_owned()),
        Heard::Missed(missed) => out.push(format!("<{missed:?}>")),
    };
    tail.step(budget, hear).expect("a step")
}

#[test]
fn half_lines_wait_until_they_are_whole() {
    let folder = Folder::new();
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 2), "", "not there yet");
    folder.write("flows.log", "a\nb");
    assert_eq!(steps(&mut tail, 2), "a");
    folder.write("flows.log", "c\r\nd\n");
    assert_eq!(steps(&mut tail, 2), "bc\r d");
    assert_eq!(steps(&mut tail, 2), "");
}

#[test]
fn a_position_goes_on_behind_the_last_whole_line() {
    let folder = Folder::new();
    folder.write("flows.log", "a\nb\nhal");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a b");
    let position = tail.position();
    assert_eq!(position.map(|position| position.offset), Some(4));
    drop(tail);
    folder.write("flows.log", "f\nc\n");
    assert_eq!(steps(&mut folder.tail(position), 2), "half c");
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    let folder = Folder::new();
    folder.write("flows.log", "a\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a");
    folder.rename("flows.log", "flows.log.1");
    folder.write("flows.log.1", "b\n");
    assert_eq!(steps(&mut tail, 2), "b", "the path is empty for now");
    folder.write("flows.log", "");
    assert_eq!(steps(&mut tail, 1), "");
    folder.write("flows.log.1", "c\n");
    assert_eq!(steps(&mut tail, 1), "c", "its writer did not know yet");
    folder.write("flows.log", "d\n");
    assert_eq!(steps(&mut tail, 2), "d");
}

#[test]
fn several_rotations_between_two_steps_lose_nothing() {
    let folder = Folder::new();
    folder.write("flows.log", "a\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a");
    folder.write("flows.log", "b\n");
    folder.rename("flows.log", "flows.log.1");
    folder.write("flows.log", "c\nlast");
    folder.rename("flows.log.1", "flows.log.2");
    folder.rename("flows.log", "flows.log.1");
    folder.compress("flows.log.2", "flows.log.2.gz");
    folder.write("flows.log", "d\n");
    assert_eq!(steps(&mut tail, 6), "b c last d", "a file that is done gives its last line, half or not");
}

#[test]
fn a_restart_finds_its_file_under_another_name_and_compressed() {
    let folder = Folder::new();
    folder.write("flows.log", "a\nb\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a b");
    let position = tail.position();
    drop(tail);
    folder.write("flows.log", "c\n");
    folder.rename("flows.log", "flows.log.2");
    folder.compress("flows.log.2", "flows.log.2.gz");
    folder.write("flows.log.3", "old\n");
    folder.write("flows.log.1", "d\n");
    folder.write("flows.log", "e\n");
    let mut tail = folder.tail(position);
    assert_eq!(steps(&mut tail, 6), "c d e", "what is older was told before");
    let position = tail.position();
    assert_eq!(steps(&mut folder.tail(position), 4), "");
}

#[test]
fn copied_and_truncated_goes_on_in_the_copy() {
    let folder = Folder::new();
    folder.write("flows.log", "a\nb");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a");
    folder.write("flows.log", "b\nc\n");
    folder.copy_and_truncate("flows.log", "flows.log.1");
    assert_eq!(steps(&mut tail, 2), "bb c");
    folder.write("flows.log", "d\n");
    assert_eq!(steps(&mut tail, 3), "d");
}

#[test]
fn a_file_that_grew_again_after_it_was_emptied_is_known_by_its_beginning() {
    let folder = Folder::new();
    folder.write("flows.log", "a\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a");
    folder.copy_and_truncate("flows.log", "flows.log.1");
    folder.write("flows.log", "b\nc\nd\n");
    // At the end of what it reads, the tail sees that this is not the text it knew.
    let told = steps(&mut tail, 4);
    assert!(told.ends_with("b c d"), "{told}");
    let position = tail.position();
    assert_eq!(steps(&mut folder.tail(position), 3), "");
}

#[test]
fn what_is_gone_is_said() {
    let folder = Folder::new();
    folder.write("flows.log", "a\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a");
    let position = tail.position();
    fs::remove_file(folder.at("flows.log")).expect("removed");
    folder.write("flows.log.1", "c\n");
    folder.write("flows.log", "d\n");
    assert_eq!(steps(&mut tail, 4), "<Rotated> c d");
    assert_eq!(steps(&mut folder.tail(position), 4), "<Rotated> c d");

    let folder = Folder::new();
    folder.write("flows.log", "a\nb\n");
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 1), "a b");
    OpenOptions::new().write(true).truncate(true).open(folder.at("flows.log")).expect("truncated");
    folder.write("flows.log", "c\n");
    assert_eq!(steps(&mut tail, 3), "<Truncated> c");
}

#[test]
fn rotated_files_are_read_first_and_once_and_a_cut_one_is_said() {
    let folder = Folder::new();
    for (name, text) in [("flows.log.3", "a\n"), ("flows.log.2", "b\n"), ("flows.log.1", "c\n")] {
        folder.write(name, text);
    }
    folder.compress("flows.log.3", "flows.log.3.gz");
    folder.compress("flows.log.2", "flows.log.2.gz");
    let whole = fs::read(folder.at("flows.log.2.gz")).expect("read");
    fs::write(folder.at("flows.log.2.gz"), &whole[..12]).expect("cut");
    fs::write(folder.at("flows.log.1.gz"), "no gzip, and the plain form is still there").expect("written");
    folder.write("flows.log", "d\n");
    assert_eq!(steps(&mut folder.tail(None), 8), "a <Damaged> c d");
}

#[test]
fn a_line_beyond_the_limit_is_passed_over_and_memory_stays_bounded() {
    let folder = Folder::new();
    let long = "x".repeat((5 << 20) + 7);
    folder.write("flows.log", &format!("a\n{long}"));
    let mut tail = folder.tail(None);
    assert_eq!(steps(&mut tail, 8), "a <Long>");
    folder.write("flows.log", "more of it\nb\n");
    assert_eq!(steps(&mut tail, 2), "b");
}

#[test]
fn the_lag_is_what_is_not_told_yet() {
    let folder = Folder::new();
    folder.write("flows.log.1", "aaaa\nbbbb\n");
    folder.write("flows.log", "cccc\n");
    let (mut tail, mut out) = (folder.tail(None), Vec::new());
    let first = step(&mut tail, 5, &mut out);
    assert_eq!((first.read_bytes, first.behind_bytes), (5, 10));
    for _ in 0..6 {
        step(&mut tail, 100, &mut out);
    }
    assert_eq!(step(&mut tail, 100, &mut out).behind_bytes, 0);
    assert_eq!(out.join(" "), "aaaa bbbb cccc");
}

#[test]
fn the_hash_of_a_beginning_never_changes_for_it_is_stored() {
    assert_eq!(Head::of(b""), Head { len: 0, hash: 0xcbf2_9ce4_8422_2325 });
    assert_eq!(Head::of(b"a"), Head { len: 1, hash: 0xaf63_dc4c_8601_ec8c });
    assert_eq!(Missed::Long.as_str(), "a line was longer than 1 MiB");
}
