//! Lines of flow files become what they tell: each file of `tests/records/<format>` holds lines and,
//! after `=>`, what is read from them. A line that begins with two spaces goes on with the one
//! before, `!` says what the reader knows beside the file. And: no bytes make a decoder panic.

use std::{fmt::Write as _, fs, path::Path};

use chrono::{FixedOffset, SecondsFormat};
use proptest::{arbitrary::any, collection::vec, prelude::ProptestConfig, proptest};
use sluice::{
    domain::{
        names::NodeName,
        sighting::{Answer, Client, Outcome, Side, Sighting, Told},
        time::Timestamp,
    },
    flows::records::{Context, Decoder, Format, Malformed, Release, sniff},
};

struct Case {
    format: Format,
    file: String,
    text: String,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let mut out = Vec::new();
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Dnstap) {
        let folder = root.join(format.as_str());
        let files = fs::read_dir(&folder).expect("a folder for each format");
        let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{}", folder.display());
        for file in files {
            let text = fs::read_to_string(&file).expect("text");
            out.push(Case { format, file: file.display().to_string(), text });
        }
    }
    out
}

/// The lines of a case, each with the text that stands for it in the file.
fn lines(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(['#', '!']) && !line.starts_with("=>")) {
        match (line.strip_prefix("  "), out.last_mut()) {
            (Some(rest), Some(last)) if !line.starts_with("   ") => last.push_str(rest),
            (Some(_), _) => {}
            (None, _) => out.push(line.to_owned()),
        }
    }
    out.retain(|line| !line.is_empty());
    out
}

#[test]
fn lines_tell_what_they_say() {
    for case in cases() {
        let actual = rewritten(&case);
        let diff = similar::TextDiff::from_lines(&case.text, &actual);
        let diff = diff.unified_diff().context_radius(2).header("expected", "told").to_string();
        assert!(actual == case.text, "{} differs:\n{diff}", case.file);
    }
}

#[test]
fn formats_are_known_by_their_lines() {
    for case in cases().iter().filter(|case| !case.file.contains("hostile")) {
        let text = lines(&case.text).join("\n");
        assert_eq!(sniff(text.as_bytes()), Some(case.format), "{}", case.file);
    }
}

/// The file with its expectations replaced by what decoding gives.
fn rewritten(case: &Case) -> String {
    let (mut out, mut input) = (String::new(), String::new());
    let mut decoder = Decoder::new(case.format, Context::default());
    let mut given =
        case.text.lines().filter(|line| !line.starts_with("=>") && !line.starts_with("   ")).peekable();
    while let Some(line) = given.next() {
        let _ = writeln!(out, "{line}");
        if let Some(known) = line.strip_prefix('!') {
            decoder = Decoder::new(case.format, context(known));
        } else if !line.is_empty() && !line.starts_with('#') {
            input.push_str(line.strip_prefix("  ").unwrap_or(line));
            if given.peek().is_none_or(|next| !next.starts_with("  ")) {
                out.push_str(&told(&mut decoder, input.as_bytes()));
                input.clear();
            }
        }
    }
    out
}

fn context(known: &str) -> Context {
    let mut out = Context::default();
    for word in known.split_whitespace() {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "antrea" => out.antrea = Some(Release::parse(value).expect("a release")),
            "offset" => out.utc_offset = value.parse::<FixedOffset>().expect("an offset"),
            "node" => out.node = Some(NodeName::parse(value).expect("a node")),
            "logged" => out.logged = Some(Outcome::parse(value).expect("an outcome")),
            other => panic!("{other}"),
        }
    }
    out
}

fn told(decoder: &mut Decoder, line: &[u8]) -> String {
    let mut out = String::new();
    let result = decoder.line(line, &mut |told| match told {
        Told::Flow(flow) => out.push_str(&flow_text(&flow)),
        Told::Answer(answer) => out.push_str(&answer_text(&answer)),
        Told::Lost(lost) => {
            let count = lost.count.map_or("?".into(), |count| count.to_string());
            let _ = writeln!(out, "=> lost {count} on {}: {}", lost.node.unwrap_or("-"), lost.why);
            let _ = writeln!(out, "   {}", span(lost.from, lost.until));
        }
        Told::Other { node, at } => {
            let _ = writeln!(out, "=> other on {} at {}", node.unwrap_or("-"), at.map_or("-".into(), time));
        }
    });
    match result {
        Ok(()) if out.is_empty() => "=> nothing\n".into(),
        Ok(()) => out,
        Err(malformed) => format!("{out}=> malformed: {malformed}\n"),
    }
}

fn flow_text(flow: &Sighting<'_>) -> String {
    let direction = flow.direction.map_or("unclear", |direction| direction.as_str());
    let reply = flow.reply.map_or("reply?", |reply| if reply { "reply" } else { "first" });
    let mut out = format!(
        "=> {direction} {} {} {reply} x{}: {} -> {}\n   {} on {}",
        flow.outcome.as_str(),
        flow.protocol,
        flow.flows,
        side_text(&flow.source, flow.source_port),
        side_text(&flow.destination, flow.port),
        span(flow.at, flow.until),
        flow.node.unwrap_or("-"),
    );
    let names: Vec<_> = flow.names.iter().flatten().copied().collect();
    if !names.is_empty() {
        let _ = write!(out, " names {}", names.join(" "));
    }
    out + "\n"
}

