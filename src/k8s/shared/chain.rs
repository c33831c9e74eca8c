//! The whole journal, read once, page by page, oldest first: for copies and for verifying. The watch
//! keeps only its newest part.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    cockpit::ports::Trouble,
    domain::{journal::Entry, names::NsName},
    k8s::{connect::Access, follow::escaped, wire::Call},
};

use super::{journal, kind::JOURNAL};

/// Entries of one page.
const PAGE: usize = 500;
/// Entries read at most; more than a fleet writes in decades.
const LIMIT: usize = 500_000;

#[derive(Deserialize)]
struct Page {
    metadata: Meta,
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    r#continue: String,
}

/// By number. An object that is no entry ends it: the chain cannot be whole.
pub async fn read(access: &Access, ns: &NsName) -> Result<Vec<Entry>, Trouble> {
    let server = access.server().await?;
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let mut path = format!("{}?limit={PAGE}", JOURNAL.path(ns));
        if !token.is_empty() {
            path.push_str("&continue=");
            path.push_str(&escaped(&token));
        }
        let page: Page =
            server.ask(Call::get(path)).await.map_err(|failure| failure.trouble(JOURNAL.words))?;
        for item in page.items {
            let kept = journal::decode(&item).map_err(|why| {
                Trouble::new(
                    JOURNAL.words,
                    why.as_str(),
                    "Look at it with kubectl: the chain ends before it.",
                )
            })?;
            entries.push(kept.value);
        }
        if entries.len() > LIMIT {
            let fact = format!("it has more than {LIMIT} entries");
            return Err(Trouble::new(JOURNAL.words, &fact, "Read it with kubectl, page by page."));
        }
        if page.metadata.r#continue.is_empty() {
            entries.sort_by_key(|entry| entry.number);
            return Ok(entries);
        }
        token = page.metadata.r#continue;
    }
}
