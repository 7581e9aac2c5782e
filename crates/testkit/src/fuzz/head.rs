//! The heads that are read and written without hyper.

use bytes::Bytes;
use http::{HeaderMap, Uri};
use ropeway::net::head::{Spelling, read_request, read_switching, write_request, write_switching};

/// Reads a head as a client's request and as a server's 101. What is taken is whole, ends where it says, and is the
/// same when it is written and read again.
pub fn head(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some((request, length)) = read_request(&bytes) {
        ends_there(&bytes, length, |bytes| read_request(bytes).map(|(_, length)| length));
        let spelling = request.extensions.get::<Spelling>().unwrap();
        let written = Bytes::from(write_request(&request.uri, &request.headers, None, spelling));
        let (again, whole) = read_request(&written).expect("what was written can be read");
        let target = |uri: &Uri| uri.path_and_query().map_or("/".into(), ToString::to_string);
        assert_eq!((target(&again.uri), whole), (target(&request.uri), written.len()));
        same(&again.headers, &request.headers);
    }
    if let Some((answer, length)) = read_switching(&bytes) {
        ends_there(&bytes, length, |bytes| read_switching(bytes).map(|(_, length)| length));
        let written = Bytes::from(write_switching(&answer.headers, answer.extensions.get().unwrap()));
        let (again, whole) = read_switching(&written).expect("what was written can be read");
        assert_eq!(whole, written.len());
        same(&again.headers, &answer.headers);
    }
}

/// One byte less is not enough, and what stands behind changes nothing.
fn ends_there(bytes: &Bytes, length: usize, read: impl Fn(&Bytes) -> Option<usize>) {
    assert_eq!(read(&bytes.slice(..length)), Some(length));
    assert_eq!(read(&bytes.slice(..length - 1)), None);
}

/// Names, values, and the order of the values of each name.
fn same(one: &HeaderMap, other: &HeaderMap) {
    assert_eq!(one.iter().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
}
