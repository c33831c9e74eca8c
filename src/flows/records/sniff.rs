//! Which format a file has, from its first bytes: the first line that only one format could have
//! written. A file that begins in the middle of a line is normal.

use memchr::memmem;

use super::Format;

/// Lines looked at.
const LINES: usize = 64;

/// `None`: nothing in these bytes (decompressed, 64 KiB are plenty) looks like a format we read.
pub fn sniff(first: &[u8]) -> Option<Format> {
    // Frame Streams begin with the escape of a control frame: a length of zero.
    if first.starts_with(&[0, 0, 0, 0]) {
        return Some(Format::Dnstap);
    }
    first.split(|b| *b == b'\n').take(LINES).find_map(|line| of_line(line.trim_ascii()))
}

fn of_line(line: &[u8]) -> Option<Format> {
    let has = |word: &str| memmem::find(line, word.as_bytes()).is_some();
    let kernel = || has(" SRC=") && has(" DST=") && has(" PROTO=") || has(": policy ") && has(" dest ");
    if line.first() == Some(&b'{') {
        let hubble = ["\"flow\"", "\"lost_events\"", "\"node_status\"", "\"agent_event\"", "\"debug_event\""];
        return if hubble.into_iter().any(has) || has("\"verdict\"") && has("\"IP\"") {
            Some(Format::HubbleJson)
        } else if has("\"start_time\"") && (has("\"reporter\"") || has("\"qname\"") || has("\"rrsets\"")) {
            Some(Format::CalicoJson)
        } else {
            (has("\"MESSAGE\"") && kernel()).then_some(Format::KernelLog)
        };
    }
    if is_antrea_log(line) {
        Some(Format::AntreaLog)
    } else if is_antrea_csv(line) {
        Some(Format::AntreaCsv)
    } else {
        kernel().then_some(Format::KernelLog)
    }
}

/// `2026/03/02 09:15:05.120394 `
fn is_antrea_log(line: &[u8]) -> bool {
    const FORM: &[u8] = b"0000/00/00 00:00:00";
    line.len() > FORM.len()
        && line.iter().zip(FORM).all(|(b, form)| if *form == b'0' { b.is_ascii_digit() } else { b == form })
}

/// Two times in seconds and two addresses, then many columns.
fn is_antrea_csv(line: &[u8]) -> bool {
    let mut columns = line.split(|b| *b == b',');
    let mut seconds =
        || columns.next().is_some_and(|word| word.len() == 10 && word.iter().all(u8::is_ascii_digit));
    seconds() && seconds() && columns.count() >= 26
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_a_line_of_it() {
        let csv = format!("1772443500,1772443502,10.42.3.17,203.0.113.80{}", ",".repeat(26));
        for (text, format) in [
            (r#"{"flow":{"verdict":"FORWARDED"}}"#, Some(Format::HubbleJson)),
            (r#"{"time":"x","verdict":"DROPPED","IP":{}}"#, Some(Format::HubbleJson)),
            (r#"{"lost_events":{}}"#, Some(Format::HubbleJson)),
            (r#"{"start_time":1,"end_time":2,"reporter":"src"}"#, Some(Format::CalicoJson)),
            (r#"{"start_time":1,"qname":"a.example"}"#, Some(Format::CalicoJson)),
            (&csv, Some(Format::AntreaCsv)),
            ("2026/03/02 09:15:05.120394 EgressDefaultRule K8s", Some(Format::AntreaLog)),
            (
                "x kernel: calico-packet: IN=a OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=60 PROTO=TCP",
                Some(Format::KernelLog),
            ),
            ("\0\0\0\0\0\0\0\u{22}", Some(Format::Dnstap)),
            ("half of a line\"}}\n{\"flow\":{}}", Some(Format::HubbleJson)),
            ("{\"a\":1}\nGET / HTTP/1.1\n\n", None),
            ("\u{1f}\u{8b}", None),
            ("", None),
        ] {
            assert_eq!(sniff(text.as_bytes()), format, "{text:?}");
        }
    }
}
