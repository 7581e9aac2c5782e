//! permessage-deflate's negotiation (RFC 7692 7).

use ws::extensions::{DeflateOffer, DeflateParams, Malformed, known_offers, without_context_takeover};

const NOTHING: DeflateOffer = DeflateOffer {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

fn read(lines: &[&'static str]) -> Result<(Vec<DeflateOffer>, String), Malformed> {
    known_offers(lines.iter().map(|line| line.as_bytes()))
}

#[test]
fn offers_are_read_and_sent_on_as_they_came() {
    let all = DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: Some(8),
        client_max_window_bits: Some(Some(15)),
    };
    let client_bits = DeflateOffer { client_max_window_bits: Some(None), ..NOTHING };
    let server_bits = DeflateOffer { server_max_window_bits: Some(10), ..NOTHING };
    for (lines, offers, header) in [
        (&[][..], vec![], ""),
        (&[""], vec![], ""),
        (&["permessage-deflate"], vec![NOTHING], "permessage-deflate"),
        (
            &["permessage-deflate; client_max_window_bits"],
            vec![client_bits],
            "permessage-deflate; client_max_window_bits",
        ),
        (
            &[
                "permessage-deflate;server_no_context_takeover ; client_no_context_takeover;server_max_window_bits=8; client_max_window_bits = \"15\"",
            ],
            vec![all],
            "permessage-deflate;server_no_context_takeover ; client_no_context_takeover;server_max_window_bits=8; client_max_window_bits = \"15\"",
        ),
        (
            &[
                "permessage-deflate; server_max_window_bits=\"1\\0\" ,, permessage-deflate",
                "permessage-deflate; client_max_window_bits",
            ],
            vec![server_bits, NOTHING, client_bits],
            "permessage-deflate; server_max_window_bits=\"1\\0\", permessage-deflate, permessage-deflate; client_max_window_bits",
        ),
        (
            &["x-webkit-deflate-frame, foo; bar=\"baz\"; qux, permessage-deflate", "permessage-bzip2"],
            vec![NOTHING],
            "permessage-deflate",
        ),
    ] {
        assert_eq!(read(lines), Ok((offers, header.to_owned())), "{lines:?}");
    }
}

#[test]
fn an_offer_with_bad_parameters_is_declined_alone() {
    for parameter in [
        "foo",
        "foo=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"true\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+8",
        "server_max_window_bits=300",
        "server_max_window_bits=x",
        "server_max_window_bits=8; server_max_window_bits=8",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=9",
    ] {
        let header = format!("permessage-deflate; {parameter}, permessage-deflate");
        let read = known_offers([header.as_bytes()].into_iter());
        assert_eq!(read, Ok((vec![NOTHING], "permessage-deflate".to_owned())), "{parameter}");
    }
}

#[test]
fn a_malformed_header_is_an_error() {
    for header in [
        "permessage-deflate;",
        "permessage-deflate; ; foo",
        "; foo",
        "permessage deflate",
        "permessage-deflate; foo=",
        "permessage-deflate; =1",
        "permessage-deflate; foo=\"",
        "permessage-deflate; foo=\"\"",
        "permessage-deflate; foo=\"a",
        "permessage-deflate; foo=\"a\\\"",
        "permessage-deflate; foo=\"a b\"",
        "permessage-deflate; foo=\"a,b\"",
        "permessage-deflate; foo=\"a;b\"",
        "permessage-deflate; foo=a=b",
        "permessage-deflate/1",
        "permessage-d\u{E9}flate",
    ] {
        assert_eq!(known_offers([header.as_bytes()].into_iter()), Err(Malformed), "{header}");
    }
}

#[test]
fn takeover_is_ruled_out_in_every_offer() {
    let (offers, header) = read(&[
        "permessage-deflate; client_max_window_bits, permessage-deflate;server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    ])
    .expect("valid");
    let (asked, asked_header) = without_context_takeover(&offers, &header);
    assert_eq!(
        asked_header,
        "permessage-deflate; client_max_window_bits; server_no_context_takeover; client_no_context_takeover, \
         permessage-deflate;server_no_context_takeover; client_no_context_takeover, \
         permessage-deflate; client_no_context_takeover; server_no_context_takeover"
    );
    assert_eq!(known_offers([asked_header.as_bytes()].into_iter()), Ok((asked, asked_header.clone())));
    assert_eq!(without_context_takeover(&[], ""), (vec![], String::new()));
}

#[test]
fn an_answer_fits_its_offer() {
    let none = DeflateParams::default();
    let server = |bits| DeflateParams { server_max_window_bits: Some(bits), ..none };
    let client = |bits| DeflateParams { client_max_window_bits: Some(bits), ..none };
    let server_forgets = DeflateParams { server_no_context_takeover: true, ..none };
    let client_forgets = DeflateParams { client_no_context_takeover: true, ..none };

    let asks_server_bits = DeflateOffer { server_max_window_bits: Some(10), ..NOTHING };
    let client_can = DeflateOffer { client_max_window_bits: Some(None), ..NOTHING };
    let client_can_10 = DeflateOffer { client_max_window_bits: Some(Some(10)), ..NOTHING };
    let asks_server_forget = DeflateOffer { server_no_context_takeover: true, ..NOTHING };
    let client_will_forget = DeflateOffer { client_no_context_takeover: true, ..NOTHING };
    for (what, offer, answer, fits) in [
        ("nothing asked, nothing said", NOTHING, none, true),
        ("server forgets unasked", NOTHING, server_forgets, true),
        ("client must forget, unasked", NOTHING, client_forgets, true),
        ("server limits itself unasked", NOTHING, server(9), true),
        ("client limited unasked", NOTHING, client(15), false),
        ("server was to forget and does", asks_server_forget, server_forgets, true),
        ("server was to forget and does not", asks_server_forget, none, false),
        ("client's hint taken", client_will_forget, client_forgets, true),
        ("client's hint not taken", client_will_forget, none, true),
        ("server limit kept", asks_server_bits, server(10), true),
        ("server limit undercut", asks_server_bits, server(8), true),
        ("server limit exceeded", asks_server_bits, server(11), false),
        ("server limit ignored", asks_server_bits, none, false),
        ("client can be limited and is", client_can, client(15), true),
        ("client can be limited and is not", client_can, none, true),
        ("client's own limit kept", client_can_10, client(10), true),
        ("client's own limit ignored", client_can_10, none, true),
        ("client's own limit exceeded", client_can_10, client(11), false),
    ] {
        assert_eq!(answer.answers(&offer), fits, "{what}");
    }
}

#[test]
fn params_print_as_a_header_value() {
    let all = DeflateParams {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: Some(8),
        client_max_window_bits: Some(15),
    };
    assert_eq!(
        all.to_string(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; \
         client_max_window_bits=15"
    );
    assert_eq!(DeflateParams::default().to_string(), "permessage-deflate");
}
