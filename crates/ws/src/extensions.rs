//! Extension negotiation: the grammar of RFC 6455 9.1, permessage-deflate's parameters of RFC 7692 7.1.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::grammar::{list, token, trim};

/// The only extension we understand.
pub const PERMESSAGE_DEFLATE: &str = "permessage-deflate";

/// One way of compressing that a client asks for (RFC 7692 7.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeflateOffer {
    /// The server must forget its window after each message.
    pub server_no_context_takeover: bool,
    /// The client may forget its window after each message.
    pub client_no_context_takeover: bool,
    /// The server must keep its window to this many bits, 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// The client can keep its window to what the server says, at most to the bits named here, 8 to 15.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// The way of compressing that a server agreed to (RFC 7692 7.1). `Display` gives it as a header value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeflateParams {
    /// The server forgets its window after each message.
    pub server_no_context_takeover: bool,
    /// The client must forget its window after each message.
    pub client_no_context_takeover: bool,
    /// The server's window has at most this many bits, 8 to 15; 15 if absent.
    pub server_max_window_bits: Option<u8>,
    /// The client's window must have at most this many bits, 8 to 15; 15 if absent.
    pub client_max_window_bits: Option<u8>,
}

impl DeflateParams {
    /// Whether a server may answer `offer` with these parameters.
    pub fn answers(&self, offer: &DeflateOffer) -> bool {
        // RFC 7692 7.1.1.1: what the client demands of the server, the answer must repeat.
        let takeover = self.server_no_context_takeover || !offer.server_no_context_takeover;
        // RFC 7692 7.1.2.1: the server may limit itself unasked, but must when it is asked.
        let server = match (offer.server_max_window_bits, self.server_max_window_bits) {
            (Some(most), answer) => answer.is_some_and(|bits| bits <= most),
            (None, _) => true,
        };
        // RFC 7692 7.1.2.2: the client is limited only where it said that it can be.
        let client = match (offer.client_max_window_bits, self.client_max_window_bits) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(most), Some(bits)) => bits <= most.unwrap_or(WINDOW_BITS_MAX),
        };
        takeover && server && client
    }
}

impl fmt::Display for DeflateParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PERMESSAGE_DEFLATE)?;
        if self.server_no_context_takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; {SERVER_MAX_WINDOW_BITS}={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(f, "; {CLIENT_MAX_WINDOW_BITS}={bits}")?;
        }
        Ok(())
    }
}

/// A `Sec-WebSocket-Extensions` header that is not in the form of RFC 6455 9.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Reads the offers of a client's `Sec-WebSocket-Extensions` lines, and what of them may be sent on.
///
/// The header value holds the permessage-deflate elements byte for byte and in order. Other extensions are
/// left out, and so are offers with parameters that RFC 7692 7.1 does not know: a server must decline them.
/// It is empty where nothing is left: send no header then.
///
/// # Errors
/// [`Malformed`], upon which RFC 6455 9.1 has the handshake fail.
pub fn known_offers<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<(Vec<DeflateOffer>, String), Malformed> {
    let mut offers = Vec::new();
    let mut header = String::new();
    for element in list(lines) {
        let element = Element::read(element)?;
        if let Some(offer) = element.deflate().and_then(Parameters::offer) {
            offers.push(offer);
            append(&mut header, ", ", element.raw);
        }
    }
    Ok((offers, header))
}

/// The same offers with `server_no_context_takeover` and `client_no_context_takeover` in each that lacks them.
///
/// `offers` and `header` are what [`known_offers`] gave. The answer may leave out the client's one, a mere hint
/// in an offer (RFC 7692 7.1.1.2): set it in the [`DeflateParams`] that go to the client, as a server may.
pub fn without_context_takeover(offers: &[DeflateOffer], header: &str) -> (Vec<DeflateOffer>, String) {
    let mut asked = String::new();
    for (offer, element) in offers.iter().zip(header.split(',')) {
        append(&mut asked, ", ", element.trim_ascii());
        if !offer.server_no_context_takeover {
            append(&mut asked, "; ", SERVER_NO_CONTEXT_TAKEOVER);
        }
        if !offer.client_no_context_takeover {
            append(&mut asked, "; ", CLIENT_NO_CONTEXT_TAKEOVER);
        }
    }
    let both = |offer: &DeflateOffer| DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..*offer
    };
    (offers.iter().map(both).collect(), asked)
}

/// What a server's `Sec-WebSocket-Extensions` lines agree to.
pub(crate) fn read_answer<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<DeflateParams>, AnswerFault> {
    let mut agreed = None;
    for element in list(lines) {
        let element = Element::read(element).map_err(|Malformed| AnswerFault::Parameters)?;
        let parameters = element.deflate().ok_or(AnswerFault::Unknown)?;
        let params = parameters.answer().ok_or(AnswerFault::Parameters)?;
        if agreed.replace(params).is_some() {
            return Err(AnswerFault::Parameters); // two would both claim RSV1 (RFC 6455 9.1)
        }
    }
    Ok(agreed)
}

