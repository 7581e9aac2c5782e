//! Random streams, mostly valid and sometimes damaged, against tungstenite's reading of them.

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::OpCode as OpCodeOnWire;
use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};
use ws::Role::{Client, Server};
use ws::{CloseCode, OpCode, Role, Rules, Violation};

use crate::frames::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use crate::transcript::{Control, Transcript, feed};

const LIMIT: u64 = 1500;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn tungstenite_agrees(sender in sender(), script in script(), damage in damage()) {
        let stream = until_close(sender, encode(sender, &script, &damage));
        let seen = feed(rules(sender), [&*stream]);
        prop_assume!(!differs_knowingly(&seen));
        let ours = Reading::of_transcript(&seen);
        let mut theirs = Reading::of_tungstenite(sender, &stream, ours.broken);
        if ours.message_bytes.is_none() {
            theirs.message_bytes = None;
        }
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn any_split_gives_the_same(
        sender in sender(), script in script(), damage in damage(),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let stream = encode(sender, &script, &damage);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = feed(rules(sender), [&*stream]);
        let pieces = feed(rules(sender), cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]));
        let bytes = feed(rules(sender), stream.chunks(1));
        prop_assert_eq!(comparable(&pieces), comparable(&whole));
        prop_assert_eq!(comparable(&bytes), comparable(&whole));
    }
}

/// What must not depend on the split. Of a text frame that goes wrong, more may have settled.
fn comparable(seen: &Transcript) -> Transcript {
    let mut seen = Transcript { proven_at: 0, ..seen.clone() };
    if seen.end == Some(Violation::TextNotUtf8) {
        (seen.forwarded, seen.payload_bytes, seen.frame_remaining, seen.in_message) = (0, 0, 0, false);
    }
    seen
}

fn rules(sender: Role) -> Rules {
    Rules { sender, deflate: false, max_message: LIMIT, validate_utf8: true }
}

/// tungstenite takes lengths in a long form, a control frame's too, and takes 1014 for a code that nobody may send.
fn differs_knowingly(seen: &Transcript) -> bool {
    let bad_gateway = |control: &Control| control.close_code == Some(CloseCode::BAD_GATEWAY);
    matches!(seen.end, Some(Violation::LengthNotMinimal | Violation::ControlTooLong))
        || seen.controls.iter().any(bad_gateway)
}

/// The stream without what follows a Close: tungstenite does not look at it.
fn until_close(sender: Role, mut stream: Vec<u8>) -> Vec<u8> {
    let seen = feed(rules(sender), [&*stream]);
    if let Some(close) = seen.controls.iter().find(|control| control.opcode == OpCode::Close) {
        stream.truncate(close.at + close.wire_len);
    }
    stream
}

/// What both implementations can say about a stream.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    messages: u64,
    /// Payload bytes of the messages, where the stream does not end inside one.
    message_bytes: Option<u64>,
    pings_and_pongs: Vec<Vec<u8>>,
    close: Option<(u16, String)>,
    broken: bool,
}

impl Reading {
    fn of_transcript(seen: &Transcript) -> Reading {
        let mut reading =
            Reading { messages: seen.messages, broken: seen.end.is_some(), ..Reading::default() };
        reading.message_bytes = (!seen.in_message && !reading.broken).then_some(seen.payload_bytes);
        for control in &seen.controls {
            if control.opcode == OpCode::Close {
                let reason = control.payload.get(2..).unwrap_or_default().to_vec();
                let code = control.close_code.map_or(NO_CODE, CloseCode::get);
                reading.close = Some((code, String::from_utf8(reason).expect("judged before")));
            } else {
                reading.pings_and_pongs.push(control.payload.clone());
            }
        }
        reading
    }

    /// Where we say that the stream is broken, pings follow: they show if tungstenite goes on.
    fn of_tungstenite(sender: Role, stream: &[u8], broken: bool) -> Reading {
        let padding = Frame::new(sender, PING, "behind").bytes().repeat(if broken { 500 } else { 0 });
        let role = if sender == Client { TheirRole::Server } else { TheirRole::Client };
        let limit = Some(LIMIT as usize);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let wire = Wire(Cursor::new([stream, &padding].concat()));
        let mut socket = WebSocket::from_raw_socket(wire, role, Some(config));

        let mut reading = Reading::default();
        let mut message_bytes = 0;
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    reading.messages += 1;
                    message_bytes += text.len() as u64;
                }
                Ok(Message::Binary(data)) => {
                    reading.messages += 1;
                    message_bytes += data.len() as u64;
                }
                Ok(Message::Ping(data) | Message::Pong(data)) => reading.pings_and_pongs.push(data.to_vec()),
                Ok(Message::Close(Some(close))) if close.reason == "Protocol violation" => {
                    reading.broken = true; // this is how tungstenite reports a bad code
                    break;
                }
                Ok(Message::Close(close)) => {
                    let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                    reading.close = Some(close.unwrap_or((NO_CODE, String::new())));
                    break;
                }
                Ok(Message::Frame(_)) => unreachable!("never read"),
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break,
                Err(_) => {
                    reading.broken = true;
                    break;
                }
            }
        }
        reading.message_bytes = Some(message_bytes);
        reading
    }
}

