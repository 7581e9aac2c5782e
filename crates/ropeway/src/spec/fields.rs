//! Wrappers for fields of a spec that need more than their value.
//!
//! Serde knows nothing of places in a file. These types ask the deserializer of this crate for them under reserved
//! names, and cannot be read by any other.

use std::{borrow::Cow, cmp::Ordering, fmt, marker::PhantomData, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::diagnostics::Span;

pub(super) const NOT_YET: &str = "$notYet";
pub(super) const RAW: &str = "$raw";
pub(super) const SPANNED: &str = "$spanned";

/// A value and its place in the file. Compares by value only. A default stands nowhere: its place means nothing.
#[derive(Clone, Debug, Default)]
pub struct Spanned<T> {
    value: T,
    span: Span,
}

impl<T> Spanned<T> {
    /// Where the value stands.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Another value, as if it stood there.
    pub const fn with<U>(&self, value: U) -> Spanned<U> {
        Spanned { value, span: self.span }
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: Ord> Ord for Spanned<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: PartialOrd> PartialOrd for Spanned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> FromParts<'de> for Spanned<T> {
    const NAME: &'static str = SPANNED;
    fn from_parts<A: SeqAccess<'de>>(mut parts: A) -> Result<Self, A::Error> {
        let span = next_span(&mut parts)?;
        Ok(Self { value: next(&mut parts)?, span })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// A value of any form, kept for a later reading with [`Reader::read`](super::Reader::read).
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    pub(super) node: u32,
    pub(super) span: Span,
}

impl Raw {
    /// Where the value stands.
    pub const fn span(&self) -> Span {
        self.span
    }
}

impl Raw {
    /// The start of the value: a place for what is missing in it.
    pub const fn first_line(&self) -> Span {
        Span { end: self.span.start, ..self.span }
    }
}

impl<'de> FromParts<'de> for Raw {
    const NAME: &'static str = RAW;
    fn from_parts<A: SeqAccess<'de>>(mut parts: A) -> Result<Self, A::Error> {
        Ok(Self { span: next_span(&mut parts)?, node: next(&mut parts)? })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// A field that is understood and checked, but does nothing yet: to give it any value but its default is worth a
/// warning, which reading it produces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotYet<T>(T);

impl<T> NotYet<T> {
    /// What the user wrote.
    pub const fn written(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Default + Deserialize<'de> + PartialEq> FromParts<'de> for NotYet<T> {
    const NAME: &'static str = NOT_YET;
    fn from_parts<A: SeqAccess<'de>>(mut parts: A) -> Result<Self, A::Error> {
        let value: T = next(&mut parts)?;
        if value != T::default() {
            // to ask for one thing more is how this type tells the deserializer to warn
            next::<(), A>(&mut parts)?;
        }
        Ok(Self(value))
    }
}

impl<'de, T: Default + Deserialize<'de> + PartialEq> Deserialize<'de> for NotYet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// A value of any form that nothing looks into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Untyped;

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Untyped {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// Implements `JsonSchema` for a wrapper as that of what it wraps.
macro_rules! schema_of_inner {
    ($($wrapper:ident),*) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}

schema_of_inner!(NotYet, Spanned);

/// Lets the schema of a struct know a second name of a field, which serde's `alias` keeps to itself.
pub(super) fn also_as(schema: &mut Schema, field: &str, alias: &str) {
    let properties = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    if let Some(properties) = properties
        && let Some(same) = properties.get(field).cloned()
    {
        properties.insert(alias.to_owned(), same);
    }
}

/// A type that is put together from the parts that the deserializer hands out under a reserved name.
trait FromParts<'de>: Sized {
    const NAME: &'static str;
    fn from_parts<A: SeqAccess<'de>>(parts: A) -> Result<Self, A::Error>;
}

fn read<'de, T: FromParts<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Parts<T>(PhantomData<T>);
    impl<'de, T: FromParts<'de>> Visitor<'de> for Parts<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value of the configuration reader")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<T, A::Error> {
            T::from_parts(parts)
        }
    }
    deserializer.deserialize_newtype_struct(T::NAME, Parts(PhantomData))
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| A::Error::custom("only the configuration reader can read this type"))
}

fn next_span<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<Span, A::Error> {
    Ok(Span { file: next(parts)?, start: next(parts)?, end: next(parts)? })
}
