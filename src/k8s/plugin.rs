//! A context's exec plugin: a program that says who we are, by the rules of client-go's credential
//! plugins. It is run here rather than by kube, which runs it three times for one client, on threads
//! that other clusters need, and never ends one that hangs. What it prints is told to nobody.

use std::{
    io::Read as _,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use kube::config::ExecConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use crate::domain::{names::Text, time::Timestamp};

/// A plugin is ended after this: one that waits for a person's login is given the time for it.
const LIMIT: Duration = Duration::from_secs(300);
/// More is not credentials.
const OUTPUT: u64 = 1 << 20;

/// What a plugin gave.
#[cfg_attr(test, derive(Debug))]
pub struct Credentials {
    pub token: Option<String>,
    /// Certificate and key, as PEM.
    pub certificate: Option<(String, String)>,
    /// When they end, by this machine's clock.
    pub until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs it once. The error is the fact, without a word of the plugin's own.
pub async fn run(exec: &ExecConfig) -> Result<Credentials, Text> {
    let (status, output) = output(command(exec)?).await?;
    if !status.success() {
        return Err(Text::from(format!("its exec plugin failed ({status})")));
    }
    read(&output)
}

fn command(exec: &ExecConfig) -> Result<Command, Text> {
    let program = exec.command.as_ref().ok_or_else(|| Text::new("its exec plugin has no command"))?;
    let mut command = Command::new(program);
    command.args(exec.args.iter().flatten());
    let pairs = exec.env.iter().flatten().filter_map(|one| Some((one.get("name")?, one.get("value")?)));
    command.envs(pairs);
    let mut spec = json!({ "interactive": false });
    if exec.provide_cluster_info {
        spec["cluster"] = serde_json::to_value(&exec.cluster).unwrap_or(Value::Null);
    }
    let info = json!({ "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec });
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    // The terminal is the cockpit's.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

/// Runs a program on a thread of its own, which ends with it; dropped, or after [`LIMIT`], it is ended.
async fn output(mut command: Command) -> Result<(ExitStatus, Vec<u8>), Text> {
    let failed = |error: std::io::Error| {
        Text::from(format!("its exec plugin could not be started ({})", error.kind()))
    };
    let mut child = command.spawn().map_err(failed)?;
    let mut running = Running { process: rustix::process::Pid::from_raw(child.id().cast_signed()) };
    let (told, ended) = oneshot::channel();
    let wait = move || {
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = stdout.take(OUTPUT).read_to_end(&mut output);
        }
        let _ = told.send(child.wait().map(|status| (status, output)));
    };
    std::thread::Builder::new().name("exec plugin".to_owned()).spawn(wait).map_err(failed)?;
    let Ok(ended) = timeout(LIMIT, ended).await else {
        let fact = format!("its exec plugin gave nothing within {} s and was ended", LIMIT.as_secs());
        return Err(Text::from(fact));
    };
    running.process = None;
    ended.map_err(|_| Text::new("its exec plugin was lost"))?.map_err(failed)
}

/// A process that must not outlive who waits for it.
struct Running {
    process: Option<rustix::process::Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
}

/// Plugins print JSON, some of them YAML.
fn read(output: &[u8]) -> Result<Credentials, Text> {
    let bad = |what: &str| Text::from(format!("its exec plugin printed {what}"));
    let answer: Answer =
        serde_yaml::from_slice(output).map_err(|_| bad("something else than an ExecCredential"))?;
    let status = answer.status.ok_or_else(|| bad("an ExecCredential without a status"))?;
    let until = match status.expiration_timestamp {
        Some(raw) => match chrono::DateTime::parse_from_rfc3339(&raw) {
            Ok(until) => Some(until.to_utc()),
            Err(_) => return Err(bad("an expirationTimestamp that is not RFC 3339")),
        },
        None => None,
    };
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    let token = status.token.filter(|token| !token.is_empty());
    if token.is_none() && certificate.is_none() {
        return Err(bad("neither a token nor a certificate with its key"));
    }
    Ok(Credentials { token, certificate, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_for_good_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("1000").stdout(Stdio::piped());
        let said = output(command).await.err().map(|fact| fact.to_string());
        assert_eq!(said.as_deref(), Some("its exec plugin gave nothing within 300 s and was ended"));
    }

    fn said(output: &str) -> String {
        match read(output.as_bytes()) {
            Ok(credentials) => format!("{credentials:?}"),
            Err(fact) => fact.to_string(),
        }
    }

    #[test]
    fn json_and_yaml_are_read_and_nothing_of_either_is_repeated() {
        let json = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false},
            "status":{"token":"sekrit","expirationTimestamp":"2026-03-02T10:00:00Z"}}"#;
        assert_eq!(
            said(json),
            r#"Credentials { token: Some("sekrit"), certificate: None, until: Some(2026-03-02T10:00:00Z) }"#
        );
        let yaml = "kind: ExecCredential\nstatus:\n  clientCertificateData: c\n  clientKeyData: k\n";
        assert_eq!(said(yaml), r#"Credentials { token: None, certificate: Some(("c", "k")), until: None }"#);
        for (output, fact) in [
            ("", "its exec plugin printed an ExecCredential without a status"),
            ("sekrit: [", "its exec plugin printed something else than an ExecCredential"),
            ("{\"kind\":\"ExecCredential\"}", "its exec plugin printed an ExecCredential without a status"),
            (
                "{\"status\":{\"token\":\"\"}}",
                "its exec plugin printed neither a token nor a certificate with its key",
            ),
            (
                "{\"status\":{\"token\":\"sekrit\",\"expirationTimestamp\":\"soon\"}}",
                "its exec plugin printed an expirationTimestamp that is not RFC 3339",
            ),
        ] {
            assert_eq!(said(output), fact);
        }
    }
}
