//! Texts that a typed server decodes while it reads a body: times with six digits and base64, with
//! Go's words for what it cannot read (scenes 60 and 62).

use chrono::{DateTime, Utc};

use super::errors::quote;

/// The layout of a `MicroTime`, as errors quote it.
const LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
/// The same in the pieces it is read by.
const PIECES: [&str; 13] =
    ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", ".000000", "Z07:00"];

/// A time with exactly six digits, in UTC.
pub fn micro_time(text: &str) -> Result<String, String> {
    let mut rest = text;
    for piece in PIECES {
        let length = if piece == "Z07:00" { rest.len() } else { piece.len() };
        let fits = rest.get(..length).is_some_and(|part| is_like(part, piece));
        if !fits {
            let said = format!("cannot parse {} as {}", quote(rest), quote(piece));
            return Err(format!("parsing time {} as {}: {said}", quote(text), quote(LAYOUT)));
        }
        rest = &rest[length..];
    }
    let time: DateTime<Utc> =
        text.parse().map_err(|_| format!("parsing time {}: out of range", quote(text)))?;
    Ok(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

fn is_like(part: &str, piece: &str) -> bool {
    if piece == "Z07:00" {
        let offset = part.strip_prefix(['+', '-']).and_then(|zone| zone.split_once(':'));
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        return part == "Z" || offset.is_some_and(|(hours, minutes)| digits(hours) && digits(minutes));
    }
    let same = |(a, b): (u8, u8)| if b.is_ascii_digit() { a.is_ascii_digit() } else { a == b };
    part.len() == piece.len() && part.bytes().zip(piece.bytes()).all(same)
}

/// Standard base64, as it was sent.
pub fn base64(text: &str) -> Result<String, String> {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = text.trim_end_matches('=');
    let bad = body.bytes().position(|b| !is_digit(b) && !matches!(b, b'\n' | b'\r'));
    let odd = (!text.len().is_multiple_of(4) || text.len() - body.len() > 2).then_some(text.len());
    match bad.or(odd) {
        Some(at) => Err(format!("illegal base64 data at input byte {at}")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{base64, micro_time};

    #[test]
    fn a_time_of_another_zone_is_told_in_utc() {
        assert_eq!(
            micro_time("2026-01-01T12:00:00.000000+02:00"),
            Ok("2026-01-01T10:00:00.000000Z".to_owned())
        );
        let short = micro_time("2026-01-01T10:00:00Z").expect_err("six digits are missing");
        assert!(short.ends_with("cannot parse \"Z\" as \".000000\""), "{short}");
    }

    #[test]
    fn base64_is_refused_where_go_refuses_it() {
        assert_eq!(base64("AAEC"), Ok("AAEC".to_owned()));
        assert_eq!(base64("not base64!"), Err("illegal base64 data at input byte 3".to_owned()));
    }
}
