//! Files and times as `sluice discover` takes them on the command line. Opens nothing and reads no
//! clock: `7d` is resolved by whoever knows the time.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};

use super::args;
use crate::{
    domain::{
        names::{NodeName, Text},
        sighting::Outcome,
        time::Timestamp,
    },
    flows::{offline::Input, records::Format},
};

/// One value of `--flows` or `--dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    said: Said,
    node: Option<NodeName>,
    logged: Option<Outcome>,
    /// `None`: only a format, for the paths behind it.
    path: Option<PathBuf>,
}

/// Which format was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Auto,
    Format(Format),
}

/// `FORMAT:PATH`, `FORMAT@NODE:PATH`, `FORMAT:` before paths, or a path alone.
pub fn source(raw: &str) -> Result<Source, String> {
    let alone =
        |path: &str| Source { said: Said::Nothing, node: None, logged: None, path: Some(path.into()) };
    if raw.is_empty() {
        return Err(next());
    }
    let Some((head, path)) = raw.split_once(':') else { return Ok(alone(raw)) };
    let (word, node) = head.split_once('@').map_or((head, None), |(word, node)| (word, Some(node)));
    let (word, logged) = logged(word)?;
    let said = match (word, Format::parse(word)) {
        ("auto", _) => Said::Auto,
        (_, Some(format)) => Said::Format(format),
        // A path with a colon in it, unless it reads like a format that is written wrong.
        (word, None) if word.contains(['/', '.']) || std::path::Path::new(raw).exists() => {
            return Ok(alone(raw));
        }
        (word, None) => return Err(format!("{:?} is no format; {}", Text::new(word), next())),
    };
    let node = node.map(NodeName::parse).transpose().map_err(|bad| bad.to_string())?;
    Ok(Source { said, node, logged, path: (!path.is_empty()).then(|| path.into()) })
}

/// `kernel-log=denied`: what became of the packets that reached the `Log` rule.
pub fn logged(word: &str) -> Result<(&str, Option<Outcome>), String> {
    match word.strip_prefix("kernel-log=") {
        None => Ok((word, None)),
        Some("allowed") => Ok(("kernel-log", Some(Outcome::Allowed))),
        Some("denied") => Ok(("kernel-log", Some(Outcome::Denied))),
        Some(other) => Err(format!("kernel-log={:?}: write allowed or denied", Text::new(other))),
    }
}

fn next() -> String {
    let names: Vec<_> = Format::ALL.iter().map(|format| format.as_str()).collect();
    format!("write FORMAT:PATH, with one of {}, auto", names.join(", "))
}

/// Inputs in the order given: a path without a format is read like the one before it.
pub fn inputs(sources: &[Source]) -> Vec<Input> {
    let (mut format, mut node, mut logged) = (None, None, None);
    let mut out = Vec::new();
    for source in sources {
        match source.said {
            Said::Nothing => {}
            Said::Auto => (format, node, logged) = (None, source.node.clone(), None),
            Said::Format(said) => (format, node, logged) = (Some(said), source.node.clone(), source.logged),
        }
        out.extend(source.path.clone().map(|path| Input { format, path, node: node.clone(), logged }));
    }
    out
}

/// A time on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

/// RFC 3339, a date (its first moment in UTC), or how long ago.
pub fn moment(raw: &str) -> Result<Moment, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(raw) {
        return Ok(Moment::At(at.to_utc()));
    }
    if let Ok(day) = raw.parse::<NaiveDate>() {
        return Ok(Moment::At(day.and_time(NaiveTime::MIN).and_utc()));
    }
    args::duration(raw).map(Moment::Ago).map_err(|_| {
        "write a time such as 2026-03-02T09:15:00Z, a date such as 2026-03-02, or 7d for seven days ago"
            .to_owned()
    })
}

impl Moment {
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now - TimeDelta::from_std(ago).unwrap_or(TimeDelta::zero()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[&str]) -> Vec<(Option<Format>, String)> {
        let sources: Vec<_> = raw.iter().map(|raw| source(raw).expect("valid")).collect();
        let shown = |input: Input| (input.format, input.path.to_string_lossy().into_owned());
        inputs(&sources).into_iter().map(shown).collect()
    }

    #[test]
    fn a_path_is_read_like_the_one_before_it() {
        let hubble = Some(Format::HubbleJson);
        for (raw, wanted) in [
            (vec!["hubble-json:a", "b"], vec![(hubble, "a"), (hubble, "b")]),
            (vec!["hubble-json:", "a", "./b:c.log"], vec![(hubble, "a"), (hubble, "./b:c.log")]),
            (vec!["a", "dnstap:b", "auto:c"], vec![(None, "a"), (Some(Format::Dnstap), "b"), (None, "c")]),
            (vec!["hubble-json:-"], vec![(hubble, "-")]),
            (vec!["hubble-json:/x/a:b"], vec![(hubble, "/x/a:b")]),
        ] {
            let wanted: Vec<_> = wanted.into_iter().map(|(format, path)| (format, path.to_owned())).collect();
            assert_eq!(read(&raw), wanted, "{raw:?}");
        }
        let of_node = inputs(&[source("antrea-log@node-1:np.log").expect("valid")]);
        assert_eq!(of_node[0].node.as_ref().map(NodeName::as_str), Some("node-1"));
        assert!(
            source("hubble:a")
                .expect_err("no format")
                .starts_with("\"hubble\" is no format; write FORMAT:PATH")
        );
        assert!(source("antrea-log@Node 1:a").is_err() && source("").is_err());
        for (raw, logged) in [("kernel-log:a", None), ("kernel-log=denied:a", Some(Outcome::Denied))] {
            let input = &inputs(&[source(raw).expect("valid")])[0];
            assert_eq!((input.format, input.logged), (Some(Format::KernelLog), logged), "{raw}");
        }
        assert!(source("kernel-log=perhaps:a").is_err() && source("antrea-log=denied:a").is_err());
    }

    #[test]
    fn times_are_moments_days_or_ages() {
        let now = DateTime::from_timestamp(1_772_409_600, 0).expect("valid");
        for (raw, wanted) in [
            ("2026-03-01T01:00:00+01:00", "2026-03-01 00:00:00 UTC"),
            ("2026-03-01", "2026-03-01 00:00:00 UTC"),
            ("7d", "2026-02-23 00:00:00 UTC"),
            ("1h30m", "2026-03-01 22:30:00 UTC"),
        ] {
            assert_eq!(moment(raw).expect("valid").resolve(now).to_string(), wanted, "{raw}");
        }
        for raw in ["", "yesterday", "2026-13-01", "2026-03-01T01:00:00"] {
            assert!(moment(raw).is_err(), "{raw}");
        }
    }
}
