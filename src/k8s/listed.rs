//! The answer to a list, read object by object: as a tree of values a page takes twenty times its bytes,
//! and hundreds of pages come at once when a large fleet is met.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::domain::names::Text;

use super::failure::Failure;

/// `metadata` of a list (`ListMeta` of the API).
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMeta {
    pub resource_version: String,
    /// The token of the next page; empty on the last.
    pub r#continue: String,
}

/// What `keep` makes of each object, made before the next one is read. An error if the answer is no list,
/// or an object no `W`.
pub fn each<W: DeserializeOwned, T>(
    body: &[u8],
    keep: impl FnMut(W) -> T,
) -> Result<(ListMeta, Vec<T>), Failure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let list = json.deserialize_map(Page(Items { keep, of: PhantomData }));
    list.and_then(|list| json.end().map(|()| list))
        .map_err(|_| Failure::Foreign(Text::new("the answer is not the list that Kubernetes sends")))
}

struct Page<W, F>(Items<W, F>);

impl<'de, W: DeserializeOwned, T, F: FnMut(W) -> T> Visitor<'de> for Page<W, F> {
    type Value = (ListMeta, Vec<T>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut metadata, mut items) = (ListMeta::default(), Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => metadata = map.next_value()?,
                "items" => items = map.next_value_seed(&mut self.0)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((metadata, items))
    }
}

struct Items<W, F> {
    keep: F,
    of: PhantomData<fn(W)>,
}

impl<'de, W: DeserializeOwned, T, F: FnMut(W) -> T> DeserializeSeed<'de> for &mut Items<W, F> {
    type Value = Vec<T>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Vec<T>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, W: DeserializeOwned, T, F: FnMut(W) -> T> Visitor<'de> for &mut Items<W, F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    /// An empty list of metadata has `items: null`.
    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(object) = seq.next_element::<W>()? {
            all.push((self.keep)(object));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_handed_on_in_order_and_the_rest_is_passed_over() {
        let body =
            br#"{"kind":"List","items":[3,1,2],"metadata":{"continue":"t","resourceVersion":"9","x":{}}}"#;
        let (metadata, seen) = each::<u8, _>(body, |n| n * 10).unwrap();
        assert_eq!(seen, [30, 10, 20]);
        assert_eq!((metadata.r#continue.as_str(), metadata.resource_version.as_str()), ("t", "9"));
    }

    #[test]
    fn no_objects_and_no_list() {
        for body in [&br#"{"items":null,"metadata":{}}"#[..], br#"{"items":[]}"#, b"{}"] {
            assert_eq!(each::<u8, _>(body, |n| n).unwrap(), (ListMeta::default(), Vec::new()));
        }
        for body in
            [&b"[]"[..], b"", b"3", br#"{"items":3}"#, br#"{"items":["a"]}"#, b"{} x", b"{\"items\":[1"]
        {
            assert!(each::<u8, _>(body, |n| n).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
