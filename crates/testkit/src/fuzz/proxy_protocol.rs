//! The header of the PROXY protocol.

use ropeway::net::proxy_protocol::{Beginning, parse};

/// Reads a header. One that is taken ends where it says, whatever follows; what is asked for is never more than there is;
/// and what is refused stays so.
pub fn proxy_protocol(data: &[u8]) {
    match parse(data) {
        Ok(Beginning::Whole { length, .. }) => {
            assert!(length <= data.len().min(4096));
            assert_eq!(parse(&data[..length]), parse(data));
            // Every part asks for more, and for no byte that is not the header's.
            for cut in 0..length {
                let Ok(Beginning::Part(missing)) = parse(&data[..cut]) else {
                    panic!("whole at {cut} of {length}")
                };
                assert!((1..=length - cut).contains(&missing), "{missing} at {cut} of {length}");
            }
        }
        Ok(Beginning::Part(missing)) => assert!(missing > 0 && data.len() + missing <= 4096),
        Err(_) => assert!(parse(&[data, b"\r\n"].concat()).is_err()),
    }
}
