//! The form of a record: a version, then fields of tag, length and value, in any order.

use bytes::{Buf, BufMut};

use super::value::Value;
use super::{RECORD_MAX, Unreadable, VERSION};

/// In a tag: who does not know the field cannot go on with the tunnel. Other fields are skipped.
const REQUIRED: u8 = 0x80;

/// What stands in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Tag {
    Id = REQUIRED | 1,
    Route = REQUIRED | 2,
    Client = REQUIRED | 3,
    Pool = REQUIRED | 4,
    Server = REQUIRED | 5,
    Policy = REQUIRED | 6,
    Times = REQUIRED | 7,
    Order = REQUIRED | 8,
    ToServer = REQUIRED | 9,
    ToClient = REQUIRED | 10,
    Ending = REQUIRED | 11,
}

const KNOWN: [Tag; 11] = [
    Tag::Id,
    Tag::Route,
    Tag::Client,
    Tag::Pool,
    Tag::Server,
    Tag::Policy,
    Tag::Times,
    Tag::Order,
    Tag::ToServer,
    Tag::ToClient,
    Tag::Ending,
];

/// Begins a record that will have about `len` bytes.
pub(super) fn begin(len: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(len);
    record.put_u8(VERSION);
    record
}

/// Appends a field.
pub(super) fn put(record: &mut Vec<u8>, tag: Tag, value: impl FnOnce(&mut Vec<u8>)) {
    record.put_u8(tag as u8);
    let at = record.len();
    record.put_u32(0);
    value(record);
    let len = (record.len() - at - 4) as u32; // a record is far shorter
    record[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// The fields of a record.
pub(super) struct Fields<'a>([Option<&'a [u8]>; KNOWN.len()]);

impl<'a> Fields<'a> {
    /// Takes a record apart.
    pub(super) fn read(record: &'a [u8]) -> Result<Self, Unreadable> {
        if record.len() > RECORD_MAX {
            return Err(Unreadable::Malformed);
        }
        let (mut rest, mut found) = (record, [None; KNOWN.len()]);
        let version = rest.try_get_u8()?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        while !rest.is_empty() {
            let (tag, len) = (rest.try_get_u8()?, rest.try_get_u32()? as usize);
            let (value, behind) = rest.split_at_checked(len).ok_or(Unreadable::Malformed)?;
            rest = behind;
            match KNOWN.iter().position(|known| *known as u8 == tag) {
                Some(at) if found[at].is_none() => found[at] = Some(value),
                Some(_) => return Err(Unreadable::Malformed),
                None if tag & REQUIRED != 0 => return Err(Unreadable::Field(tag)),
                None => {}
            }
        }
        Ok(Fields(found))
    }

    /// A field that may be missing.
    pub(super) fn find(&self, tag: Tag) -> Option<&'a [u8]> {
        KNOWN.iter().zip(self.0).find(|(known, _)| **known == tag).and_then(|(_, value)| value)
    }

    /// A field that must be there.
    pub(super) fn get(&self, tag: Tag) -> Result<&'a [u8], Unreadable> {
        self.find(tag).ok_or(Unreadable::Missing(tag as u8))
    }

    /// The same, as a value of which nothing is left over.
    pub(super) fn value<T: Value>(&self, tag: Tag) -> Result<T, Unreadable> {
        whole(self.get(tag)?)
    }

    /// The same, as text.
    pub(super) fn text(&self, tag: Tag) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.get(tag)?).map_err(|_| Unreadable::Malformed)
    }
}

/// The value that `bytes` are, and nothing else.
pub(super) fn whole<T: Value>(mut bytes: &[u8]) -> Result<T, Unreadable> {
    let value = T::read(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Unreadable::Malformed) }
}
