//! Whole input to be damaged: files of a generated week, the recorded cases of other tests, and what
//! sluice writes itself.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use sluice::{
    flows::{dnstap::frames, records::Format},
    sim::week::{
        cases::{self, Case, Settings, Size},
        files::{self, Form},
    },
};

/// A file of one format.
pub struct File {
    pub format: Format,
    pub bytes: Vec<u8>,
}

/// Monday, 2 March 2026, nanoseconds since 1970.
pub const START: i64 = 1_772_409_600 * 1_000_000_000;
/// So much of each file: what one damage does is seen in a few lines.
const LENGTH: usize = 24 << 10;

/// A beginning of a file of every format, plain and packed.
pub fn files() -> Vec<File> {
    let mut out = Vec::new();
    let mut put = |format: Format, bytes: Vec<u8>| {
        let packed = gzip(&bytes);
        out.extend([bytes, packed].map(|bytes| File { format, bytes }));
    };
    for (form, format) in [
        (Form::Hubble, Format::HubbleJson),
        (Form::Calico, Format::CalicoJson),
        (Form::AntreaAndDnstap, Format::AntreaCsv),
        (Form::AntreaLogAndDnstap, Format::AntreaLog),
    ] {
        let (flows, dns) = week(form);
        put(format, flows);
        match form {
            Form::Calico => put(Format::CalicoJson, dns.expect("answers of its own")),
            Form::AntreaAndDnstap => put(Format::Dnstap, dns.expect("a resolver's")),
            Form::Hubble | Form::HubbleAndDnstap | Form::AntreaLogAndDnstap => {}
        }
    }
    put(Format::KernelLog, recorded("records/kernel-log").concat());
    out
}

/// The first file of flows and the first of answers.
fn week(form: Form) -> (Vec<u8>, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().expect("a folder");
    // All but those that take long to write.
    let cases = Case::ALL.into_iter().filter(|case| *case != Case::Churn).collect();
    let settings = Settings { seed: 1, start: START, days: 1, size: Size::SMALL, cases };
    let written = files::write(cases::week(&settings), form, folder.path(), 1).expect("written");
    let beginning = |(path, _): &(PathBuf, _)| {
        let mut bytes = fs::read(path).expect("readable");
        bytes.truncate(LENGTH);
        bytes
    };
    (beginning(written.flows.first().expect("flows")), written.dns.first().map(beginning))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

/// The lines of all files in a folder of `tests`, comments and expectations too: noise is welcome.
pub fn recorded(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let lines = |path: PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        let lines = text.lines().map(|line| line.trim_start_matches("  "));
        let whole = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!', '=']));
        whole.map(|line| format!("{line}\n").into_bytes()).collect::<Vec<_>>()
    };
    paths.into_iter().flat_map(lines).collect()
}

/// A golden of another test, without its header.
pub fn golden(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    let text = fs::read_to_string(path).expect("the golden");
    let (_, body) = text.trim_start_matches("---\n").split_once("---\n").expect("a header");
    body.as_bytes().to_vec()
}

pub fn asset(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(path)).expect("the asset")
}

/// The frames of a resolver's file.
pub fn dnstap_frames() -> Vec<Vec<u8>> {
    let file = files().into_iter().find(|file| file.format == Format::Dnstap).expect("a resolver's");
    let whole = frames::File::new(file.bytes.as_slice()).filter_map(Result::ok);
    whole.take(200).map(|frame| frame.to_vec()).collect()
}
