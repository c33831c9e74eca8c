//! Why a request to an API server failed, and how a person is told: the fact and the next step.
//! Never repeats a header, a token or a body that is not a Kubernetes status.

use std::{error::Error as StdError, io, time::Duration};

use serde::Deserialize;

use crate::{cockpit::ports::Trouble, domain::names::Text};

/// How a request failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No connection: the request never left.
    Unreached { fact: Text, next: &'static str },
    /// It may have arrived, but no whole answer came: a write may have landed.
    Silent { fact: Text, next: &'static str },
    /// The API server said no.
    Refused(Refused),
    /// Something answered that is not a Kubernetes API server.
    Foreign(Text),
}

/// A `Status` with a failure, or the plain text that some refusals come with.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub code: u16,
    pub message: Text,
    pub causes: Vec<Cause>,
    pub retry_after: Option<Duration>,
}

/// One field that was at fault.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl Failure {
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refused) => Some(refused.code),
            Self::Unreached { .. } | Self::Silent { .. } | Self::Foreign(_) => None,
        }
    }

    /// Not carried out, and it may go better in a moment.
    pub fn is_busy(&self) -> bool {
        matches!(self.code(), Some(429 | 503))
    }

    /// A write with this answer may have landed all the same.
    pub fn may_have_landed(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Foreign(_) => true,
            Self::Unreached { .. } => false,
            Self::Refused(refused) => refused.code >= 500 && refused.code != 503,
        }
    }

    /// The sentence for `object`, such as "network policies of shop".
    pub fn trouble(&self, object: &str) -> Trouble {
        match self {
            Self::Unreached { fact, next } | Self::Silent { fact, next } => {
                Trouble::new(object, fact.as_str(), next)
            }
            Self::Foreign(fact) => Trouble::new(
                object,
                fact.as_str(),
                "Check the server address of this context: a proxy or login page may stand in between.",
            ),
            Self::Refused(refused) => {
                let fact = if refused.message.is_empty() {
                    format!("refused with HTTP {}", refused.code)
                } else {
                    format!("refused with HTTP {}: {}", refused.code, refused.message)
                };
                Trouble::new(object, &fact, next_step(refused.code))
            }
        }
    }

    /// Reads what an HTTP error came with.
    pub fn of_answer(code: u16, kind: &str, retry_after: Option<&str>, body: &[u8]) -> Self {
        if kind.starts_with("text/html") || (300..400).contains(&code) {
            let kind = if kind.is_empty() { "no type" } else { kind };
            return Self::Foreign(Text::from(format!(
                "HTTP {code} with {}, not a Kubernetes answer",
                Text::new(kind)
            )));
        }
        let status: StatusWire = serde_json::from_slice(body).unwrap_or_else(|_| StatusWire {
            message: String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned(),
            ..StatusWire::default()
        });
        let from_status = status.details.as_ref().and_then(|details| details.retry_after_seconds);
        let retry_after = retry_after.and_then(|secs| secs.parse().ok()).or(from_status);
        Self::Refused(Refused {
            code,
            message: sentence(&status.message),
            causes: status.details.map(|details| details.causes.unwrap_or_default()).unwrap_or_default(),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    /// Reads an error of the client below: what can be said of it without repeating secrets.
    pub fn of_client(error: &kube::Error) -> Self {
        if let kube::Error::Auth(_) = error {
            return Self::Unreached {
                fact: Text::new("the credentials of this context could not be obtained"),
                next: "Sign in again, or run the context's exec plugin by hand to see its message.",
            };
        }
        if let kube::Error::Api(status) = error {
            return Self::Refused(Refused {
                code: status.code,
                message: sentence(&status.message),
                causes: Vec::new(),
                retry_after: None,
            });
        }
        let mut found = Found::default();
        found.walk(error);
        found.failure()
    }

    pub fn deadline(limit: Duration) -> Self {
        Self::Silent {
            fact: Text::from(format!("no answer within {} s", limit.as_secs())),
            next: "Check the cluster's load and the network; sluice tries again by itself.",
        }
    }
}

/// Without the stop at its end: it becomes part of a sentence of ours.
fn sentence(message: &str) -> Text {
    Text::new(message.trim_end_matches([' ', ':', '.', '\n']))
}

fn next_step(code: u16) -> &'static str {
    match code {
        400 | 422 => "Correct the object as the message says.",
        401 => "The credentials are not accepted: sign in again or renew the token of this context.",
        403 => "Ask the cluster's admin for this right, or choose a context that has it.",
        404 => "Check that the namespace and the kind exist in this cluster.",
        409 => "Look at what changed the object meanwhile, then preview again.",
        410 => "The list is read anew.",
        429 => "The server is overloaded or limits this user; sluice slows down and tries again by itself.",
        500..=599 => "Look at the API server's health; sluice tries again by itself.",
        _ => "Look at the API server's log.",
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusWire {
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Option<Vec<Cause>>,
    retry_after_seconds: Option<u64>,
}

/// What the chain of errors below a failed request told.
#[derive(Default)]
struct Found {
    connecting: bool,
    kind: Option<io::ErrorKind>,
    tls: Option<rustls::Error>,
    lookup: bool,
    last: Option<String>,
}

impl Found {
    fn walk(&mut self, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(client) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
                self.connecting |= client.is_connect();
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                self.tls = Some(tls.clone());
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                self.kind = Some(io.kind());
                // `io::Error::source` skips the error it wraps.
                if let Some(inner) = io.get_ref() {
                    self.walk(inner);
                }
            }
            let text = error.to_string();
            self.lookup |= text.contains("dns error") || text.contains("failed to lookup address");
            self.last = Some(text);
            next = error.source();
        }
    }

    fn failure(&self) -> Failure {
        if let Some(tls) = &self.tls {
            let (fact, next) = tls_words(tls);
            return self.failed(fact, next);
        }
        if self.lookup {
            return self.failed(
                "the server's name cannot be resolved".to_owned(),
                "Check the server address of this context and the DNS of this machine.",
            );
        }
        let check = "Check that the API server runs and that its address and port are right.";
        match self.kind {
            Some(io::ErrorKind::ConnectionRefused) => self.failed("connection refused".to_owned(), check),
            Some(io::ErrorKind::TimedOut) if self.connecting => self.failed(
                "no connection in time".to_owned(),
                "Check the network, VPN or proxy between here and the cluster.",
            ),
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionAborted,
            ) => self.failed("the connection broke".to_owned(), check),
            Some(_) | None => {
                let last = self.last.as_deref().unwrap_or("the request failed");
                self.failed(last.to_owned(), check)
            }
        }
    }

    fn failed(&self, fact: String, next: &'static str) -> Failure {
        let fact = Text::from(fact);
        if self.connecting { Failure::Unreached { fact, next } } else { Failure::Silent { fact, next } }
    }
}

