//! The JSON body of a webhook: a template with `{{field}}` places between its quotes. What is filled
//! in is escaped as JSON; the whole must be JSON again, else the template is refused when it is read.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    cockpit::alerts::Alert,
    domain::{names::Text, time::Timestamp},
};

/// Understood by chats (`text`) and by programs (the rest).
pub(super) const BUILT_IN: &str = r#"{"text":"{{title}}\n{{text}}\n{{command}}","state":"{{state}}","kind":"{{kind}}","cluster":"{{cluster}}","namespace":"{{namespace}}","direction":"{{direction}}","at":"{{at}}","since":"{{since}}","command":"{{command}}","key":"{{key}}","escalation":"{{escalation}}"}"#;

const FIELDS: [&str; 12] = [
    "title",
    "text",
    "state",
    "kind",
    "cluster",
    "namespace",
    "direction",
    "at",
    "since",
    "command",
    "key",
    "escalation",
];

/// What is wrong with a template; nothing: it can be used.
pub(super) fn complaint(template: &str) -> Option<String> {
    let filled = fill(template, |field| FIELDS.contains(&field).then_some(Cow::Borrowed("x")));
    let filled = match filled {
        Ok(filled) => filled,
        Err(field) => {
            let field: String = field.chars().take(40).collect();
            return Some(format!("{{{{{field}}}}} is no field; there are {}", FIELDS.join(", ")));
        }
    };
    serde_json::from_str::<Value>(&filled)
        .err()
        .map(|bad| format!("it is not JSON with its fields filled in ({bad})"))
}

/// The body; the built-in one where the template cannot be used.
pub(super) fn render(template: Option<&str>, alert: &Alert, escalation: &[Text]) -> String {
    let template = template.filter(|template| complaint(template).is_none()).unwrap_or(BUILT_IN);
    fill(template, |field| value(field, alert, escalation).map(|value| Cow::Owned(escaped(&value))))
        // Every field of a template without complaint is known; a message is never lost all the same.
        .unwrap_or_else(|_| Value::from(alert.line()).to_string())
}

/// Fills in every place; answers the first field that is none.
fn fill(template: &str, value: impl Fn(&str) -> Option<Cow<'static, str>>) -> Result<String, &str> {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, next) = after.split_once("}}").ok_or(after)?;
        out.push_str(before);
        out.push_str(&value(field.trim()).ok_or(field)?);
        rest = next;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(field: &str, alert: &Alert, escalation: &[Text]) -> Option<String> {
    let (key, spot) = (&alert.key, &alert.key.spot);
    Some(match field {
        "title" => alert.title(),
        "text" => alert.words.to_string(),
        "state" => alert.state.as_str().to_owned(),
        "kind" => key.kind.as_str().to_owned(),
        "cluster" => spot.cluster.to_string(),
        "namespace" => spot.ns.as_ref().map(ToString::to_string).unwrap_or_default(),
        "direction" => spot.direction.map(|direction| direction.to_string()).unwrap_or_default(),
        "at" => time(alert.at),
        "since" => time(alert.since),
        "command" => alert.command(),
        "key" => format!("{} {spot} {}", key.kind.as_str(), key.detail).trim_end().to_owned(),
        // Whom to call, in this order.
        "escalation" => escalation.iter().map(Text::as_str).collect::<Vec<_>>().join(", then "),
        _ => return None,
    })
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Inside the quotes of a JSON string. Angle brackets become others: a chat would take `<!channel>`
/// out of a pod's name for a call to everybody.
fn escaped(raw: &str) -> String {
    let plain = raw.replace('<', "‹").replace('>', "›");
    let quoted = Value::from(plain).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::{TimeZone as _, Utc};

    use super::*;
    use crate::{
        cockpit::{
            alerts::{AlertKey, AlertKind, AlertState},
            spot::Spot,
        },
        domain::{
            flow::Direction,
            names::{ClusterName, NsName},
        },
    };

    pub(in crate::engine::notifier) fn alert(words: &str) -> Alert {
        let at = Utc.with_ymd_and_hms(2026, 11, 23, 3, 0, 0).single().expect("a time");
        let spot = Spot {
            cluster: ClusterName::parse("east").expect("valid"),
            ns: NsName::parse("shop").ok(),
            direction: Some(Direction::Egress),
        };
        Alert {
            key: AlertKey { kind: AlertKind::Hurting, spot, detail: Text::new("web db:5432/TCP") },
            state: AlertState::Raised,
            at,
            since: at - chrono::TimeDelta::minutes(2),
            words: Text::new(words),
        }
    }

    #[test]
    fn the_built_in_body_is_as_documented() {
        assert_eq!(complaint(BUILT_IN), None);
        let body = render(None, &alert("web is denied"), &["#oncall".into(), "+49 000".into()]);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).expect("JSON"));
    }

    /// Whatever a cluster says, it stays inside its string.
    #[test]
    fn hostile_words_stay_inside_their_string() {
        let hostile = r#"","x":"y" \ {{command}} <!channel> <http://a|b>"#;
        let body: Value =
            serde_json::from_str(&render(Some(r#"{"t":"{{ text }}"}"#), &alert(hostile), &[])).expect("JSON");
        assert_eq!(body, serde_json::json!({"t": r#"","x":"y" \ {{command}} ‹!channel› ‹http://a|b›"#}));
    }

    #[test]
    fn a_template_that_cannot_be_used_is_named_and_replaced() {
        for (template, said) in [
            (r#"{"a":"{{titel}}"}"#, "{{titel}} is no field; there are title, text, state, kind, cluster"),
            (r#"{"a":"{{title"}"#, "is no field"),
            (r#"{"a":{{title}}}"#, "it is not JSON with its fields filled in"),
            ("", "it is not JSON with its fields filled in"),
        ] {
            let complaint = complaint(template).expect(template);
            assert!(complaint.contains(said), "{template}: {complaint}");
            assert_eq!(render(Some(template), &alert("x"), &[]), render(None, &alert("x"), &[]));
        }
        assert_eq!(complaint(r#"{"a":"{{title}} {{ key }}","b":[1,{"c":"{{at}}"}]}"#), None);
    }
}
