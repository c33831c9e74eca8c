//! Frame Streams by hand-written bytes.

use std::io::{self, Read};

use proptest::prelude::*;
use sluice::flows::dnstap::frames::{Broken, Event, File, Reader, accept, finish};

use super::wire::{ACCEPT, FINISH, READY, START, STOP, TYPE, control, data, hex, raw_control};

/// What comes of bytes fed in pieces of `size`.
fn read(bytes: &[u8], size: usize) -> (Vec<String>, Option<Broken>) {
    let (mut reader, mut out) = (Reader::default(), Vec::new());
    for piece in bytes.chunks(size) {
        reader.feed(piece);
        loop {
            match reader.event() {
                Ok(Some(Event::Frame(frame))) => out.push(String::from_utf8_lossy(&frame).into_owned()),
                Ok(Some(event)) => out.push(format!("{event:?}")),
                Ok(None) => break,
                Err(broken) => {
                    assert_eq!(reader.event(), Err(broken), "broken once, broken for ever");
                    return (out, Some(broken));
                }
            }
        }
    }
    (out, None)
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn the_handshake_is_that_of_the_facts_byte_by_byte() {
    let ready =
        hex("00000000 00000022 00000004 00000001 00000016 70726f746f6275663a646e737461702e446e73746170");
    assert_eq!(control(READY, &[TYPE]), ready);
    assert_eq!(
        accept(),
        hex("00000000 00000022 00000001 00000001 00000016 70726f746f6275663a646e737461702e446e73746170")
    );
    assert_eq!(finish().to_vec(), hex("00000000 00000004 00000005"));
    assert_eq!(read(&ready, 3), (vec!["Ready".to_owned()], None));
}

#[test]
fn both_forms_are_read_however_the_bytes_are_cut() {
    let start = control(START, &[TYPE]);
    let uni = joined(&[start.clone(), data(b"one"), data(b"two"), control(STOP, &[])]);
    let bi = joined(&[control(READY, &["other", TYPE]), uni.clone()]);
    for size in [1, 2, 3, 5, 7, 11, 64, 1_000] {
        assert_eq!(
            read(&uni, size),
            (vec!["Started".into(), "one".into(), "two".into(), "Stopped".into()], None)
        );
        assert_eq!(
            read(&bi, size),
            (vec!["Ready".into(), "Started".into(), "one".into(), "two".into(), "Stopped".into()], None)
        );
    }
    let mut reader = Reader::default();
    reader.feed(&start);
    assert_eq!((reader.event(), reader.answers()), (Ok(Some(Event::Started)), false));
    let mut reader = Reader::default();
    reader.feed(&bi);
    assert_eq!((reader.event(), reader.answers()), (Ok(Some(Event::Ready)), true));
}

#[test]
fn each_broken_stream_has_its_name() {
    let start = control(START, &[TYPE]);
    let long = "x".repeat(257);
    for (what, bytes, broken) in [
        ("data first", data(b"one"), Some(Broken::NoStart)),
        ("a protocol of another world", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(Broken::NoStart)),
        ("a STOP first", control(STOP, &[]), Some(Broken::NoStart)),
        ("an unknown control first", control(77, &[]), Some(Broken::NoStart)),
        ("a control of no length first", hex("00000000 00000000"), Some(Broken::NoStart)),
        ("another content type", control(READY, &["protobuf:other"]), Some(Broken::OtherContent)),
        ("another content type in START", control(START, &["protobuf:other"]), Some(Broken::OtherContent)),
        ("almost our content type", control(START, &["protobuf:dnstap.Dnsta"]), Some(Broken::OtherContent)),
        ("no content type means any", control(READY, &[]), None),
        ("no content type in START", control(START, &[]), None),
        ("a content type too long", control(READY, &[&long]), Some(Broken::ContentTypeTooLong(257))),
        ("the longest content type", control(READY, &[&long[..256], TYPE]), None),
        (
            "data between READY and START",
            joined(&[control(READY, &[TYPE]), data(b"one")]),
            Some(Broken::NoStart),
        ),
        (
            "READY twice",
            joined(&[control(READY, &[TYPE]), control(READY, &[TYPE])]),
            Some(Broken::OutOfTurn(4)),
        ),
        ("START twice", joined(&[start.clone(), start.clone()]), Some(Broken::OutOfTurn(2))),
        (
            "ACCEPT from a sender",
            joined(&[start.clone(), control(ACCEPT, &[TYPE])]),
            Some(Broken::OutOfTurn(1)),
        ),
        ("FINISH from a sender", joined(&[start.clone(), control(FINISH, &[])]), Some(Broken::OutOfTurn(5))),
        ("unknown controls after START", joined(&[start.clone(), control(77, &[]), data(b"one")]), None),
        (
            "data after STOP",
            joined(&[start.clone(), control(STOP, &[]), data(b"one")]),
            Some(Broken::AfterStop),
        ),
        ("a second stream in one file", joined(&[start.clone(), control(STOP, &[]), start.clone()]), None),
        ("a frame at the limit", joined(&[start.clone(), data(&vec![b'x'; 131_072])]), None),
        (
            "a frame over the limit, before it is waited for",
            joined(&[start.clone(), hex("00020001")]),
            Some(Broken::FrameTooLong(131_073)),
        ),
        (
            "a control over the limit, before it is waited for",
            joined(&[start.clone(), hex("00000000 00000201")]),
            Some(Broken::ControlLength(513)),
        ),
        (
            "a control at the limit",
            joined(&[start.clone(), raw_control(&[vec![0, 0, 0, 9], vec![1; 508]].concat())]),
            None,
        ),
        (
            "a control without a type",
            joined(&[start, hex("00000000 00000003 000000")]),
            Some(Broken::ControlLength(3)),
        ),
        (
            "a field beyond its control",
            raw_control(&hex("00000004 00000001 00000017 7072")),
            Some(Broken::ControlFields),
        ),
        ("half a field", raw_control(&hex("00000004 0000")), Some(Broken::ControlFields)),
        (
            "another field is stepped over",
            raw_control(
                &[hex("00000004 00000009 00000002 ffff"), control(READY, &[TYPE])[12..].to_vec()].concat(),
            ),
            None,
        ),
    ] {
        for size in [1, 4_096] {
            assert_eq!(read(&bytes, size).1, broken, "{what}");
        }
    }
}

fn file(bytes: &[u8]) -> (Vec<String>, Option<String>) {
    let (mut frames, mut rest) = (Vec::new(), None);
    for item in File::new(bytes) {
        assert_eq!(rest, None, "nothing comes after a rest");
        match item {
            Ok(frame) => frames.push(String::from_utf8_lossy(&frame).into_owned()),
            Err(cut) => rest = Some(cut.to_string()),
        }
    }
    (frames, rest)
}

#[test]
fn of_a_truncated_file_everything_whole_is_kept_and_the_rest_is_a_sentence() {
    let whole = joined(&[control(START, &[TYPE]), data(b"one"), data(b"two"), control(STOP, &[])]);
    let said = |frames: &[&str], rest: Option<&str>| {
        (frames.iter().map(|&frame| frame.to_owned()).collect(), rest.map(str::to_owned))
    };
    for (end, expected) in [
        (whole.len(), said(&["one", "two"], None)),
        (whole.len() - 12, said(&["one", "two"], None)),
        (
            whole.len() - 1,
            said(&["one", "two"], Some("it ends inside a frame: the last 11 bytes are not read")),
        ),
        (whole.len() - 13, said(&["one"], Some("it ends inside a frame: the last 6 bytes are not read"))),
        (42, said(&[], None)),
        (20, said(&[], Some("it ends inside a frame: the last 20 bytes are not read"))),
        (0, said(&[], Some("the file is empty"))),
    ] {
        assert_eq!(file(&whole[..end]), expected, "{end} bytes");
    }
    let torn = joined(&[whole[..whole.len() - 12].to_vec(), hex("7fffffff 00")]);
    assert_eq!(
        file(&torn),
        said(
            &["one", "two"],
            Some(
                "it cannot be read on: a frame claims 2147483647 bytes, more than the 131072 that dnstap can need"
            )
        )
    );
    assert_eq!(
        file(b"{\"flow\":{}}\n"),
        said(
            &[],
            Some(
                "it cannot be read on: it does not begin as Frame Streams do (a control frame READY or START)"
            )
        )
    );
}

/// Gives a frame, then fails as a gzip stream with a damaged end does.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 => Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream")),
            count => Ok(count),
        }
    }
}

