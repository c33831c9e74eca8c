//! One line of a pod's log: the time at which the container printed it, and a record. Pure.
//!
//! The container's time orders lines and says where to go on. A record has a time of its own in most
//! formats, and that one counts; a kernel's line that has none happened when it was printed.

use std::{borrow::Cow, hash::BuildHasher};

use foldhash::quality::FixedState;

use crate::{
    domain::{
        flow::{FlowId, PolicyRef},
        names::{NodeName, NsName, PolicyName, Text},
        policy::PolicyKind,
        sighting::Outcome,
        time::Timestamp,
    },
    flows::{
        judged::Word,
        records::{Context, Decoder, Format, words},
    },
};

use super::{follow::Printer, node::time_of};

/// A line without what the API server put before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub printed: Timestamp,
    pub text: &'a [u8],
}

/// `None`: the line has no time, so the container did not print it. Kubelets put such lines of their
/// own into a log when they cannot read on.
pub fn split(line: &[u8]) -> Option<Line<'_>> {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let printed = words::rfc3339(std::str::from_utf8(&line[..end]).ok()?)?;
    Some(Line { printed, text: line.get(end + 1..).unwrap_or_default() })
}

impl<'a> Line<'a> {
    /// What the decoder of this format is given.
    pub fn record(&self, format: Format, node: &NodeName) -> Cow<'a, [u8]> {
        if format != Format::KernelLog || self.text.first() == Some(&b'{') || self.has_time() {
            return Cow::Borrowed(self.text);
        }
        let stamp = self.printed.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
        let mut whole = format!("{stamp} {node} kernel: ").into_bytes();
        whole.extend_from_slice(self.text);
        Cow::Owned(whole)
    }

    fn has_time(&self) -> bool {
        let first = self.text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let Ok(first) = std::str::from_utf8(first) else { return false };
        let is_unix = |(seconds, rest): (&str, &str)| {
            seconds.len() == 10 && seconds.bytes().chain(rest.bytes()).all(|b| b.is_ascii_digit())
        };
        words::rfc3339(first).is_some() || first.split_once('.').is_some_and(is_unix)
    }

    /// What a repeat would be known by: its text, for a printer that starts again prints the same
    /// lines at another time; and its time where the text has none.
    pub fn id(&self, format: Format, node: &NodeName) -> FlowId {
        let printed = (format == Format::KernelLog && !self.has_time())
            .then(|| self.printed.timestamp_nanos_opt().unwrap_or_default());
        let hash =
            FixedState::with_seed(0x10_95).hash_one((node.as_str(), format.as_str(), self.text, printed));
        FlowId(compact_str::format_compact!("{node}/{hash:016x}"))
    }
}

/// When the first record of a log's beginning happened; `None`: none of its whole lines is a record.
pub fn first(beginning: &[u8], printer: &Printer) -> Option<Timestamp> {
    let context = Context { node: Some(printer.node.clone()), logged: printer.logged, ..Context::default() };
    let mut decoder = Decoder::new(printer.format, context);
    let (whole, _) = beginning.split_at(memchr::memrchr(b'\n', beginning)?);
    whole
        .split(|byte| *byte == b'\n')
        .filter_map(split)
        .find_map(|line| record_at(&line, printer, &mut decoder))
}

/// When the last record of a log's end happened; what a program says of its own is none.
pub fn last(end: &[u8], printer: &Printer) -> Option<Timestamp> {
    let context = Context { node: Some(printer.node.clone()), logged: printer.logged, ..Context::default() };
    let mut decoder = Decoder::new(printer.format, context);
    let lines = end.split(|byte| *byte == b'\n').rev();
    lines.filter_map(split).find_map(|line| record_at(&line, printer, &mut decoder))
}

fn record_at(line: &Line<'_>, printer: &Printer, decoder: &mut Decoder) -> Option<Timestamp> {
    let mut at: Option<Timestamp> = None;
    let record = line.record(printer.format, &printer.node);
    decoder.line(&record, &mut |told| at = at.or_else(|| time_of(&told))).ok()?;
    // Nothing is printed before it happens.
    Some(at?.min(line.printed))
}

/// What the data plane itself said in this record.
pub fn word(format: Format, outcome: Outcome, record: &[u8]) -> Word {
    let text = std::str::from_utf8(record).unwrap_or_default();
    match format {
        Format::AntreaLog => np_log(text),
        Format::CalicoJson => Word { said: Text::new("deny"), by: None },
        Format::KernelLog if text.contains("policy DENIED") => Word { said: Text::new("DENIED"), by: None },
        Format::KernelLog if outcome == Outcome::Denied => Word { said: Text::new("Log rule"), by: None },
        Format::AntreaCsv => Word { said: Text::new("Drop or Reject"), by: None },
        Format::HubbleJson | Format::KernelLog | Format::Dnstap => Word::default(),
    }
}

