//! An object as it is sent: the exact bytes. Those of a default deny differ from namespace to namespace
//! only by the name in the middle, so what stands around it is kept once for a whole fleet.

use std::{fmt, iter, sync::Arc};

use super::{few::Few, names::NsName, policy::Shared};

/// The manifests of a set, by pinned name.
pub type Manifests = Few<&'static str, Manifest>;

/// JSON text, ready to send. Two are equal if their bytes are.
#[derive(Clone)]
pub struct Manifest {
    around: Arc<Around>,
    /// What stands in between; `None`: nothing.
    ns: Option<NsName>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Around {
    before: Box<str>,
    after: Box<str>,
}

impl Manifest {
    /// The text of an object of this namespace. Also one that does not name it keeps its bytes.
    pub fn new(text: &str, ns: &NsName) -> Self {
        const FIELD: &str = "\"namespace\":\"";
        let named = text.match_indices(FIELD).map(|(at, _)| at + FIELD.len()).find_map(|at| {
            let after = text[at..].strip_prefix(ns.as_str()).filter(|after| after.starts_with('"'))?;
            Some((&text[..at], after))
        });
        let (before, after) = named.unwrap_or((text, ""));
        let around = Around { before: before.into(), after: after.into() }.into();
        Self { around, ns: named.map(|_| ns.clone()) }
    }

    fn parts(&self) -> [&str; 3] {
        [&self.around.before, self.ns.as_ref().map_or("", NsName::as_str), &self.around.after]
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.parts().into_iter().flat_map(str::bytes)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().into_iter().try_for_each(|part| f.write_str(part))
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.around, &other.around) && self.ns == other.ns)
            || iter::Iterator::eq(self.bytes(), other.bytes())
    }
}

impl Eq for Manifest {}

/// Text of which nothing is shared.
impl<T: Into<Box<str>>> From<T> for Manifest {
    fn from(text: T) -> Self {
        let around = Around { before: text.into(), after: Box::default() };
        Self { around: around.into(), ns: None }
    }
}

/// What stands around the names, each once.
#[derive(Debug, Default)]
pub struct Templates(Shared<Around>);

impl Templates {
    /// Lets this manifest share what it has in common with others.
    pub fn share(&mut self, manifest: &mut Manifest) {
        self.0.share(&mut manifest.around);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ns(name: &str) -> NsName {
        NsName::parse(name).expect("a name")
    }

    #[test]
    fn the_same_deny_of_two_namespaces_is_kept_once() {
        let text = |ns: &str| {
            format!(
                r#"{{"metadata":{{"labels":{{"namespace":"x"}},"name":"d","namespace":"{ns}"}},"spec":{{}}}}"#
            )
        };
        let mut templates = Templates::default();
        let mut both = ["shop", "cart"].map(|name| Manifest::new(&text(name), &ns(name)));
        both.iter_mut().for_each(|one| templates.share(one));
        let [shop, cart] = both;
        assert!(Arc::ptr_eq(&shop.around, &cart.around));
        assert_eq!([shop.to_string(), cart.to_string()], [text("shop"), text("cart")]);
        assert_ne!(shop, cart);
        assert_eq!(shop, Manifest::from(text("shop")), "the same bytes, however they are kept");
    }

    proptest! {
        /// Not a byte is lost or added, whatever the text is.
        #[test]
        fn bytes_stay(parts in prop::collection::vec("\"namespace\":\"|shop|\"|[a-zé]{1,3}", 0..12)) {
            let text = parts.concat();
            prop_assert_eq!(Manifest::new(&text, &ns("shop")).to_string(), text);
        }
    }
}