#[test]
fn a_reader_that_fails_costs_only_the_rest() {
    let bytes = joined(&[control(START, &[TYPE]), data(b"one"), hex("000000ff 00")]);
    let items: Vec<_> =
        File::new(Failing(io::Cursor::new(bytes))).map(|item| item.map_err(|e| e.to_string())).collect();
    assert_eq!(items, [Ok("one".into()), Err("it cannot be read on: corrupt deflate stream".to_owned())]);
}

proptest! {
    #[test]
    fn any_bytes_are_frames_or_a_named_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..40) {
        let alone = read(&bytes, size);
        prop_assert_eq!(&alone, &read(&bytes, 300), "how the bytes are cut changes nothing");
        let opened = joined(&[control(START, &[TYPE]), bytes]);
        prop_assert_eq!(read(&opened, size), read(&opened, 4_096));
        file(&opened);
    }

    #[test]
    fn whole_frames_before_damage_are_kept(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..10),
        at in 0_usize..600,
        byte in any::<u8>(),
    ) {
        let mut bytes = control(START, &[TYPE]);
        let mut ends = Vec::new();
        for frame in &frames {
            bytes.extend(data(frame));
            ends.push(bytes.len());
        }
        let at = at % bytes.len();
        bytes[at] = byte;
        let untouched = ends.iter().filter(|end| **end <= at).count();
        let kept: Vec<_> = File::new(&bytes[..]).map_while(Result::ok).collect();
        prop_assert!(kept.len() >= untouched);
        for (kept, frame) in kept.iter().zip(&frames).take(untouched) {
            prop_assert_eq!(&kept[..], &frame[..]);
        }
    }
}