/// A socket that gives what it holds and takes everything.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a peer sends.
#[derive(Clone, Debug)]
enum Item {
    /// A text message, cut at these places, with pings in between. The cuts fall inside characters, too, and
    /// sometimes the end.
    Text(Vec<u8>, Vec<Index>),
    Binary(Vec<u8>, Vec<Index>),
    Control(OpCodeOnWire, Vec<u8>),
    Close(u16, String),
}

/// What goes wrong.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// A byte near the front of a frame, where the header is.
    Header(Index, Index, u8),
    /// A byte anywhere.
    Byte(Index, u8),
    /// A frame that never comes.
    Lost(Index),
    /// The stream ends early.
    Short(Index),
}

fn encode(sender: Role, script: &[Item], damage: &Damage) -> Vec<u8> {
    let mut frames: Vec<Vec<u8>> =
        script.iter().flat_map(|item| frames_of(sender, item)).map(|frame| frame.bytes()).collect();
    match damage {
        Damage::Header(frame, at, with) if !frames.is_empty() => {
            let frame = frame.index(frames.len());
            let at = at.index(frames[frame].len().min(8));
            frames[frame][at] ^= with;
        }
        Damage::Lost(frame) if !frames.is_empty() => {
            frames.remove(frame.index(frames.len()));
        }
        _ => {}
    }
    let mut stream = frames.concat();
    match damage {
        Damage::Byte(at, with) if !stream.is_empty() => {
            let at = at.index(stream.len());
            stream[at] ^= with;
        }
        Damage::Short(at) => stream.truncate(at.index(stream.len() + 1)),
        _ => {}
    }
    stream
}

fn frames_of(sender: Role, item: &Item) -> Vec<Frame> {
    match item {
        Item::Text(text, cuts) => fragments(sender, TEXT, text, cuts),
        Item::Binary(data, cuts) => fragments(sender, BINARY, data, cuts),
        Item::Control(opcode, payload) => vec![Frame::new(sender, *opcode, payload)],
        Item::Close(code, reason) => {
            vec![Frame::new(sender, CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())]
        }
    }
}

/// A message in `cuts.len() + 1` frames with a ping behind each but the last.
fn fragments(sender: Role, opcode: OpCodeOnWire, payload: &[u8], cuts: &[Index]) -> Vec<Frame> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.extend([0, payload.len()]);
    cuts.sort_unstable();
    let mut frames = Vec::new();
    for (at, pair) in cuts.windows(2).enumerate() {
        let opcode = if at == 0 { opcode } else { CONTINUATION };
        frames.push(Frame::new(sender, opcode, &payload[pair[0]..pair[1]]).unfinished());
        frames.push(Frame::new(sender, PING, [at as u8]));
    }
    frames.pop();
    frames.last_mut().expect("at least one window").fin = true;
    frames
}

fn sender() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Client, Server][..])
}

fn script() -> impl Strategy<Value = Vec<Item>> {
    let cuts = || prop::collection::vec(any::<Index>(), 0..4);
    let characters = prop::collection::vec(prop_oneof![any::<char>(), Just('a')], 0..80);
    let short = prop_oneof![9 => Just(0), 1 => 1..4_usize];
    let text = (characters, short).prop_map(|(characters, short)| {
        let mut text = String::from_iter(characters).into_bytes();
        text.truncate(text.len().saturating_sub(short));
        text
    });
    let data = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(any::<u8>(), 1400..1600), // on both sides of the limit
    ];
    let control = prop::collection::vec(any::<u8>(), 0..=125);
    let close = (prop::sample::select(&[1000, 1001, 1003, 1011, 3000, 4999, 1005, 2999][..]), "\\PC{0,20}");
    let item = prop_oneof![
        4 => (text, cuts()).prop_map(|(text, cuts)| Item::Text(text, cuts)),
        4 => (data, cuts()).prop_map(|(data, cuts)| Item::Binary(data, cuts)),
        2 => (prop::sample::select(&[PING, PONG][..]), control).prop_map(|(opcode, payload)| Item::Control(opcode, payload)),
        1 => close.prop_map(|(code, reason)| Item::Close(code, reason)),
    ];
    prop::collection::vec(item, 0..8)
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => Just(Damage::None),
        4 => (any::<Index>(), any::<Index>(), 1..=255_u8).prop_map(|(frame, at, with)| Damage::Header(frame, at, with)),
        2 => (any::<Index>(), 1..=255_u8).prop_map(|(at, with)| Damage::Byte(at, with)),
        1 => any::<Index>().prop_map(Damage::Lost),
        1 => any::<Index>().prop_map(Damage::Short),
    ]
}

/// Stands for an empty Close payload.
const NO_CODE: u16 = 1005;
