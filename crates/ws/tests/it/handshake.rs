//! Both halves of the opening handshake (RFC 6455 4).

use ws::extensions::{DeflateOffer, DeflateParams};
use ws::handshake::{
    Agreement, Offer, RequestFault, ResponseFault, accept_key, check_request, check_response,
};

/// The key of RFC 6455 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

type Headers = Vec<(&'static str, &'static str)>;

fn pairs<'a>(headers: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
    headers.iter().map(|(name, value)| (*name, value.as_bytes()))
}

/// `headers` without those named, and with others.
fn with(mut headers: Headers, without: &str, others: &[(&'static str, &'static str)]) -> Headers {
    headers.retain(|(name, _)| *name != without);
    headers.extend(others);
    headers
}

fn request() -> Headers {
    vec![
        ("Host", "example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ]
}

fn response() -> Headers {
    vec![("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)]
}

#[test]
fn the_rfcs_key_has_the_rfcs_accept() {
    assert_eq!(accept_key(KEY.as_bytes()), ACCEPT.as_bytes());
}

#[test]
fn a_request_is_read() {
    let headers = with(
        request(),
        "",
        &[
            ("Sec-WebSocket-Protocol", "graphql-ws, chat.v2"),
            ("SEC-WEBSOCKET-PROTOCOL", ",mqtt ,"),
            ("sec-websocket-extensions", "foo, permessage-deflate; client_max_window_bits"),
        ],
    );
    let offer = check_request(pairs(&headers)).expect("a fine request");
    assert_eq!(offer.key, KEY.as_bytes());
    assert_eq!(offer.protocols, ["graphql-ws", "chat.v2", "mqtt"]);
    assert_eq!(
        offer.deflate,
        [DeflateOffer { client_max_window_bits: Some(None), ..DeflateOffer::default() }]
    );
    assert_eq!(offer.extensions, "permessage-deflate; client_max_window_bits");
}

#[test]
fn requests_that_are_fine_in_odd_ways() {
    for (without, others) in [
        ("Upgrade", &[("upgrade", "h2c, WebSocket")][..]),
        ("Connection", &[("CONNECTION", "keep-alive"), ("connection", "foo, uPGRADE")]),
        ("Sec-WebSocket-Key", &[("Sec-WebSocket-Key", " not base64! ")]),
        ("Sec-WebSocket-Version", &[("sec-websocket-version", " 13\t")]),
        ("", &[("Sec-WebSocket-Protocol", "")]),
        ("", &[("Sec-WebSocket-Protocol", "same, same")]),
    ] {
        let headers = with(request(), without, others);
        assert!(check_request(pairs(&headers)).is_ok(), "{others:?}");
    }
    let headers = with(request(), "Sec-WebSocket-Key", &[("Sec-WebSocket-Key", " x ")]);
    assert_eq!(check_request(pairs(&headers)).expect("fine").key, b"x");
}

#[test]
fn every_fault_of_a_request() {
    use RequestFault::*;
    for (fault, without, others) in [
        (NotAnUpgrade, "Upgrade", &[][..]),
        (NotAnUpgrade, "Upgrade", &[("Upgrade", "websockets")]),
        (NotAnUpgrade, "Upgrade", &[("Upgrade", "h2c")]),
        (NotAnUpgrade, "Connection", &[]),
        (NotAnUpgrade, "Connection", &[("Connection", "keep-alive")]),
        (NotAnUpgrade, "Connection", &[("Connection", "no upgrade")]),
        (VersionMissing, "Sec-WebSocket-Version", &[]),
        (VersionUnsupported, "Sec-WebSocket-Version", &[("Sec-WebSocket-Version", "8")]),
        (VersionUnsupported, "Sec-WebSocket-Version", &[("Sec-WebSocket-Version", "")]),
        (VersionUnsupported, "Sec-WebSocket-Version", &[("Sec-WebSocket-Version", "13, 8")]),
        (VersionUnsupported, "", &[("Sec-WebSocket-Version", "8")]),
        (KeyMissing, "Sec-WebSocket-Key", &[]),
        (KeyRepeated, "", &[("sec-websocket-key", KEY)]),
        (KeyEmpty, "Sec-WebSocket-Key", &[("Sec-WebSocket-Key", " ")]),
        (ProtocolsInvalid, "", &[("Sec-WebSocket-Protocol", "a b")]),
        (ProtocolsInvalid, "", &[("Sec-WebSocket-Protocol", "ok"), ("Sec-WebSocket-Protocol", "http://x")]),
        (ProtocolsInvalid, "", &[("Sec-WebSocket-Protocol", "caf\u{E9}")]),
        (ExtensionsInvalid, "", &[("Sec-WebSocket-Extensions", "foo; bar=")]),
    ] {
        let headers = with(request(), without, others);
        assert_eq!(check_request(pairs(&headers)), Err(fault), "without {without}, with {others:?}");
        assert!(
            !fault.to_string().ends_with('.')
                && fault.label().chars().all(|c| c == '_' || c.is_ascii_lowercase())
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_not_tokens() {
    let headers = request();
    let odd = [("Sec-WebSocket-Protocol", &b"\xFF"[..])];
    let headers = pairs(&headers).chain(odd);
    assert_eq!(check_request(headers), Err(RequestFault::ProtocolsInvalid));
}

fn offer() -> Offer<'static> {
    Offer {
        key: KEY.as_bytes(),
        protocols: vec!["mqtt", "chat"],
        deflate: vec![
            DeflateOffer { server_max_window_bits: Some(10), ..DeflateOffer::default() },
            DeflateOffer { server_no_context_takeover: true, ..DeflateOffer::default() },
        ],
        extensions:
            "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_no_context_takeover"
                .to_owned(),
    }
}

#[test]
fn answers_that_are_fine() {
    let nothing = Agreement { protocol: None, deflate: None };
    let forgets = DeflateParams { server_no_context_takeover: true, ..DeflateParams::default() };
    let ten = DeflateParams { server_max_window_bits: Some(10), ..DeflateParams::default() };
    for (others, agreement) in [
        (&[][..], nothing),
        (&[("sec-websocket-protocol", " chat ")], Agreement { protocol: Some("chat"), ..nothing }),
        (&[("Sec-WebSocket-Extensions", "")], nothing),
        (
            &[("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")],
            Agreement { deflate: Some(forgets), ..nothing },
        ),
        (
            &[("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=\"10\"")],
            Agreement { deflate: Some(ten), ..nothing },
        ),
    ] {
        let headers = with(response(), "", others);
        assert_eq!(check_response(&offer(), pairs(&headers)), Ok(agreement), "{others:?}");
    }
    let odd =
        [("UPGRADE", "WebSocket"), ("connection", "keep-alive, upgrade"), ("sec-websocket-accept", ACCEPT)];
    assert_eq!(check_response(&offer(), pairs(&odd)), Ok(nothing));
}

#[test]
fn every_fault_of_an_answer() {
    use ResponseFault::*;
    let (accept, protocol, extensions) =
        ("Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions");
    for (fault, without, others) in [
        (UpgradeMissing, "Upgrade", &[][..]),
        (UpgradeMissing, "Upgrade", &[("Upgrade", "h2c")]),
        (ConnectionMissing, "Connection", &[]),
        (ConnectionMissing, "Connection", &[("Connection", "close")]),
        (AcceptMissing, accept, &[]),
        (AcceptRepeated, "", &[(accept, ACCEPT)]),
        (AcceptWrong, accept, &[(accept, "")]),
        (AcceptWrong, accept, &[(accept, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]),
        (AcceptWrong, accept, &[(accept, KEY)]),
        (ProtocolNotOffered, "", &[(protocol, "Chat")]),
        (ProtocolNotOffered, "", &[(protocol, "mqtt, chat")]),
        (ProtocolNotOffered, "", &[(protocol, "")]),
        (ProtocolRepeated, "", &[(protocol, "chat"), (protocol, "chat")]),
        (ExtensionNotOffered, "", &[(extensions, "permessage-bzip2")]),
        (ExtensionParameters, "", &[(extensions, "permessage-deflate")]),
        (ExtensionParameters, "", &[(extensions, "permessage-deflate; server_max_window_bits=11")]),
        (
            ExtensionParameters,
            "",
            &[(extensions, "permessage-deflate; server_no_context_takeover; client_max_window_bits=9")],
        ),
        (
            ExtensionParameters,
            "",
            &[(extensions, "permessage-deflate; server_no_context_takeover; client_max_window_bits")],
        ),
        (ExtensionParameters, "", &[(extensions, "permessage-deflate; server_no_context_takeover=1")]),
        (ExtensionParameters, "", &[(extensions, "permessage-deflate; server_no_context_takeover; foo")]),
        (ExtensionParameters, "", &[(extensions, "permessage-deflate;")]),
        (
            ExtensionParameters,
            "",
            &[
                (extensions, "permessage-deflate; server_no_context_takeover"),
                (extensions, "permessage-deflate; server_no_context_takeover"),
            ],
        ),
    ] {
        let headers = with(response(), without, others);
        assert_eq!(
            check_response(&offer(), pairs(&headers)),
            Err(fault),
            "without {without}, with {others:?}"
        );
        assert!(
            !fault.to_string().ends_with('.')
                && fault.label().chars().all(|c| c == '_' || c.is_ascii_lowercase())
        );
    }
}

#[test]
fn nothing_may_be_answered_that_was_not_asked() {
    let bare = Offer { key: KEY.as_bytes(), protocols: vec![], deflate: vec![], extensions: String::new() };
    for (header, fault) in [
        (("Sec-WebSocket-Protocol", "chat"), ResponseFault::ProtocolNotOffered),
        (("Sec-WebSocket-Extensions", "permessage-deflate"), ResponseFault::ExtensionNotOffered),
    ] {
        assert_eq!(check_response(&bare, pairs(&with(response(), "", &[header]))), Err(fault));
    }
}
