//! What a value of a line can be: texts, numbers, yes or no, short lists. Each takes `null` and what
//! the sources write in its place; none fails where the value is merely not understood.

use std::borrow::Cow;

use super::{Malformed, Reader, Value};

/// A text; owned only where it holds an escape. Absent, `null` and empty are one.
#[derive(Clone, Debug)]
pub struct Str<'a>(Cow<'a, str>);

impl Default for Str<'_> {
    fn default() -> Self {
        Self(Cow::Borrowed(""))
    }
}

impl<'a> Str<'a> {
    pub fn borrowed(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    pub(super) fn owned(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// The line's own bytes, where it has no escapes.
    pub fn in_line(&self) -> Option<&'a str> {
        match &self.0 {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` where nothing is said.
    pub fn said(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl<'a> Value<'a> for Str<'a> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        *self = if from.null()? { Self::default() } else { from.string()? };
        Ok(())
    }
}

/// An enum's value by number or by name, as it came. What is negative or no whole number is absent.
#[derive(Clone, Debug, Default)]
pub enum Code<'a> {
    #[default]
    Absent,
    Number(u64),
    Name(Str<'a>),
}

impl<'a> Value<'a> for Code<'a> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        *self = match from.peek() {
            Some(b'"') => Self::Name(from.string()?),
            Some(b'n') => from.null().map(|_| Self::Absent)?,
            Some(_) | None => whole(from.number()?)?.map_or(Self::Absent, Self::Number),
        };
        Ok(())
    }
}

fn whole(number: &str) -> Result<Option<u64>, Malformed> {
    if let Ok(number) = number.parse::<u64>() {
        return Ok(Some(number));
    }
    let number: f64 = number.parse().map_err(|_| Malformed::Json)?;
    Ok((0.0..9.0e15).contains(&number).then_some(number as u64))
}

/// A count or code written as a number, as a text or as `null`. What is negative or no number is
/// `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Num(pub Option<u64>);

impl<'a> Value<'a> for Num {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        let mut code = Code::Absent;
        code.fill(from)?;
        self.0 = match code {
            Code::Number(number) => Some(number),
            Code::Name(name) => name.as_str().trim().parse().ok(),
            Code::Absent => None,
        };
        Ok(())
    }
}

/// A yes or no that may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

impl<'a> Value<'a> for Flag {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.0 = match from.peek() {
            Some(b't') => from.word("true").map(|()| Some(true))?,
            Some(b'f') => from.word("false").map(|()| Some(false))?,
            Some(b'"') => from.string()?.as_str().parse().ok(),
            Some(_) | None => from.word("null").map(|()| None)?,
        };
        Ok(())
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        if from.null()? {
            *self = None;
            return Ok(());
        }
        self.insert(T::default()).fill(from)
    }
}

impl<'a, T: Value<'a>> Value<'a> for Box<T> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.as_mut().fill(from)
    }
}

/// The first `N` of a list; `len` of them are set.
#[derive(Clone, Debug)]
pub struct Few<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T, const N: usize> Few<T, N> {
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }

    /// Puts one in, where there is room.
    pub fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }
}

impl<T: Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { items: std::array::from_fn(|_| T::default()), len: 0 }
    }
}

impl<'a, T: Value<'a>, const N: usize> Value<'a> for Few<T, N> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.len = 0;
        from.list(|from| match self.items.get_mut(self.len) {
            Some(item) => {
                self.len += 1;
                item.fill(from)
            }
            None => from.skip(),
        })
    }
}

/// The same of a list that is long where it is there at all.
#[derive(Clone, Debug)]
pub struct Many<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Many<T, N> {
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> Default for Many<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, T: Value<'a>, const N: usize> Value<'a> for Many<T, N> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.0.clear();
        from.list(|from| {
            if self.0.len() == N {
                return from.skip();
            }
            let mut item = T::default();
            item.fill(from)?;
            self.0.push(item);
            Ok(())
        })
    }
}

/// Any value, passed over: that it was there is all that is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skip;

impl<'a> Value<'a> for Skip {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        from.skip()
    }
}
