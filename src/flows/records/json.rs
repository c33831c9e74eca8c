//! JSON values as the decoders of lines take them: borrowed, tolerant of `null`, of numbers in
//! quotes and of unknown members, and never deeper than the reader's limit (sonic-rs skips an
//! ignored value by unbounded recursion, so [`Skip`] stands where `IgnoredAny` would).

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Malformed;

/// One whole line as `T`. Bytes that are not UTF-8 are told apart from text that is not JSON.
pub fn line<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Malformed> {
    sonic_rs::from_slice(line).map_err(|_| match std::str::from_utf8(line) {
        Ok(_) => Malformed::Json,
        Err(_) => Malformed::Text,
    })
}

/// A struct read from an object, field by field as they come: what is missing or `null` keeps its
/// default, what is not listed is skipped, the last of two wins.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($($key:literal)|+ => $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $type,)*
            line: std::marker::PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Fields<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut out = $name::default();
                        while let Some(key) = map.next_key::<crate::flows::records::json::Str<'de>>()? {
                            match key.as_str() {
                                $($($key)|+ => out.$field = map.next_value()?,)*
                                _ => {
                                    map.next_value::<crate::flows::records::json::Skip>()?;
                                }
                            }
                        }
                        Ok(out)
                    }
                }

                from.deserialize_any(Fields(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use object;

/// A text; owned only where it holds an escape. Absent, `null` and empty are one.
#[derive(Clone, Debug, Default)]
pub struct Str<'a>(Cow<'a, str>);

impl Str<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` where nothing is said.
    pub fn said(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Str<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            #[inline]
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Str<'de>, E> {
                Ok(Str::default())
            }
        }

        from.deserialize_any(Text)
    }
}

/// A count or code written as a number, as a text or as `null`. What is negative or no number is
/// `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Num(pub Option<u64>);

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Code::deserialize(from)? {
            Code::Number(number) => Ok(Self(Some(number))),
            Code::Name(name) => Ok(Self(name.as_str().trim().parse().ok())),
            Code::Absent => Ok(Self(None)),
        }
    }
}

/// An enum's value by number or by name, as it came.
#[derive(Clone, Debug, Default)]
pub enum Code<'a> {
    #[default]
    Absent,
    Number(u64),
    Name(Str<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Code<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Code<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            #[inline]
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Code<'de>, E> {
                Ok(Code::Name(Str(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Code<'de>, E> {
                Ok(Code::Name(Str(Cow::Owned(text.to_owned()))))
            }

            #[inline]
            fn visit_u64<E>(self, number: u64) -> Result<Code<'de>, E> {
                Ok(Code::Number(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Code<'de>, E> {
                Ok(u64::try_from(number).map_or(Code::Absent, Code::Number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Code<'de>, E> {
                let whole = number.is_finite() && (0.0..9.0e15).contains(&number);
                Ok(if whole { Code::Number(number as u64) } else { Code::Absent })
            }

            fn visit_unit<E>(self) -> Result<Code<'de>, E> {
                Ok(Code::Absent)
            }
        }

        from.deserialize_any(Either)
    }
}

/// A yes or no that may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or null")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(Some(flag)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Flag, E> {
                Ok(Flag(text.parse().ok()))
            }

            fn visit_unit<E>(self) -> Result<Flag, E> {
                Ok(Flag(None))
            }
        }

        from.deserialize_any(Either)
    }
}

/// The first `N` of a list; `len` of them are set. `null` is empty.
#[derive(Clone, Debug)]
pub struct Few<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T, const N: usize> Few<T, N> {
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T: Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { items: std::array::from_fn(|_| T::default()), len: 0 }
    }
}

impl<'de, T: Default + Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(Few<T, N>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = Few<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Few<T, N>, E> {
                Ok(self.0)
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Few<T, N>, A::Error> {
                while self.0.len < N {
                    let Some(item) = list.next_element()? else { return Ok(self.0) };
                    self.0.items[self.0.len] = item;
                    self.0.len += 1;
                }
                while list.next_element::<Skip>()?.is_some() {}
                Ok(self.0)
            }
        }

        from.deserialize_any(List(Self::default()))
    }
}

/// Any value, checked and thrown away. Knows how deep it is: what is nested deeper than
/// [`Skip::DEPTH`] is hostile, and would only be there to overflow a stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skip(u8);

impl Skip {
    const DEPTH: u8 = 32;

    fn below<E: Error>(self) -> Result<Self, E> {
        if self.0 < Self::DEPTH { Ok(Self(self.0 + 1)) } else { Err(E::custom("nested too deep")) }
    }
}

impl<'de> Deserialize<'de> for Skip {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self(0))
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    #[inline]
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let below = self.below()?;
        while map.next_key_seed(below)?.is_some() {
            map.next_value_seed(below)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        /// A line of the tests.
        Line { "a" => a: Num, "b" => b: Str<'a>, "c" => c: Few<Str<'a>, 2>, "d" => d: Flag, }
    }

    #[test]
    fn members_may_come_in_any_order_be_missing_null_or_unknown() {
        let text =
            br#"{"x":{"y":[1,-2,3.5,null,true,"\n"]},"c":["p","q","r"],"b":"x\u003cy","a":"12","d":false}"#;
        let read: Line<'_> = line(text).expect("whole");
        assert_eq!((read.a, read.b.as_str(), read.d), (Num(Some(12)), "x<y", Flag(Some(false))));
        let few: Vec<_> = read.c.as_slice().iter().map(Str::as_str).collect();
        assert_eq!(few, ["p", "q"]);
        let read: Line<'_> = line(br#"{"a":null,"b":null,"c":null,"d":null}"#).expect("whole");
        assert_eq!((read.a, read.b.said(), read.d), (Num(None), None, Flag(None)));
        assert!(read.c.as_slice().is_empty());
    }

    #[test]
    fn numbers_are_taken_as_they_come() {
        for (raw, number) in
            [("7", Some(7)), ("7.0", Some(7)), ("\" 7 \"", Some(7)), ("-7", None), ("\"-\"", None)]
        {
            let text = format!("{{\"a\":{raw}}}");
            assert_eq!(line::<Line<'_>>(text.as_bytes()).expect("whole").a, Num(number), "{raw}");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_text_is_said() {
        for half in ["{", "{\"a\":1", "{\"a\":1}}", "[]", "{\"a\":{}}", "{\"b\":\"x"] {
            assert_eq!(line::<Line<'_>>(half.as_bytes()).expect_err(half), Malformed::Json);
        }
        assert_eq!(line::<Line<'_>>(b"{\"b\":\"\xff\"}").expect_err("not text"), Malformed::Text);
    }

    /// A depth that would overflow the stack of a reader that recurses without a limit.
    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let deep = format!("{{\"x\":{}1{}}}", open.repeat(200_000), close.repeat(200_000));
            assert_eq!(line::<Line<'_>>(deep.as_bytes()).expect_err("too deep"), Malformed::Json);
            let unfinished = format!("{{\"x\":{}", open.repeat(200_000));
            assert_eq!(line::<Line<'_>>(unfinished.as_bytes()).expect_err("too deep"), Malformed::Json);
        }
    }
}
