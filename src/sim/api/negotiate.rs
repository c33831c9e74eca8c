//! Which form an answer takes: the Accept header read as a real server reads it.
//! It never renders anything.

use crate::sim::api::status::Status;

const OFFERED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const OFFERED_STREAMS: &str =
    ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// The media types of a real server that this one sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
}

/// The shape of the object in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Whole,
    Table,
    TableBeta,
    Metadata,
    MetadataList,
    /// Aggregated discovery, at /api and /apis only.
    Discovery,
}

/// The outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub media: Media,
    pub form: Form,
}

/// What an end point can answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Objects, in every form.
    Objects,
    /// The same as a stream.
    Watch,
    /// Aggregated discovery or the plain document.
    Discovery,
    /// The plain document only.
    Plain,
}

/// One clause of the header.
struct Clause<'a> {
    media: &'a str,
    form: &'a str,
    group: &'a str,
    version: &'a str,
}

/// Reads an Accept header; an absent one takes anything.
pub fn accept(header: Option<&str>, offer: Offer) -> Result<Accepted, Status> {
    let header = header.map(str::trim).filter(|h| !h.is_empty()).unwrap_or("*/*");
    let clauses: Vec<Clause<'_>> = header.split(',').map(clause).collect();
    let media: Vec<(Media, &Clause<'_>)> =
        clauses.iter().filter_map(|c| Some((media_of(c.media)?, c))).collect();
    if media.is_empty() && !clauses.iter().any(|c| c.media == "application/vnd.kubernetes.protobuf") {
        return Err(no_media(offer));
    }
    let taken = media.into_iter().find_map(|(media, c)| Some(Accepted { media, form: form_of(c, offer)? }));
    taken.ok_or_else(|| {
        Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {OFFERED}"))
    })
}

fn no_media(offer: Offer) -> Status {
    let streams = if offer == Offer::Watch { OFFERED_STREAMS } else { "" };
    let message = format!("406: Not Acceptable\n\nAvailable representations: {OFFERED}{streams}");
    Status::new(406, "NotAcceptable", message).with_details(serde_json::json!({}))
}

fn clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut clause = Clause { media: parts.next().unwrap_or_default(), form: "", group: "", version: "" };
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => clause.form = value,
            Some(("g", value)) => clause.group = value,
            Some(("v", value)) => clause.version = value,
            _ => {}
        }
    }
    clause
}

fn media_of(media: &str) -> Option<Media> {
    match media {
        "application/json" | "application/*" | "*/*" => Some(Media::Json),
        "application/yaml" => Some(Media::Yaml),
        _ => None,
    }
}

fn form_of(clause: &Clause<'_>, offer: Offer) -> Option<Form> {
    let objects = matches!(offer, Offer::Objects | Offer::Watch);
    match (clause.form, clause.group, clause.version) {
        ("", _, _) => Some(Form::Whole),
        ("Table", "meta.k8s.io", "v1") if objects => Some(Form::Table),
        ("Table", "meta.k8s.io", "v1beta1") if objects => Some(Form::TableBeta),
        ("PartialObjectMetadata", "meta.k8s.io", "v1") if objects => Some(Form::Metadata),
        ("PartialObjectMetadataList", "meta.k8s.io", "v1") if objects => Some(Form::MetadataList),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") if offer == Offer::Discovery => {
            Some(Form::Discovery)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Offer, accept};

    #[test]
    fn the_first_form_that_is_served_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let form = |header, offer| accept(Some(header), offer).map(|a| a.form).map_err(|s| s.code);
        assert_eq!(form(table, Offer::Objects), Ok(Form::Table));
        assert_eq!(form(table, Offer::Plain), Ok(Form::Whole));
        assert_eq!(form("text/html", Offer::Objects), Err(406));
        assert_eq!(form("application/vnd.kubernetes.protobuf, */*", Offer::Objects), Ok(Form::Whole));
        assert_eq!(form("application/json;as=Nonsense;v=v1;g=meta.k8s.io", Offer::Objects), Err(406));
    }
}
