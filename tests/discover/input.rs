//! Files as they come: packed, rotated, cut short, mixed, with wrong clocks. Everything whole counts,
//! and everything else is a sentence with its file, its line and the next step.

use std::path::Path;

use sluice::{
    domain::{edge::Window, sighting::Outcome},
    flows::{
        offline::{self, Complaint, Found, Input, Job},
        records::Format,
    },
    sim::week::{
        cases::{self, Settings, Size},
        files::{self, Form},
    },
};

use crate::dnstap::wire::{Dns, Event, START, STOP, TYPE, control, data};

use super::{
    lines::{answer, flow, gz, gz_of, input, put, said},
    week::{at, window},
};

const HUBBLE: Option<Format> = Some(Format::HubbleJson);

/// Reads files, with a clock of the small week.
fn read(flows: Vec<Input>, dns: Vec<Input>, window: Option<Window>) -> Found {
    offline::run(&Job { flows, dns, window, now: at(7, 6), threads: 2 }, &mut |_| {})
}

fn lines(count: i64) -> String {
    (0..count)
        .map(|n| format!("{}\n", flow(at(0, n % 160), "cart-6d4b9c7f5b-x2x4z", "203.0.113.80", 443)))
        .collect()
}

fn file(format: Option<Format>, bytes: &[u8]) -> (tempfile::TempDir, Found) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = put(folder.path(), "flows", bytes);
    let found = read(vec![input(format, &path)], Vec::new(), None);
    (folder, found)
}

#[test]
fn plain_and_packed_files_are_told_by_their_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let members = [gz(&lines(3)), gz(&lines(4))].concat();
    let files = [
        put(folder.path(), "events.log.gz", lines(5).as_bytes()),
        put(folder.path(), "events.log.1", &members),
        put(folder.path(), "events.log.2.gz", &gz(&lines(2))),
    ];
    for format in [HUBBLE, None] {
        let inputs = files.iter().map(|path| input(format, path)).collect();
        let found = read(inputs, Vec::new(), None);
        assert_eq!((found.counts.flows, found.counts.lines), (14, 14), "{format:?}");
        assert_eq!(said(&found, folder.path()), "");
        assert_eq!(found.span, Some((at(0, 0), at(0, 4))));
    }
}

