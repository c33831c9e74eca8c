//! JSON text as it was sent when recorded, keys in that order and blanks after colons and commas:
//! errors of the server quote and depend on both.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value as compact text.
#[derive(Debug, Clone)]
pub struct JsonText(pub String);

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Writer)
    }
}

struct Writer;

impl<'de> Visitor<'de> for Writer {
    type Value = JsonText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonText, E> {
        Ok(JsonText(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<JsonText, E> {
        Ok(JsonText(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<JsonText, E> {
        Ok(JsonText(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<JsonText, E> {
        Ok(JsonText(serde_json::json!(value).to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<JsonText, E> {
        Ok(JsonText(serde_json::json!(value).to_string()))
    }

    fn visit_unit<E>(self) -> Result<JsonText, E> {
        Ok(JsonText("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonText, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(JsonText(text)) = items.next_element()? {
            texts.push(text);
        }
        Ok(JsonText(format!("[{}]", texts.join(","))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JsonText, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some((key, JsonText(text))) = fields.next_entry::<String, JsonText>()? {
            texts.push(format!("{}: {text}", serde_json::json!(key)));
        }
        Ok(JsonText(format!("{{{}}}", texts.join(", "))))
    }
}