fn side_text(side: &Side<'_>, port: u16) -> String {
    let mut parts = Vec::new();
    if side.ns.is_some() || side.pod.is_some() {
        parts.push(format!("{}/{}", side.ns.unwrap_or("-"), side.pod.unwrap_or("-")));
    }
    parts.extend(side.workload.map(|(kind, name)| format!("[{kind} {name}]")));
    parts.extend(side.service.map(|(ns, name)| format!("service {ns}/{name}")));
    parts.extend(side.entity.map(|entity| entity.as_str().to_owned()));
    parts.extend(side.class.map(|class| format!("class {class}")));
    parts.push(side.address.map_or("?".into(), |address| address.to_string()));
    format!("{} :{port}", parts.join(" "))
}

fn answer_text(answer: &Answer<'_>) -> String {
    let client = match answer.client {
        Client::Pod { ns, pod } => format!("pod {ns}/{pod}"),
        Client::Address(address) => format!("address {address}"),
        Client::Workload { ns, name } => format!("workload {ns}/{name}"),
    };
    let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
    let chain: String = answer.cnames.iter().map(|name| format!(" > {name}")).collect();
    format!(
        "=> answer to {client}: {}{chain} = {}\n   at {} ttl {}\n",
        answer.query,
        addresses.join(" "),
        time(answer.at),
        answer.ttl_secs
    )
}

fn span(from: Timestamp, until: Timestamp) -> String {
    if from == until {
        format!("at {}", time(from))
    } else {
        format!("at {} until {}", time(from), time(until))
    }
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Every decoder reads it; whatever it tells must hold together.
fn read_by_all(decoders: &mut [Decoder], bytes: &[u8]) {
    let _ = sniff(bytes);
    for decoder in decoders {
        let result = decoder.line(bytes, &mut |told| match told {
            Told::Flow(flow) => assert!(flow.at <= flow.until, "{flow:?}"),
            Told::Answer(answer) => assert!(!answer.addresses.is_empty(), "{answer:?}"),
            Told::Lost(lost) => assert!(lost.from <= lost.until, "{lost:?}"),
            Told::Other { .. } => {}
        });
        if let Err(malformed) = result {
            assert!(Malformed::ALL.contains(&malformed));
        }
    }
}

fn decoders() -> Vec<Decoder> {
    let context = Context { logged: Some(Outcome::Allowed), ..Context::default() };
    Format::ALL.into_iter().map(|format| Decoder::new(format, context.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let mut decoders = decoders();
        read_by_all(&mut decoders, &bytes);
        read_by_all(&mut decoders, text.as_bytes());
    }
}

/// The recorded lines with flipped bits, cut, joined and stuffed: the same ones in every run.
#[test]
fn damaged_lines_make_no_decoder_panic() {
    let seeds: Vec<Vec<u8>> =
        cases().iter().flat_map(|case| lines(&case.text)).map(String::into_bytes).collect();
    let mut random = fastrand::Rng::with_seed(3);
    let mut decoders = decoders();
    for round in 0..20_000 {
        let mut line = seeds[round % seeds.len()].clone();
        for _ in 0..random.usize(1..4) {
            damage(&mut line, &seeds, &mut random);
        }
        read_by_all(&mut decoders, &line);
    }
}

fn damage(line: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut fastrand::Rng) {
    if line.is_empty() {
        return;
    }
    let at = random.usize(..line.len());
    match random.u8(..6) {
        0 => line[at] ^= 1 << random.u8(..8),
        1 => line.truncate(at),
        2 => {
            let other = &seeds[random.usize(..seeds.len())];
            line.truncate(at);
            line.extend_from_slice(&other[random.usize(..other.len())..]);
        }
        3 => {
            let copy = line[at..(at + random.usize(..40)).min(line.len())].to_vec();
            line.splice(at..at, copy);
        }
        4 => {
            const WORDS: [&[u8]; 10] = [
                b"null",
                b"-1",
                b"1e999",
                b"\\ud800",
                b"\\u0000",
                b"99999999999999999999",
                b"[[[[",
                b"{}",
                b"\xff",
                b",",
            ];
            line.splice(at..at, WORDS[random.usize(..WORDS.len())].iter().copied());
        }
        _ => {
            line.remove(at);
        }
    }
}

/// A megabyte of brackets must neither overflow the stack nor take long.
#[test]
fn huge_and_deep_lines_are_refused() {
    let mut decoders = decoders();
    for word in ["[", "{\"flow\":", "{\"a\":[", "IN=x SRC=1 ", "1772443500,", "a "] {
        read_by_all(&mut decoders, word.repeat(Decoder::LINE / word.len()).as_bytes());
    }
    for decoder in &mut decoders {
        assert_eq!(decoder.line(&vec![b'x'; Decoder::LINE + 1], &mut |_| {}), Err(Malformed::Long));
    }
}

/// Hostile text is handed on as it came: whoever keeps it parses it into a name. Lines of another
/// format, compressed bytes and halves of lines are one complaint each.
#[test]
fn what_is_no_line_of_the_format_is_said() {
    let gzip = [0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3];
    for format in Format::ALL {
        let mut decoder = Decoder::new(format, Context::default());
        assert!(decoder.line(&gzip, &mut |told| panic!("{told:?}")).is_err(), "{format}");
        assert!(decoder.line(b"GET / HTTP/1.1\r\n", &mut |told| panic!("{told:?}")).is_err(), "{format}");
        assert_eq!(decoder.line(b" \r\n", &mut |told| panic!("{told:?}")), Ok(()), "{format}");
    }
}
