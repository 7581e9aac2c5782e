//! Rules that change while tunnels live by them.

use testkit::{Backend, TestGateway, masked, op};

use super::{documents, echo, echoes, farewell, open, pool};

#[test]
fn live_tunnels_obey_a_changed_limit() {
    let (_servers, addresses) = echoes(1);
    let of = |fields| documents(&[pool(&addresses, fields)], "", "");
    let mut gateway = TestGateway::start(&of(", clientMaxMsgSize: 10"));
    let mut client = open(&gateway);
    echo(&mut client, &[b'a'; 10]);

    gateway.reload(&of(", clientMaxMsgSize: 1000"));
    echo(&mut client, &[b'a'; 1000]);

    gateway.reload(&of(", clientMaxMsgSize: 5"));
    echo(&mut client, b"short");
    client.send(&masked(op::TEXT, b"longer"));
    assert_eq!(farewell(&mut client), (1009, "message of at least 6 bytes is over the limit of 5".into()));
}

/// Both halves of a frame that is under way pass; the limit counts from the next frame on.
#[test]
fn a_frame_under_way_is_not_cut_by_a_new_limit() {
    let (backend, mut gateway, of) = with_backend("clientMaxMsgSize: 100");
    let (mut client, mut server) = gateway.tunnel(&backend);
    let message = masked(op::BINARY, &[7; 50]);
    client.send(&message[..20]);
    assert_eq!(server.bytes(20), message[..20]);
    gateway.reload(&of("clientMaxMsgSize: 10"));
    client.send(&message[20..]);
    assert_eq!(server.bytes(message.len() - 20), message[20..]);
    client.send(&masked(op::BINARY, &[7; 11]));
    assert_eq!(farewell(&mut client).0, 1009);
}

#[test]
fn live_tunnels_obey_a_changed_check_of_text() {
    let (backend, mut gateway, of) = with_backend("");
    let (mut client, mut server) = gateway.tunnel(&backend);
    let wrong = masked(op::TEXT, &[0xff]);
    client.send(&wrong);
    assert_eq!(server.bytes(wrong.len()), wrong);
    gateway.reload(&of("validateUtf8: true"));
    client.send(&wrong);
    assert_eq!(farewell(&mut client).0, 1007);
}

/// A backend, a gateway to it, and the documents with other fields of the pool.
fn with_backend(fields: &str) -> (Backend, TestGateway, impl Fn(&str) -> String) {
    let backend = Backend::listen();
    let address = backend.address;
    let of = move |fields: &str| {
        documents(&[pool(&[address], &format!(", closeTimeout: 100ms, {fields}"))], "", "")
    };
    (backend, TestGateway::start(&of(fields)), of)
}
