//! Work without I/O, a given number of times: `bench/icount` counts its instructions.

use crate::fault::Fault;
use crate::messages::{MASK_KEY, header};
use clap::{Args, ValueEnum};
use std::hint::black_box;
use ws::handshake::{check_request, check_response};
use ws::{Inspector, Outcome, Role, Rules};

/// The work and its amount.
#[derive(Args)]
pub(crate) struct IcountArgs {
    /// What to do
    work: Work,
    /// How many times
    count: u64,
}

/// One unit of work is one row of frames, or one handshake.
#[derive(Clone, Copy, ValueEnum)]
enum Work {
    /// Judge 128 messages of 100 bytes
    #[value(name = "judge-100B")]
    Judge100B,
    /// Judge one message of 16 KiB
    #[value(name = "judge-16KiB")]
    Judge16KiB,
    /// Judge one message in 128 fragments of one byte
    #[value(name = "judge-1B-fragments")]
    JudgeFragments,
    /// The same as judge-100B with UTF-8 validation
    #[value(name = "utf8-100B")]
    Utf8In100B,
    /// The same as judge-16KiB with UTF-8 validation
    #[value(name = "utf8-16KiB")]
    Utf8In16KiB,
    /// The same as judge-1B-fragments with UTF-8 validation
    #[value(name = "utf8-1B-fragments")]
    Utf8InFragments,
    /// Check the headers of a request and of the 101 that answers it
    Headers,
}

/// Does the work.
///
/// # Errors
/// When something valid is refused: then it is not the work that was meant.
pub(crate) fn run(args: &IcountArgs) -> Result<(), Fault> {
    match args.work {
        Work::Judge100B => judge(&row_of_messages(), false, args.count),
        Work::Judge16KiB => judge(&one_message(), false, args.count),
        Work::JudgeFragments => judge(&row_of_fragments(), false, args.count),
        Work::Utf8In100B => judge(&row_of_messages(), true, args.count),
        Work::Utf8In16KiB => judge(&one_message(), true, args.count),
        Work::Utf8InFragments => judge(&row_of_fragments(), true, args.count),
        Work::Headers => check_headers(args.count),
    }
}

fn judge(row: &[u8], validate_utf8: bool, count: u64) -> Result<(), Fault> {
    let rules = Rules { sender: Role::Client, deflate: false, max_message: 1 << 20, validate_utf8 };
    let mut inspector = Inspector::new(rules);
    for _ in 0..count {
        for read in row.chunks(READ) {
            let step = inspector.advance(black_box(read));
            if step.outcome != Outcome::More || step.settled != read.len() {
                return Err(Fault::new(format!("the inspector stopped at valid bytes: {step:?}")));
            }
        }
    }
    Ok(())
}

fn check_headers(count: u64) -> Result<(), Fault> {
    for _ in 0..count {
        let request = black_box(&REQUEST).iter().map(|(name, value)| (*name, value.as_bytes()));
        let offer = check_request(request).map_err(|fault| Fault::new(fault.to_string()))?;
        let response = black_box(&RESPONSE).iter().map(|(name, value)| (*name, value.as_bytes()));
        let agreement = check_response(&offer, response).map_err(|fault| Fault::new(fault.to_string()))?;
        if agreement.protocol.is_none() || agreement.deflate.is_none() {
            return Err(Fault::new("the handshake settled on less than was offered and answered"));
        }
    }
    Ok(())
}

fn row_of_messages() -> Vec<u8> {
    frame(FIN | TEXT, &text(100)).repeat(FRAMES)
}

fn one_message() -> Vec<u8> {
    frame(FIN | TEXT, &text(16 << 10))
}

fn row_of_fragments() -> Vec<u8> {
    let fragment = |(index, byte): (usize, &u8)| {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        frame(if index == FRAMES - 1 { FIN | opcode } else { opcode }, &[*byte])
    };
    text(FRAMES).iter().enumerate().flat_map(fragment).collect()
}

/// A frame as a client sends it; `lead` is its first byte (RFC 6455 5.2).
fn frame(lead: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(payload.len(), 0x80);
    frame[0] = lead;
    frame.extend(MASK_KEY);
    let payload_at = frame.len();
    frame.extend(payload);
    ws::apply_mask(&mut frame[payload_at..], MASK_KEY, 0);
    frame
}

/// `len` bytes of text with characters of one to four bytes.
fn text(len: usize) -> Vec<u8> {
    let mut text = SAMPLE.repeat(len / SAMPLE.len()).into_bytes();
    text.resize(len, b'.');
    text
}

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const CONTINUATION: u8 = 0;

/// Frames in a row.
const FRAMES: usize = 128;

/// What a tunnel reads at first; a row of frames fits, a message of 16 KiB does not.
const READ: usize = 16 << 10;

const SAMPLE: &str = "Grüße, 世界 🌍: ";

/// As a browser sends it.
const REQUEST: [(&str, &str); 13] = [
    ("Host", "chat.example.com"),
    ("Connection", "Upgrade"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Upgrade", "websocket"),
    ("Origin", "https://chat.example.com"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Protocol", "chat.v2, chat.v1"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
];

const RESPONSE: [(&str, &str); 5] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("Sec-WebSocket-Protocol", "chat.v1"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover"),
];