/// Why an answer cannot be understood.
pub(crate) enum AnswerFault {
    /// Not an extension of ours.
    Unknown,
    /// Malformed, or parameters that no answer may have.
    Parameters,
}

/// One extension of the header, with its parameters.
struct Element<'a> {
    raw: &'a str,
    name: &'a str,
    parameters: Vec<(&'a str, Option<String>)>,
}

impl<'a> Element<'a> {
    /// Reads `token *( ";" token [ "=" ( token | quoted-string ) ] )` (RFC 6455 9.1).
    ///
    /// Cutting at every `,` and `;` is right even in quotes: a quoted value must be a token, too.
    fn read(element: &'a [u8]) -> Result<Element<'a>, Malformed> {
        let raw = core::str::from_utf8(element).map_err(|_| Malformed)?;
        let mut parts = element.split(|&byte| byte == b';').map(trim);
        let name = parts.next().and_then(token).ok_or(Malformed)?;
        let parameters = parts.map(parameter).collect::<Option<_>>().ok_or(Malformed)?;
        Ok(Element { raw, name, parameters })
    }

    /// The parameters if this is permessage-deflate.
    fn deflate(&self) -> Option<Parameters<'_>> {
        (self.name == PERMESSAGE_DEFLATE).then_some(Parameters(&self.parameters))
    }
}

/// The parameters of a permessage-deflate element, well-formed but not judged.
#[derive(Clone, Copy)]
struct Parameters<'a>(&'a [(&'a str, Option<String>)]);

impl Parameters<'_> {
    /// What they mean in an offer; `None` where one is unknown, repeated or has a bad value.
    fn offer(self) -> Option<DeflateOffer> {
        let mut offer = DeflateOffer::default();
        for (name, value) in self.0 {
            match *name {
                SERVER_NO_CONTEXT_TAKEOVER => set_flag(&mut offer.server_no_context_takeover, value),
                CLIENT_NO_CONTEXT_TAKEOVER => set_flag(&mut offer.client_no_context_takeover, value),
                SERVER_MAX_WINDOW_BITS => set_bits(&mut offer.server_max_window_bits, value),
                CLIENT_MAX_WINDOW_BITS if value.is_none() => set(&mut offer.client_max_window_bits, None),
                CLIENT_MAX_WINDOW_BITS => {
                    window_bits(value).and_then(|bits| set(&mut offer.client_max_window_bits, Some(bits)))
                }
                _ => None,
            }?;
        }
        Some(offer)
    }

    /// What they mean in an answer, where each window has a value.
    fn answer(self) -> Option<DeflateParams> {
        let mut answer = DeflateParams::default();
        for (name, value) in self.0 {
            match *name {
                SERVER_NO_CONTEXT_TAKEOVER => set_flag(&mut answer.server_no_context_takeover, value),
                CLIENT_NO_CONTEXT_TAKEOVER => set_flag(&mut answer.client_no_context_takeover, value),
                SERVER_MAX_WINDOW_BITS => set_bits(&mut answer.server_max_window_bits, value),
                CLIENT_MAX_WINDOW_BITS => set_bits(&mut answer.client_max_window_bits, value),
                _ => None,
            }?;
        }
        Some(answer)
    }
}

/// Reads `token [ "=" ( token | quoted-string ) ]`.
fn parameter(part: &[u8]) -> Option<(&str, Option<String>)> {
    let mut halves = part.splitn(2, |&byte| byte == b'=').map(trim);
    let name = halves.next().and_then(token)?;
    let value = match halves.next() {
        None => None,
        Some(value) => Some(value_of(value)?),
    };
    Some((name, value))
}

/// A value without its quotes and escapes; a token in either form.
fn value_of(value: &[u8]) -> Option<String> {
    let Some(quoted) = value.strip_prefix(b"\"") else { return token(value).map(String::from) };
    let mut clear = Vec::new();
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    while let Some(&byte) = bytes.next() {
        clear.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    token(&clear).map(String::from)
}

/// Sets a parameter that may stand once and has no value.
fn set_flag(flag: &mut bool, value: &Option<String>) -> Option<()> {
    (value.is_none() && !core::mem::replace(flag, true)).then_some(())
}

/// Sets a parameter that may stand once and is a number of window bits.
fn set_bits(slot: &mut Option<u8>, value: &Option<String>) -> Option<()> {
    window_bits(value).and_then(|bits| set(slot, bits))
}

/// Sets a parameter that may stand once.
fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// 8 to 15, in decimal, without a leading zero (RFC 7692 7.1.2).
fn window_bits(value: &Option<String>) -> Option<u8> {
    let value = value.as_deref()?;
    let bits = value.parse().ok().filter(|bits| (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(bits)
}

/// Adds to a list.
fn append(to: &mut String, separator: &str, what: &str) {
    if !to.is_empty() {
        to.push_str(separator);
    }
    to.push_str(what);
}

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";
const WINDOW_BITS_MIN: u8 = 8;
const WINDOW_BITS_MAX: u8 = 15;