/// `… K8sNetworkPolicy:shop/allow-dns <nil> Egress Drop …`; a default drop names no policy.
fn np_log(text: &str) -> Word {
    let policy = text.split(' ').nth(3).and_then(|word| word.strip_prefix("K8sNetworkPolicy:"));
    let by = policy.and_then(|policy| policy.split_once('/')).and_then(|(ns, name)| {
        let name = PolicyName::parse(name).ok()?;
        Some(PolicyRef { kind: PolicyKind::NetworkPolicy, ns: NsName::parse(ns).ok(), name })
    });
    let said = if text.contains(" Reject ") { "Reject" } else { "Drop" };
    Word { said: Text::new(said), by }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeName {
        NodeName::parse("worker-3").expect("a name")
    }

    #[test]
    fn the_containers_time_is_taken_off_and_lines_without_one_are_not_the_containers() {
        let line = split(b"2026-03-02T09:15:05.120394123Z 2026/03/02 09:15:05.1 x").expect("a line");
        assert_eq!(line.printed.timestamp_subsec_nanos(), 120_394_123);
        assert_eq!(line.text, b"2026/03/02 09:15:05.1 x");
        assert_eq!(split(b"2026-03-02T09:15:05Z").expect("an empty line").text, b"");
        for foreign in
            ["", "failed to watch file \"/var/log/pods/x/0.log\": no space left on device", "unexpected EOF"]
        {
            assert_eq!(split(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn a_kernels_line_without_a_time_happened_when_it_was_printed() {
        let record = |text: &str| {
            let line = format!("2026-03-02T09:15:05.5Z {text}");
            let line = split(line.as_bytes()).expect("a line");
            String::from_utf8(line.record(Format::KernelLog, &node()).into_owned()).expect("text")
        };
        assert_eq!(
            record("[12.345] calico-packet: IN=a OUT= SRC=10.0.0.1 DST=10.0.0.2"),
            "2026-03-02T09:15:05.500000000Z worker-3 kernel: [12.345] calico-packet: IN=a OUT= SRC=10.0.0.1 DST=10.0.0.2"
        );
        for own in
            ["2026-03-02T09:15:04+0000 w kernel: x", "1772443504.120394 w kernel: x", "{\"MESSAGE\":\"x\"}"]
        {
            assert_eq!(record(own), own);
        }
    }

    #[test]
    fn a_line_that_is_printed_again_is_known_unless_only_its_time_tells_it_from_another() {
        let id = |format, line: &str| split(line.as_bytes()).expect("a line").id(format, &node());
        let np = "2026/03/02 09:15:05.120394 EgressDefaultRule K8sNetworkPolicy";
        let twice = [format!("2026-03-02T09:15:05Z {np}"), format!("2026-03-02T10:00:00Z {np}")];
        assert_eq!(id(Format::AntreaLog, &twice[0]), id(Format::AntreaLog, &twice[1]));
        let kernel = "calico-packet: IN=a OUT=";
        let twice = [format!("2026-03-02T09:15:05Z {kernel}"), format!("2026-03-02T10:00:00Z {kernel}")];
        assert_ne!(id(Format::KernelLog, &twice[0]), id(Format::KernelLog, &twice[1]));
    }

    #[test]
    fn the_first_record_of_a_log_is_the_first_whole_line_that_is_one() {
        let printer = Printer {
            ns: Text::new("sluice"),
            pod: Text::new("p"),
            uid: Text::new("u"),
            container: None,
            node: node(),
            format: Format::AntreaLog,
            logged: None,
        };
        let np = |at: &str, happened: &str| {
            format!(
                "{at} 2026/03/02 {happened} EgressDefaultRule K8sNetworkPolicy <nil> Egress Drop <nil> shop/a 10.0.0.1 4 10.0.0.2 443 TCP 60 <nil>\n"
            )
        };
        let first = |text: &str| first(text.as_bytes(), &printer).map(|at| at.to_rfc3339());
        // A kubelet's complaint and lines that are no records go first; what was printed again happened before.
        let log = format!(
            "unexpected EOF\n2026-03-02T08:00:00Z tail: not a record\n{}{}",
            np("2026-03-02T09:15:05Z", "07:00:01.5"),
            np("2026-03-02T09:15:06Z", "09:15:06.0")
        );
        assert_eq!(first(&log).as_deref(), Some("2026-03-02T07:00:01.500+00:00"));
        // A record is not from after the time at which it was printed.
        assert_eq!(
            first(&np("2026-03-02T09:15:05Z", "23:00:00.0")).as_deref(),
            Some("2026-03-02T09:15:05+00:00")
        );
        let cut = np("2026-03-02T09:15:05Z", "09:15:05.0");
        assert_eq!((first(cut.trim_end()), first(""), first("2026-03-02T08:00:00Z x\n")), (None, None, None));
        // What a program says of its own after its last record is none, and the times of records count.
        let log = format!("{log}2026-03-05T09:00:00Z level=info msg=\"export broken\"\nunexpected EOF");
        let last = |text: &str| last(text.as_bytes(), &printer).map(|at| at.to_rfc3339());
        assert_eq!(last(&log).as_deref(), Some("2026-03-02T09:15:06+00:00"));
        assert_eq!((last("unexpected EOF"), last("2026-03-02T08:00:00Z x")), (None, None));
    }

    #[test]
    fn np_log_names_policies_save_for_a_default_drop() {
        let said = |line: &str| {
            let word = word(Format::AntreaLog, Outcome::Denied, line.as_bytes());
            let by = word.by.map(|by| format!("{:?} {}", by.ns.map(|ns| ns.to_string()), by.name));
            (word.said.to_string(), by)
        };
        assert_eq!(
            said("d t EgressDefaultRule K8sNetworkPolicy <nil> Egress Drop <nil> shop/a"),
            ("Drop".to_owned(), None)
        );
        assert_eq!(
            said("d t IngressRule K8sNetworkPolicy:shop/ingress-allowlist <nil> Ingress Allow 190 shop/a").1,
            Some("Some(\"shop\") ingress-allowlist".to_owned())
        );
        assert_eq!(
            said("d t AntreaPolicyEgressRule AntreaNetworkPolicy:shop/x rule Egress Reject 14500 shop/a"),
            ("Reject".to_owned(), None)
        );
    }
}
