//! A serde `Deserializer` over a `Tree`, which knows places and does not stop at the first unknown key.

use std::{fmt, ops::ControlFlow};

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{StrDeserializer, U32Deserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    diagnostics::Span,
    fields::{NOT_YET, RAW, SPANNED},
    read_error::ReadError,
    reader::Reading,
    tree::{Node, NodeId, Value, duplicate_key},
};

/// One node about to be read.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'r> {
    pub(super) reading: &'r Reading<'r>,
    pub(super) id: NodeId,
    /// The key it stands under, if any.
    pub(super) key: Option<NodeId>,
}

impl<'r> NodeDeserializer<'r> {
    fn node(self) -> &'r Node {
        self.reading.tree.node(self.id)
    }

    fn wrong(self, expected: impl fmt::Display) -> ReadError {
        let node = self.node();
        let found = if self.reading.tree.is_secret(node.span) { "a secret".into() } else { describe(node) };
        let message = format!("expected {expected}, found {found}");
        ReadError { span: Some(node.span), ..ReadError::new(message) }
    }

    /// Gives an error from a visitor its place.
    fn placed<T>(self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.map_err(|error| ReadError { span: error.span.or(Some(self.node().span)), ..error })
    }

    fn text(self, expected: impl fmt::Display) -> Result<&'r str, ReadError> {
        match &self.node().value {
            Value::Scalar { text, .. } if !self.node().is_null() => Ok(text),
            _ => Err(self.wrong(expected)),
        }
    }

    fn integer(self) -> Result<i64, ReadError> {
        match &self.node().value {
            Value::Scalar { text, plain: true } => integer(text).ok_or_else(|| self.wrong("a whole number")),
            _ => Err(self.wrong("a whole number")),
        }
    }

    fn items(self) -> Result<Items<'r>, ReadError> {
        match &self.node().value {
            Value::List(items) => Ok(Items { reading: self.reading, rest: items.iter() }),
            _ => Err(self.wrong("a list")),
        }
    }

    fn entries(self) -> Result<&'r [(NodeId, NodeId)], ReadError> {
        match &self.node().value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong("a mapping of keys and values")),
        }
    }

    fn span_parts(self, last: Last) -> Parts<'r> {
        let Span { file, start, end } = self.node().span;
        Parts { of: self, numbers: vec![end, start, file], last }
    }
}

