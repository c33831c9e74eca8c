//! dnstap from the facts: frames by hand-written bytes, answers as cases of text, and the listener over
//! pipes in memory under a paused clock.

mod frames;
mod listen;
pub mod wire;

use std::{fmt::Write as _, fs, path::Path};

use chrono::SecondsFormat;
use proptest::prelude::*;
use sluice::{
    domain::sighting::{Client, Told},
    flows::dnstap::decode::decode,
};
use wire::{Dns, Event, hex};

/// What a frame tells, a line each.
fn told(frame: &[u8]) -> String {
    let mut out = String::new();
    let result = decode(frame, &mut |told| line(&mut out, &told));
    if let Err(malformed) = result {
        write!(out, "malformed: {malformed}").expect("a String takes it");
    }
    out
}

fn line(out: &mut String, told: &Told<'_>) {
    match told {
        Told::Answer(answer) => {
            let Client::Address(client) = answer.client else { panic!("dnstap knows addresses only") };
            let at = answer.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            write!(out, "answer {at} client {client} asked {}", answer.query).expect("a String takes it");
            if !answer.cnames.is_empty() {
                write!(out, " via {}", answer.cnames.join(" ")).expect("a String takes it");
            }
            let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
            write!(out, " got {} ttl {}", addresses.join(" "), answer.ttl_secs).expect("a String takes it");
        }
        Told::Other { node, at } => {
            assert_eq!(*node, None);
            let at = at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            write!(out, "other {}", at.as_deref().unwrap_or("-")).expect("a String takes it");
        }
        Told::Flow(_) | Told::Lost(_) => panic!("dnstap tells of answers only"),
    }
}

/// The event of one block, and what is expected of it.
fn case(block: &str) -> (String, Vec<u8>, String) {
    let mut lines = block.lines();
    let title = lines.next().expect("a title").to_owned();
    let mut event = Event::new(1_774_000_000, Vec::new());
    let (mut dns, mut expected, mut cut, mut message) = (Dns::asked(""), String::new(), None, None);
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = || words[1].parse::<u64>().expect("a number");
        match words[0] {
            "=" => expected = line.trim_start_matches("= ").to_owned(),
            "client" if words[1] == "none" => event.client = None,
            "client" => event.client = Some(hex(words[1])),
            "family" => event.family = number(),
            "type" => event.kind = number(),
            "time" if words[1] == "none" => event.responded = None,
            "time" => event.responded = Some((number(), words[2].parse().expect("nanoseconds"))),
            "queried" => event.queried = Some(number()),
            "flags" => dns.flags = u16::from_str_radix(words[1], 16).expect("hex"),
            "class" => dns.class = number() as u16,
            "questions" => dns.questions = number() as u16,
            "claims" => dns.claims = Some(number() as u16),
            "cut" => cut = Some(number() as usize),
            "message" if words[1] == "none" => message = Some(None),
            "message" => message = Some(Some(hex(&words[1..].concat()))),
            "asked" => dns.asked = words[1].to_owned(),
            kind => dns = dns.record(kind, words[1], words[2], words[3].parse().expect("a lifetime")),
        }
    }
    let mut bytes = dns.bytes();
    bytes.truncate(cut.unwrap_or(bytes.len()));
    event.message = message.unwrap_or(Some(bytes));
    (title, event.bytes(), expected)
}

#[test]
fn answers_are_told_as_the_cases_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/dnstap/answers.txt");
    let text = fs::read_to_string(file).expect("the cases");
    let mut wrong = String::new();
    let blocks: Vec<&str> = text.split("\n\n").skip(1).map(str::trim).collect();
    for block in &blocks {
        let (title, frame, expected) = case(block);
        let said = told(&frame);
        if said != expected {
            writeln!(wrong, "{title}\n  expected {expected}\n  said     {said}").expect("a String takes it");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(blocks.len() > 40, "{} cases were read", blocks.len());
}

#[test]
fn frames_that_are_no_dnstap_are_said_to_be_none() {
    for (frame, said) in [
        (&b"GET / HTTP/1.1\r\n"[..], "malformed: the frame is not a dnstap event"),
        (&[0xff; 20][..], "malformed: the frame is not a dnstap event"),
        (&[][..], "malformed: the dnstap event holds no message"),
        (&[0x78, 0x01][..], "malformed: the dnstap event holds no message"),
        (&[0x78, 0x02, 0x72, 0x02, 0x08, 0x06][..], "malformed: the dnstap event holds no message"),
    ] {
        assert_eq!(told(frame), said, "{frame:02x?}");
    }
}

#[test]
fn a_message_over_the_limit_of_dns_is_refused_and_one_at_it_is_read() {
    let mut dns = Dns::asked("a.example").record("A", "a.example", "192.0.2.7", 60);
    let room = 65_535 - dns.bytes().len() - 12;
    dns.records.push([&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60][..], &(room as u16).to_be_bytes()].concat());
    dns.records[1].extend(vec![0; room]);
    assert_eq!(dns.bytes().len(), 65_535);
    let answer = "answer 2026-03-20T09:46:40Z client 10.0.0.5 asked a.example got 192.0.2.7 ttl 60";
    assert_eq!(told(&Event::new(1_774_000_000, dns.bytes()).bytes()), answer);
    let mut longer = dns.bytes();
    longer.push(0);
    assert_eq!(
        told(&Event::new(1_774_000_000, longer).bytes()),
        "malformed: the DNS message is longer than 65535 bytes"
    );
}

#[test]
fn sixteen_aliases_are_followed_and_seventeen_are_not() {
    let chain = |links: usize| {
        let name = |n: usize| format!("n{n}.example");
        let dns = (0..links)
            .fold(Dns::asked(&name(0)), |dns, n| dns.record("CNAME", &name(n), &name(n + 1), 60))
            .record("A", &name(links), "192.0.2.7", 60);
        told(&Event::new(1_774_000_000, dns.bytes()).bytes())
    };
    assert!(chain(16).starts_with("answer "), "{}", chain(16));
    assert_eq!(chain(17), "malformed: the DNS answer's aliases go in a circle, or there are more than 16");
}

/// Every cut and every changed byte of a good event is an answer, another event, or a sentence.
#[test]
fn damaged_events_are_told_or_refused_and_never_more() {
    let dns = Dns::asked("www.shop.example").record("CNAME", "www.shop.example", "edge.example", 300).record(
        "A",
        "edge.example",
        "192.0.2.7",
        60,
    );
    let whole = Event::new(1_774_000_000, dns.bytes()).bytes();
    assert!(told(&whole).starts_with("answer "));
    for end in 0..whole.len() {
        told(&whole[..end]);
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[end] ^= 1 << bit;
            told(&flipped);
        }
        for byte in [0x00, 0x3f, 0x7f, 0xc0, 0xff] {
            let mut changed = whole.clone();
            changed[end] = byte;
            told(&changed);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_told_or_refused(frame in proptest::collection::vec(any::<u8>(), 0..400)) {
        told(&frame);
    }

    #[test]
    fn any_dns_message_is_told_or_refused(mut message in proptest::collection::vec(any::<u8>(), 12..400)) {
        // A good header, so that names and records are reached.
        message[..6].copy_from_slice(&[0x12, 0x34, 0x81, 0x80, 0, 1]);
        message[6] = 0;
        told(&Event::new(1_774_000_000, message).bytes());
    }
}