fn tls_words(error: &rustls::Error) -> (String, &'static str) {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let renew = "Renew the API server's certificate.";
    let ca = "Check certificate-authority of this context: it is not the CA of this server.";
    let mine = "Renew the client certificate of this context.";
    match error {
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            ("the server's certificate has expired".to_owned(), renew)
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => (
            "the server's certificate is not valid yet".to_owned(),
            "Check the clocks of this machine and of the server.",
        ),
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            ("the server's certificate is signed by an unknown authority".to_owned(), ca)
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => (
            "the server's certificate is for another name".to_owned(),
            "Check the server address, or set tls-server-name in the kubeconfig.",
        ),
        Error::InvalidCertificate(_) => ("the server's certificate is not valid".to_owned(), renew),
        Error::AlertReceived(Alert::CertificateExpired) => {
            ("the server says that our client certificate has expired".to_owned(), mine)
        }
        Error::AlertReceived(
            Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown | Alert::CertificateRequired,
        ) => ("the server does not accept our client certificate".to_owned(), mine),
        other => (
            format!("TLS failed: {other}"),
            "Check that the address speaks HTTPS and belongs to this cluster.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_the_server_said_and_what_to_do() {
        let status = br#"{"kind":"Status","message":"networkpolicies.networking.k8s.io is forbidden","details":{"causes":[{"reason":"R","field":".spec"}]}}"#;
        let html = b"<html>please sign in</html>";
        for (code, kind, body, said) in [
            (
                403,
                "application/json",
                &status[..],
                "x: refused with HTTP 403: networkpolicies.networking.k8s.io is forbidden. Ask the cluster's admin for this right, or choose a context that has it.",
            ),
            (
                429,
                "text/plain",
                b"Too many requests",
                "x: refused with HTTP 429: Too many requests. The server is overloaded or limits this user; sluice slows down and tries again by itself.",
            ),
            (
                200,
                "text/html; charset=utf-8",
                html,
                "x: HTTP 200 with text/html; charset=utf-8, not a Kubernetes answer. Check the server address of this context: a proxy or login page may stand in between.",
            ),
            (
                302,
                "",
                b"",
                "x: HTTP 302 with no type, not a Kubernetes answer. Check the server address of this context: a proxy or login page may stand in between.",
            ),
        ] {
            assert_eq!(Failure::of_answer(code, kind, None, body).trouble("x").to_string(), said);
        }
    }

    #[test]
    fn only_a_write_that_surely_never_arrived_counts_as_not_landed() {
        let unreached = Failure::Unreached { fact: Text::new("x"), next: "y" };
        assert!(!unreached.may_have_landed());
        assert!(Failure::deadline(Duration::from_secs(10)).may_have_landed());
        for (code, may) in [(403, false), (409, false), (429, false), (503, false), (500, true), (504, true)]
        {
            assert_eq!(
                Failure::of_answer(code, "application/json", None, b"{}").may_have_landed(),
                may,
                "{code}"
            );
        }
    }
}