/// Reads a whole number as it stands in the file.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = self.integer()?;
            let number = <$type>::try_from(number).map_err(|_| {
                self.wrong(format_args!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            })?;
            self.placed(visitor.$visit(number))
        }
    )*};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node().value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Scalar { .. } => self.deserialize_str(visitor),
        }
    }

    integers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node().value {
            Value::Scalar { text, plain: true } => match &**text {
                "true" | "True" | "TRUE" => self.placed(visitor.visit_bool(true)),
                "false" | "False" | "FALSE" => self.placed(visitor.visit_bool(false)),
                _ => Err(self.wrong("true or false")),
            },
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node().value {
            Value::Scalar { text, plain: true } => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => self.placed(visitor.visit_f64(number)),
                _ => Err(self.wrong("a number")),
            },
            _ => Err(self.wrong("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let expected: &dyn Expected = &visitor;
        // what serde calls a string is a text in the language of this crate's messages
        let text = self.text(expected.to_string().replace("a string", "a text"))?;
        self.placed(visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node().is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        // nothing looks into it, so it is not worth walking
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let items = self.items()?;
        self.placed(visitor.visit_seq(items))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let entries = self.entries()?;
        let entries = Entries { reading: self.reading, rest: entries.iter(), current: None };
        self.placed(visitor.visit_map(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let mut entries = Fields {
            reading: self.reading,
            rest: self.entries()?.iter(),
            known: fields,
            id: self.id,
            seen: Vec::new(),
            current: None,
        };
        let result = visitor.visit_map(&mut entries);
        // serde finds a key that is given under two names before it asks for the value
        let (current, skipped) = (entries.current, entries.skipped());
        self.placed(result.map_err(|error| match (error.missing, current) {
            (Some(field), _) if skipped.contains(&field) => ReadError { is_consequence: true, ..error },
            (None, Some((key, _))) if error.span.is_none() => {
                let span = Some(self.reading.tree.node(key).span);
                ReadError { span, culprit: Some(key), ..error }
            }
            _ => error,
        }))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match name {
            SPANNED => visitor.visit_seq(self.span_parts(Last::Value)),
            RAW => visitor.visit_seq(self.span_parts(Last::Node)),
            NOT_YET => {
                visitor.visit_seq(Parts { of: self, numbers: Vec::new(), last: Last::ValueThenWarning })
            }
            _ => self.placed(visitor.visit_newtype_struct(self)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text = self.text("a text")?;
        let text: StrDeserializer<'_, ReadError> = text.into_deserializer();
        self.placed(visitor.visit_enum(text))
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// The items of a list.
struct Items<'r> {
    reading: &'r Reading<'r>,
    rest: std::slice::Iter<'r, NodeId>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let reading = self.reading;
        let Some(&id) = self.rest.find(|id| !reading.is_skipped(**id)) else { return Ok(None) };
        reading.read(seed, id, None).map(Some)
    }
}

/// The entries of a mapping whose keys are the user's own.
struct Entries<'r> {
    reading: &'r Reading<'r>,
    rest: std::slice::Iter<'r, (NodeId, NodeId)>,
    current: Option<(NodeId, NodeId)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let reading = self.reading;
        self.current = self.rest.find(|(key, _)| !reading.is_skipped(*key)).copied();
        let Some((key, _)) = self.current else { return Ok(None) };
        reading.read(seed, key, None).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let (key, value) = self.current.take().expect("serde asks for a value after its key");
        self.reading.read(seed, value, Some(key))
    }
}

/// The entries of a mapping whose keys are the fields of a struct.
struct Fields<'r> {
    reading: &'r Reading<'r>,
    rest: std::slice::Iter<'r, (NodeId, NodeId)>,
    id: NodeId,
    known: &'static [&'static str],
    /// The fields that stand in the mapping, with their keys.
    seen: Vec<(&'static str, NodeId)>,
    current: Option<(NodeId, NodeId)>,
}

impl Fields<'_> {
    /// Takes one entry; breaks with the field that is to be read from it.
    fn take(&mut self, key: NodeId, value: NodeId) -> ControlFlow<&'static str> {
        let tree = self.reading.tree;
        let (name, span) = (tree.node(key).text(), tree.node(key).span);
        let Some(&field) = self.known.iter().find(|field| field.eq_ignore_ascii_case(name)) else {
            self.reading.unknown_field(self.id, name, span, self.known);
            return ControlFlow::Continue(());
        };
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == field) {
            self.reading.report(duplicate_key(name, span, tree.node(*first).span));
            return ControlFlow::Continue(());
        }
        self.seen.push((field, key));
        if self.reading.is_skipped(key) || tree.node(value).is_null() {
            return ControlFlow::Continue(());
        }
        self.current = Some((key, value));
        ControlFlow::Break(field)
    }

    /// The fields that were left out because they are at fault.
    fn skipped(&self) -> Vec<&'static str> {
        let at_fault = self.seen.iter().filter(|(_, key)| self.reading.is_skipped(*key));
        at_fault.map(|(field, _)| *field).collect()
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        while let Some(&(key, value)) = self.rest.next() {
            if let ControlFlow::Break(field) = self.take(key, value) {
                let field: StrDeserializer<'_, ReadError> = field.into_deserializer();
                return seed.deserialize(field).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let (key, value) = self.current.take().expect("serde asks for a value after its key");
        self.reading.read(seed, value, Some(key))
    }
}

/// What a wrapper of module `fields` is put together from.
struct Parts<'r> {
    of: NodeDeserializer<'r>,
    /// Numbers that come first, in reverse.
    numbers: Vec<u32>,
    last: Last,
}

enum Last {
    Nothing,
    Node,
    Value,
    ValueThenWarning,
    Warning,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        if let Some(number) = self.numbers.pop() {
            return seed.deserialize(U32Deserializer::new(number)).map(Some);
        }
        let of = self.of;
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Nothing => Ok(None),
            Last::Node => seed.deserialize(U32Deserializer::new(of.id.0)).map(Some),
            Last::Value => seed.deserialize(of).map(Some),
            Last::ValueThenWarning => {
                self.last = Last::Warning;
                seed.deserialize(of).map(Some)
            }
            Last::Warning => {
                of.reading.not_supported(of.key.unwrap_or(of.id));
                seed.deserialize(UnitDeserializer::new()).map(Some)
            }
        }
    }
}

impl<'r> Reading<'r> {
    /// Reads one node within the budget, and notes on an error which node was at fault.
    fn read<'de, T: DeserializeSeed<'de>>(
        &'r self,
        seed: T,
        id: NodeId,
        key: Option<NodeId>,
    ) -> Result<T::Value, ReadError> {
        self.visit(id)?;
        seed.deserialize(NodeDeserializer { reading: self, id, key }).map_err(|error| ReadError {
            span: error.span.or(Some(self.tree.node(id).span)),
            culprit: error.culprit.or(Some(key.unwrap_or(id))),
            field: error.field.or_else(|| key.map(|key| self.tree.node(key).text().to_owned())),
            ..error
        })
    }
}

/// A whole number as YAML writes it: decimal, `0x`, `0o` or `0b`, with `_` between digits. Not `010`, which some
/// readers take for eight.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => return None,
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
        Value::Scalar { .. } if node.is_null() => "nothing".into(),
        Value::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => {
            format!("the number {}", short(text))
        }
        Value::Scalar { text, .. } => format!("the text \"{}\"", short(text)),
    }
}

/// The start of a text, on one line.
fn short(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}