/// One event of a denied packet: the verdict (`v`) or the drop (`d`).
fn denied(event: char, port: u16) -> String {
    let event = if event == 'v' { r#"{"type":5}"# } else { r#"{"type":1,"sub_type":133}"# };
    let line = flow(at(0, 0), "cart-6d4b9c7f5b-x2x4z", "203.0.113.80", port);
    let dropped = line.replace(r#""FORWARDED""#, r#""DROPPED","drop_reason_desc":"POLICY_DENIED""#);
    dropped.replace(r#"{"type":4,"sub_type":3}"#, event) + "\n"
}

/// Which worker reads which file is chance; it must not show in a count. Of a file that ends between
/// the two events of one packet both count, as the events of two packets would.
#[test]
fn the_two_events_of_a_denied_packet_count_once_whoever_reads_which_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let pairs: String = (1..=300).map(|port| denied('v', port) + &denied('d', port)).collect();
    let halves = [denied('v', 443), denied('d', 443), denied('v', 443), denied('d', 443)];
    let texts = [pairs.clone(), pairs.clone(), pairs].into_iter().chain(halves);
    let paths: Vec<_> = texts
        .enumerate()
        .map(|(n, text)| put(folder.path(), &format!("events-{n}.log"), text.as_bytes()))
        .collect();
    for threads in [1, 2, 5] {
        let flows = paths.iter().map(|path| input(HUBBLE, path)).collect();
        let job = Job { flows, dns: Vec::new(), window: None, now: at(7, 6), threads };
        let found = offline::run(&job, &mut |_| {});
        let flows: u64 = found.ledger.edges().map(|(_, edge)| edge.flows).sum();
        assert_eq!((flows, found.ledger.len()), (3 * 300 + 4, 301), "{threads} threads");
    }
}

/// A `Log` rule's line says who talked to whom, and not what became of it; whoever wrote the rule may.
#[test]
fn lines_of_a_log_rule_count_where_somebody_says_what_the_rule_stands_for() {
    let line = |port| {
        format!(
            "2026-03-02T00:00:05Z worker-3 kernel: calico-packet: IN=cali8f2a OUT=eth0 SRC=10.0.1.7 DST=203.0.113.80 PROTO=TCP SPT=51544 DPT={port} SYN\n"
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = put(folder.path(), "kern.log", (line(443) + &line(80)).as_bytes());
    let silent = read(vec![input(Some(Format::KernelLog), &path)], Vec::new(), None);
    assert_eq!(silent.counts.flows, 0);
    let expected = "kern.log: 2 lines, the first is line 1: it does not say what became of the packet, so it is no \
                    more than a sign of its node. Where the Log rule stands before a rule that allows or denies, \
                    write kernel-log=allowed:PATH or kernel-log=denied:PATH.\n";
    assert_eq!(said(&silent, folder.path()), expected);
    let logged = Some(Outcome::Denied);
    let told = read(vec![Input { logged, ..input(Some(Format::KernelLog), &path) }], Vec::new(), None);
    assert_eq!((told.counts.flows, said(&told, folder.path()).as_str()), (2, ""));
}

#[test]
fn many_pieces_lose_no_line() {
    let text = lines(5_000);
    assert!(text.len() > 2 << 20, "more than one piece");
    let (folder, found) = file(HUBBLE, text.as_bytes());
    assert_eq!((found.counts.flows, said(&found, folder.path()).as_str()), (5_000, ""));
}

#[test]
fn bad_files_are_a_sentence_each_and_what_is_whole_counts() {
    let whole = lines(3);
    let half = &whole[..whole.len() - 40];
    let packed = gz(&whole);
    let cut = &gz(&lines(2_000))[..6_000];
    let mut damaged = gz(&lines(2_000));
    damaged.iter_mut().skip(5_000).take(50).for_each(|byte| *byte ^= 0x55);
    let mixed = format!("{whole}kernel: [12.0] IN= OUT=eth0\n\n{{\"flow\":\n{}", lines(1));
    let ahead = format!("{whole}{}\n", flow(at(7, 8), "cart-1", "203.0.113.80", 443));
    let other = "{\"start_time\":1,\"end_time\":2,\"reporter\":\"src\"}\n".repeat(3);
    let long = format!("{whole}{}\n{whole}", "x".repeat(3 << 20));
    let cases: [(&str, Option<Format>, &[u8], u64); 12] = [
        ("half line", HUBBLE, half.as_bytes(), 2),
        ("no end of line", HUBBLE, whole.trim_end().as_bytes(), 3),
        ("half gzip", HUBBLE, cut, 0),
        ("damaged gzip", HUBBLE, &damaged, 0),
        ("gzip, garbage behind", HUBBLE, &[packed.as_slice(), b"garbage!garbage!"].concat(), 3),
        ("mixed", HUBBLE, mixed.as_bytes(), 4),
        ("future", HUBBLE, ahead.as_bytes(), 3),
        ("other format", HUBBLE, other.as_bytes(), 0),
        ("no format", None, b"hello\nworld\n", 0),
        ("zstd", None, b"\x28\xb5\x2f\xfd rest", 0),
        ("empty", HUBBLE, b"", 0),
        ("long line", HUBBLE, long.as_bytes(), 6),
    ];
    let mut all = String::new();
    for (what, format, bytes, flows) in cases {
        let (folder, found) = file(format, bytes);
        let least = if what.contains("half gzip") || what.contains("damaged") { 1 } else { flows };
        assert!(found.counts.flows >= least, "{what}: {}", found.counts.flows);
        assert!(flows == 0 || found.counts.flows == flows, "{what}: {}", found.counts.flows);
        all.push_str(&format!("{what}: {}", said(&found, folder.path()).replace("\nflows", "\n  flows")));
        if found.complaints.is_empty() {
            all.push('\n');
        }
    }
    insta::assert_snapshot!("bad-files", all);
}

/// Frames of a DNS server, between START and STOP.
fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let start = control(START, &[TYPE]);
    [&[start], frames, &[control(STOP, &[])]].concat().concat()
}

#[test]
fn bad_files_of_frames_are_a_sentence_each_and_what_is_whole_counts() {
    let event = |message| data(&Event::new(at(0, 1).timestamp() as u64, message).bytes());
    let name = "api.payments.example";
    let good = event(Dns::asked(name).record("A", name, "203.0.113.80", 60).bytes());
    // Its question's name is a pointer to itself.
    let header = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let looped = event([header.as_slice(), &[0xc0, 12, 0, 1, 0, 1]].concat());
    let over = [200_000_u32.to_be_bytes().as_slice(), &[0; 64]].concat();
    let whole = stream(&[good.clone(), good.clone()]);
    let packed = gz_of(&stream(&vec![good.clone(); 2_000]));
    let cases: [(&str, Vec<u8>, u64); 8] = [
        ("whole", whole.clone(), 2),
        ("no STOP", whole[..whole.len() - 12].to_vec(), 2),
        ("half frame", whole[..whole.len() - 40].to_vec(), 1),
        ("frame over the limit", stream(&[good.clone(), over, good.clone()]), 1),
        ("no event", stream(&[good.clone(), data(b"\xff\xff\xff"), good.clone()]), 2),
        ("compression in a loop", stream(&[looped.clone(), good, looped]), 1),
        ("half gzip", packed[..packed.len() / 2].to_vec(), 1),
        ("lines", lines(3).into_bytes(), 0),
    ];
    let mut all = String::new();
    for (what, bytes, answers) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let path = put(folder.path(), "frames", &bytes);
        let found = read(Vec::new(), vec![input(Some(Format::Dnstap), &path)], None);
        let counted = found.counts.answers;
        assert!(if what == "half gzip" { counted > 0 } else { counted == answers }, "{what}: {counted}");
        let said = said(&found, folder.path());
        all.push_str(&format!("{what}: {}\n", said.trim_end().replace('\n', "\n  ")));
    }
    insta::assert_snapshot!("bad-frames", all);
}

#[test]
fn inputs_that_cannot_be_are_told_before_anything_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = put(folder.path(), "flows", lines(1).as_bytes());
    let frames = put(folder.path(), "frames", b"\0\0\0\0\0\0\0\x04");
    let missing = folder.path().join("missing*");
    let dash = |format| Input { format, path: "-".into(), node: None, logged: None };
    let found = read(
        vec![input(HUBBLE, &missing), input(None, folder.path()), input(None, &frames), input(HUBBLE, &file)],
        vec![input(Some(Format::AntreaLog), &file), dash(Some(Format::Dnstap)), dash(Some(Format::Dnstap))],
        None,
    );
    assert_eq!(found.counts.flows, 1);
    insta::assert_snapshot!("bad-inputs", said(&found, folder.path()));
    assert!(found.complaints.iter().any(Complaint::is_loss));
}

#[test]
fn lines_of_complaints_are_those_of_the_file() {
    let mut text = lines(4_000);
    text.push_str("not json\n");
    let (folder, found) = file(HUBBLE, text.as_bytes());
    assert_eq!(
        said(&found, folder.path()),
        "flows: line 4001: a line is not whole JSON of this format. Look at it; the rest of the file is read.\n"
    );
    assert_eq!(found.counts.flows, 4_000);
}

#[test]
fn what_is_outside_the_window_is_left_out_by_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = lines(2);
    text.push_str(&format!("{}\n", flow(at(-1, 0), "cart-1", "203.0.113.80", 443)));
    let path = put(folder.path(), "flows", text.as_bytes());
    let found = read(vec![input(HUBBLE, &path)], Vec::new(), Some(window()));
    assert_eq!(found.complaints, []);
    let left: Vec<_> = found.ledger.left_out().map(|(why, count)| (why.as_str(), count)).collect();
    assert_eq!(left, [("outside the window", 1)]);
}

