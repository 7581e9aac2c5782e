//! A client's request and a backend's answer to it, as header lines.

use std::ops::RangeInclusive;

use ws::extensions::{DeflateOffer, DeflateParams, known_offers, without_context_takeover};
use ws::handshake::{
    Agreement, Offer, RequestFault, ResponseFault, accept_key, check_request, check_response,
};

/// A name and a value.
type Header<'a> = (&'a str, &'a [u8]);

/// Judges both halves of a handshake.
///
/// The data are lines of `name: value`, the request's and, behind the first empty line, the answer's. A value `RIGHT`
/// of `Sec-WebSocket-Accept` stands for the one that answers the key.
pub fn handshake(data: &[u8]) {
    let (request, response) = halves(data);
    let request = headers(request);
    let offer = judge_request(&request);
    if let Ok(offer) = &offer {
        what_is_sent_on_says_the_same(offer);
        asking_for_no_context_takeover_adds_only_that(offer);
    }
    let offer = offer.unwrap_or_else(|_| usual_offer());
    let accept = accept_key(offer.key);
    let mut response = headers(response);
    for (name, value) in &mut response {
        if name.eq_ignore_ascii_case("sec-websocket-accept") && *value == b"RIGHT" {
            *value = &accept;
        }
    }
    if let Ok(agreement) = judge_response(&offer, &response) {
        the_answer_says_what_was_offered(&offer, &agreement);
        what_the_client_gets_says_the_same(&offer, &agreement);
    }
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let border = data.windows(2).position(|two| two == b"\n\n");
    border.map_or((data, &[]), |at| (&data[..at], &data[at + 2..]))
}

fn headers(lines: &[u8]) -> Vec<Header<'_>> {
    let colon = |line: &[u8]| line.iter().position(|byte| *byte == b':');
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = colon(line)?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, line[colon + 1..].trim_ascii()))
        })
        .collect()
}

/// Neither the letter case of names nor how a list is spread over lines changes a judgement.
fn judge_request<'a>(headers: &[Header<'a>]) -> Result<Offer<'a>, RequestFault> {
    let judged = check_request(headers.iter().copied());
    let lists = ["connection", "upgrade", "sec-websocket-protocol", "sec-websocket-extensions"];
    let names = shouted(headers);
    assert_eq!(check_request(spread(headers, &names, &lists).into_iter()), judged);
    if let Err(fault) = judged {
        assert!(!fault.to_string().is_empty() && !fault.label().is_empty());
    }
    judged
}

/// As [`judge_request`].
fn judge_response<'a>(offer: &Offer<'_>, headers: &[Header<'a>]) -> Result<Agreement<'a>, ResponseFault> {
    let judged = check_response(offer, headers.iter().copied());
    let names = shouted(headers);
    let spread = spread(headers, &names, &["connection", "upgrade", "sec-websocket-extensions"]);
    assert_eq!(check_response(offer, spread.into_iter()), judged);
    if let Err(fault) = judged {
        assert!(!fault.to_string().is_empty() && !fault.label().is_empty());
    }
    judged
}

fn shouted(headers: &[Header<'_>]) -> Vec<String> {
    headers.iter().map(|(name, _)| name.to_ascii_uppercase()).collect()
}

/// The same headers under other names, with each element of the lists on a line of its own.
fn spread<'a, 'n: 'a>(headers: &[Header<'a>], names: &'n [String], lists: &[&str]) -> Vec<Header<'a>> {
    let mut spread = Vec::new();
    for ((_, value), name) in headers.iter().zip(names) {
        if lists.iter().any(|list| name.eq_ignore_ascii_case(list)) {
            spread.extend(value.split(|byte| *byte == b',').map(|element| (&**name, element)));
        } else {
            spread.push((&**name, value));
        }
    }
    spread
}

/// A backend that reads with our eyes what we send on sees the offer that we judge its answer by.
fn what_is_sent_on_says_the_same(offer: &Offer<'_>) {
    let protocols = offer.protocols.join(", ");
    let sent = [
        ("connection", &b"Upgrade"[..]),
        ("upgrade", b"websocket"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", offer.key),
        ("sec-websocket-protocol", protocols.as_bytes()),
        ("sec-websocket-extensions", offer.extensions.as_bytes()),
    ];
    assert_eq!(check_request(sent.into_iter()).as_ref(), Ok(offer));
}

fn asking_for_no_context_takeover_adds_only_that(offer: &Offer<'_>) {
    let (asked, header) = without_context_takeover(&offer.deflate, &offer.extensions);
    assert_eq!(known_offers([header.as_bytes()].into_iter()), Ok((asked.clone(), header)));
    let both = |offer: &DeflateOffer| DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..*offer
    };
    assert_eq!(asked, offer.deflate.iter().map(both).collect::<Vec<_>>());
}

fn the_answer_says_what_was_offered(offer: &Offer<'_>, agreement: &Agreement<'_>) {
    assert!(agreement.protocol.is_none_or(|protocol| offer.protocols.contains(&protocol)));
    let offered = |answer: DeflateParams| offer.deflate.iter().any(|offer| fits(offer, answer));
    assert!(agreement.deflate.is_none_or(offered));
}

/// Nothing that the offer demands is missing (RFC 7692 7.1.1.1, 7.1.2.1), and nothing is demanded that the client did
/// not say it can do (7.1.2.2).
fn fits(offer: &DeflateOffer, answer: DeflateParams) -> bool {
    const BITS: RangeInclusive<u8> = 8..=15;
    let server = answer.server_max_window_bits;
    let client = answer.client_max_window_bits;
    let can = offer.client_max_window_bits.map_or(0, |most| most.unwrap_or(15));
    (answer.server_no_context_takeover || !offer.server_no_context_takeover)
        && offer.server_max_window_bits.is_none_or(|most| server.is_some_and(|bits| bits <= most))
        && client.is_none_or(|bits| bits <= can)
        && [server, client].into_iter().flatten().all(|bits| BITS.contains(&bits))
}

/// A client that reads with our eyes the answer we write sees the agreement that we judge frames by.
fn what_the_client_gets_says_the_same(offer: &Offer<'_>, agreement: &Agreement<'_>) {
    let accept = accept_key(offer.key);
    let deflate = agreement.deflate.map(|answer| answer.to_string());
    let mut sent: Vec<Header<'_>> =
        vec![("connection", b"Upgrade"), ("upgrade", b"websocket"), ("sec-websocket-accept", &accept)];
    sent.extend(agreement.protocol.map(|protocol| ("sec-websocket-protocol", protocol.as_bytes())));
    sent.extend(deflate.as_deref().map(|answer| ("sec-websocket-extensions", answer.as_bytes())));
    assert_eq!(check_response(offer, sent.into_iter()).as_ref(), Ok(agreement));
}

/// For answers whose request is none.
fn usual_offer() -> Offer<'static> {
    let extensions = "permessage-deflate; client_max_window_bits".to_owned();
    let (deflate, extensions) =
        known_offers([extensions.as_bytes()].into_iter()).expect("it is in the form of RFC 7692");
    Offer { key: b"dGhlIHNhbXBsZSBub25jZQ==", protocols: vec!["chat"], deflate, extensions }
}
