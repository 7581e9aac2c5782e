//! Addresses as text.

use std::fmt;
use std::net::IpAddr;

/// An address as the standard library writes it, in a tenth of the time for those of IPv4: each tunnel has it three times.
#[derive(Clone, Copy, Debug)]
pub struct Written(pub IpAddr);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpAddr::V4(address) = self.0 else { return self.0.fmt(f) };
        // Each octet with a dot behind it.
        let mut text = [0; 16];
        let mut end = 0;
        for octet in address.octets() {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(octet).as_bytes();
            text[end..end + digits.len()].copy_from_slice(digits);
            end += digits.len() + 1;
            text[end - 1] = b'.';
        }
        f.write_str(std::str::from_utf8(&text[..end - 1]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Written;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["0.0.0.0", "255.255.255.255", "10.0.0.9", "127.100.20.3", "::1", "::ffff:1.2.3.4"] {
            assert_eq!(Written(text.parse().unwrap()).to_string(), text);
        }
    }
}