#[test]
fn answers_give_names_whatever_file_they_are_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let pod = "cart-6d4b9c7f5b-x2x4z";
    let said = format!("{}\n", answer(at(0, 1), pod, "api.payments.example", "203.0.113.80"));
    let went = format!("{}\n", flow(at(0, 1), pod, "203.0.113.80", 443));
    let one = put(folder.path(), "one", format!("{went}{said}").as_bytes());
    let flows = put(folder.path(), "flows", went.as_bytes());
    let answers = put(folder.path(), "answers", &gz(&said));
    let named = |flows: &Path, dns: Vec<Input>| {
        let found = read(vec![input(HUBBLE, flows)], dns, None);
        assert_eq!((found.counts.answers, found.complaints), (1, Vec::new()));
        let edges = found.ledger.into_edges();
        edges.into_iter().filter_map(|(key, _)| key.name).map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named(&one, Vec::new()), ["api.payments.example"]);
    assert_eq!(named(&flows, vec![input(HUBBLE, &answers)]), ["api.payments.example"]);
}

/// Answers from the future name nothing and are told, of lines and of frames.
#[test]
fn answers_with_a_wrong_clock_are_counted_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let pod = "cart-6d4b9c7f5b-x2x4z";
    let ahead = format!("{}\n", answer(at(7, 8), pod, "api.payments.example", "203.0.113.80"));
    let went = format!("{}\n", flow(at(0, 1), pod, "203.0.113.80", 443));
    let flows = put(folder.path(), "flows", went.as_bytes());
    let lines = put(folder.path(), "answers", ahead.repeat(2).as_bytes());
    let frames = frames_of_a_day_after(at(8, 0), folder.path());
    let dns = vec![input(HUBBLE, &lines), input(Some(Format::Dnstap), &frames)];
    let found = read(vec![input(HUBBLE, &flows)], dns, None);
    assert_eq!((found.counts.flows, found.counts.answers), (1, 0));
    let said = said(&found, folder.path());
    let (of_lines, of_frames) = said.split_once('\n').expect("two");
    assert_eq!(
        of_lines,
        "answers: 2 lines, the first is line 1: its time is more than an hour in the future, so it is not counted. Check the clock of the machine that wrote it."
    );
    assert!(
        of_frames.contains(" frames, the first is frame ") && of_frames.contains("an hour in the future"),
        "{said}"
    );
}

/// What a resolver tells by dnstap on a later day.
fn frames_of_a_day_after(start: sluice::domain::time::Timestamp, folder: &Path) -> std::path::PathBuf {
    let start = start.timestamp_nanos_opt().expect("in range");
    let settings = Settings { seed: 1, start, days: 1, size: Size::SMALL, cases: Default::default() };
    let written = files::write(cases::week(&settings), Form::HubbleAndDnstap, folder, 1).expect("written");
    written.dns[0].0.clone()
}
