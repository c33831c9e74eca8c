//! Flow records in files: which format a file has, and one door from a line of it to what it tells.
//!
//! Pure: bytes in, [`Told`] out. A bad line is one [`Malformed`] and costs no other line. What a
//! source cannot say stays `None`.

pub mod antrea_csv;
pub mod antrea_log;
pub mod antrea_record;
pub mod calico_json;
pub mod hubble_json;
mod hubble_wire;
mod json;
pub mod kernel_log;
mod known;
mod malformed;
mod meaning;
mod shapes;
mod sniff;
mod twins;
pub(in crate::flows) mod words;

use std::fmt;

use chrono::{FixedOffset, Offset as _, Utc};
use compact_str::CompactString;

use crate::domain::{
    names::NodeName,
    sighting::{Outcome, Told},
};

pub use malformed::Malformed;
pub use sniff::sniff;

/// A form of records. Dnstap is frames and has a reader of its own; it is here because the command
/// line and the sniffing know it by the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    HubbleJson,
    CalicoJson,
    AntreaCsv,
    AntreaLog,
    KernelLog,
    Dnstap,
}

impl Format {
    pub const ALL: [Self; 6] =
        [Self::HubbleJson, Self::CalicoJson, Self::AntreaCsv, Self::AntreaLog, Self::KernelLog, Self::Dnstap];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HubbleJson => "hubble-json",
            Self::CalicoJson => "calico-json",
            Self::AntreaCsv => "antrea-csv",
            Self::AntreaLog => "antrea-log",
            Self::KernelLog => "kernel-log",
            Self::Dnstap => "dnstap",
        }
    }

    /// What people call the records.
    pub fn called(self) -> &'static str {
        match self {
            Self::AntreaLog => "np.log",
            Self::AntreaCsv => "antrea-flows.log",
            Self::CalicoJson => "flows.log",
            Self::KernelLog => "kernel log",
            Self::HubbleJson => "Hubble export",
            Self::Dnstap => "dnstap",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == raw)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A release of Antrea, as far as the columns of its files depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    pub major: u16,
    pub minor: u16,
}

impl Release {
    /// `2.7`, `v2.7.0`, and what image tags put behind it.
    pub fn parse(raw: &str) -> Option<Self> {
        let mut parts = raw.strip_prefix('v').unwrap_or(raw).split('.');
        let minor = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        Some(Self { major: parts.next()?.parse().ok()?, minor: minor(parts.next()?)? })
    }
}

/// What lines do not say and whoever reads the file may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Antrea's release, which decides what the columns of its files mean. `None`: by the line.
    pub antrea: Option<Release>,
    /// Antrea's `np.log` is written in the agent's local time without saying which; in containers
    /// that is usually UTC.
    pub utc_offset: FixedOffset,
    /// The node whose file this is. A line that names a node wins.
    pub node: Option<NodeName>,
    /// What became of packets that reached a `Log` rule, where the person who wrote the rule says
    /// it. `None`: such a line is no more than a sign of its node, for it does not say.
    pub logged: Option<Outcome>,
}

impl Default for Context {
    fn default() -> Self {
        Self { antrea: None, utc_offset: Utc.fix(), node: None, logged: None }
    }
}

/// Reads the lines of one file, or of pieces of files. Keeps a bounded memory of what must not count
/// twice, so lines that belong together go to one decoder, in their order.
#[derive(Debug)]
pub struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    Hubble(Box<hubble_json::Decoder>),
    Calico(calico_json::Decoder),
    AntreaCsv(Box<antrea_csv::Decoder>),
    AntreaLog(antrea_log::Decoder),
    Kernel(kernel_log::Decoder),
    Frames,
}

impl Decoder {
    /// Longer lines are refused: no record of any source comes near.
    pub const LINE: usize = 1 << 20;

    pub fn new(format: Format, context: Context) -> Self {
        let node = context.node.map(|node| CompactString::new(node.as_str()));
        Self(match format {
            Format::HubbleJson => Kind::Hubble(Box::new(hubble_json::Decoder::new(node))),
            Format::CalicoJson => Kind::Calico(calico_json::Decoder::new(node)),
            Format::AntreaCsv => Kind::AntreaCsv(Box::new(antrea_csv::Decoder::new(context.antrea))),
            Format::AntreaLog => Kind::AntreaLog(antrea_log::Decoder::new(node, context.utc_offset)),
            Format::KernelLog => Kind::Kernel(kernel_log::Decoder::new(node, context.logged)),
            Format::Dnstap => Kind::Frames,
        })
    }

    /// The next line does not follow the last one: it is of another file or another piece of it. What
    /// was remembered so that nothing counts twice must not meet it, for which pieces a decoder gets
    /// is chance. Antrea's files are never read in pieces.
    pub fn starts_elsewhere(&mut self) {
        match &mut self.0 {
            Kind::Hubble(hubble) => hubble.starts_elsewhere(),
            Kind::Calico(_) | Kind::AntreaCsv(_) | Kind::AntreaLog(_) | Kind::Kernel(_) | Kind::Frames => {}
        }
    }

    /// One line, with or without its end. Calls `tell` for each thing it says, which may be nothing.
    pub fn line(&mut self, line: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        if line.len() > Self::LINE {
            return Err(Malformed::Long);
        }
        match &mut self.0 {
            Kind::Hubble(hubble) => hubble.decode(line, tell),
            Kind::Calico(calico) => calico.decode(line, tell),
            Kind::AntreaCsv(antrea) => antrea.decode(line, tell),
            Kind::AntreaLog(antrea) => antrea.decode(line, tell),
            Kind::Kernel(kernel) => kernel.decode(line, tell),
            Kind::Frames => Err(Malformed::Frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_names() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.as_str()), Some(format));
        }
        assert_eq!(Format::parse("auto"), None);
    }

    #[test]
    fn releases_are_read_from_image_tags() {
        let known = |raw| Release::parse(raw).map(|release| (release.major, release.minor));
        assert_eq!(known("v2.7.0"), Some((2, 7)));
        assert_eq!(known("1.15"), Some((1, 15)));
        assert_eq!(known("v2.6-dev"), Some((2, 6)));
        assert_eq!((known("latest"), known("2"), known("")), (None, None, None));
    }
}
