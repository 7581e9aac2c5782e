//! Values of a record: each is written and read in one place, numbers in network order.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf, BufMut};
use ws::{CloseCode, Violation};

use super::{FAR, Unreadable};
use crate::tunnel::farewell::{Cause, Why};
use crate::tunnel::policy::Policy;
use crate::tunnel::record::{CloseSeen, Codes};
use crate::tunnel::registry::Order;
use crate::tunnel::{Side, TunnelId};

/// Something that a record holds.
pub(in crate::tunnel) trait Value: Sized {
    /// Writes it.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes it off the front of `from`, whose bytes may be any.
    fn read(from: &mut &[u8]) -> Result<Self, Unreadable>;
}

/// Takes so many bytes off the front.
pub(in crate::tunnel) fn take_bytes<'a>(from: &mut &'a [u8], len: usize) -> Result<&'a [u8], Unreadable> {
    let (bytes, behind) = from.split_at_checked(len).ok_or(Unreadable::Malformed)?;
    *from = behind;
    Ok(bytes)
}

impl Value for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(*self));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        match from.try_get_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable::Malformed),
        }
    }
}

impl Value for TunnelId {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u128(self.0);
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(TunnelId(from.try_get_u128()?))
    }
}

/// Its length tells which kind it is.
impl Value for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            IpAddr::V4(address) => out.put_slice(&address.octets()),
            IpAddr::V6(address) => out.put_slice(&address.octets()),
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let address = <[u8; 4]>::try_from(*from)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*from).map(IpAddr::from));
        *from = &[];
        address.map_err(|_| Unreadable::Malformed)
    }
}

/// In microseconds. The longest, 584,000 years, does for all that is longer.
impl Value for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(u64::try_from(self.as_micros()).unwrap_or(u64::MAX));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(Duration::from_micros(from.try_get_u64()?))
    }
}

impl Value for Policy {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.max_client_message);
        out.put_u64(self.max_server_message);
        self.validate_utf8.put(out);
        Some(self.vanished_code).put(out);
        Some(self.drain_code).put(out);
        self.close_timeout.put(out);
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let (max_client_message, max_server_message) = (from.try_get_u64()?, from.try_get_u64()?);
        let validate_utf8 = bool::read(from)?;
        let code = |from: &mut &[u8]| Option::<CloseCode>::read(from)?.ok_or(Unreadable::Malformed);
        let policy = Policy {
            max_client_message,
            max_server_message,
            validate_utf8,
            vanished_code: code(from)?,
            drain_code: code(from)?,
            close_timeout: Duration::read(from)?,
        };
        if policy.close_timeout > FAR { Err(Unreadable::Malformed) } else { Ok(policy) }
    }
}

impl Value for Option<CloseCode> {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.map_or(0, CloseCode::get));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        match from.try_get_u16()? {
            0 => Ok(None),
            code => CloseCode::new(code).map(Some).ok_or(Unreadable::Malformed),
        }
    }
}

impl Value for CloseSeen {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            CloseSeen::None => out.put_u16(0),
            CloseSeen::Empty => out.put_u16(1),
            CloseSeen::Code(code) => out.put_u16(code.get()),
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        match from.try_get_u16()? {
            0 => Ok(CloseSeen::None),
            1 => Ok(CloseSeen::Empty),
            code => CloseCode::new(code).map(CloseSeen::Code).ok_or(Unreadable::Malformed),
        }
    }
}

impl Value for Codes {
    fn put(&self, out: &mut Vec<u8>) {
        [self.from_client, self.from_server, self.to_client, self.to_server]
            .iter()
            .for_each(|seen| seen.put(out));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(Codes {
            from_client: CloseSeen::read(from)?,
            from_server: CloseSeen::read(from)?,
            to_client: CloseSeen::read(from)?,
            to_server: CloseSeen::read(from)?,
        })
    }
}

impl Value for Side {
    fn put(&self, out: &mut Vec<u8>) {
        (*self == Side::Server).put(out);
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(if bool::read(from)? { Side::Server } else { Side::Client })
    }
}

impl Value for Why {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(match self {
            Why::Shutdown => 0,
            Why::ServerRemoved => 1,
            Why::ServerUnhealthy => 2,
            Why::Command => 3,
        });
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(match from.try_get_u8()? {
            0 => Why::Shutdown,
            1 => Why::ServerRemoved,
            2 => Why::ServerUnhealthy,
            3 => Why::Command,
            _ => return Err(Unreadable::Malformed),
        })
    }
}

impl Value for Cause {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Cause::Closed(side, code) => {
                out.put_u8(0);
                side.put(out);
                code.put(out);
            }
            Cause::Vanished(side) => {
                out.put_u8(1);
                side.put(out);
            }
            Cause::Violation(side, violation) => {
                out.put_u8(2);
                side.put(out);
                out.put_slice(&violation.to_bytes());
            }
            Cause::Drain(why) => {
                out.put_u8(3);
                why.put(out);
            }
            Cause::Panic => out.put_u8(4),
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(match from.try_get_u8()? {
            0 => Cause::Closed(Side::read(from)?, Option::read(from)?),
            1 => Cause::Vanished(Side::read(from)?),
            2 => {
                let (side, mut bytes) = (Side::read(from)?, [0; Violation::BYTES]);
                from.try_copy_to_slice(&mut bytes)?;
                Cause::Violation(side, Violation::from_bytes(bytes).ok_or(Unreadable::Malformed)?)
            }
            3 => Cause::Drain(Why::read(from)?),
            4 => Cause::Panic,
            _ => return Err(Unreadable::Malformed),
        })
    }
}

impl Value for Option<Cause> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|cause| cause.put(out));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        bool::read(from)?.then(|| Cause::read(from)).transpose()
    }
}

impl Value for Order {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Order::None => out.put_u8(0),
            Order::Given(cause) => {
                out.put_u8(1);
                cause.put(out);
            }
            Order::Heard => out.put_u8(2),
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(match from.try_get_u8()? {
            0 => Order::None,
            1 => Order::Given(Cause::read(from)?),
            2 => Order::Heard,
            _ => return Err(Unreadable::Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Value + PartialEq + std::fmt::Debug>(all: &[T]) {
        let mut forms = Vec::new();
        for value in all {
            let mut bytes = Vec::new();
            value.put(&mut bytes);
            let mut rest = &*bytes;
            assert_eq!(T::read(&mut rest).as_ref(), Ok(value));
            assert!(rest.is_empty(), "{value:?}");
            for cut in 0..bytes.len() {
                assert!(T::read(&mut &bytes[..cut]).is_err(), "{cut} bytes of {value:?}");
            }
            assert!(!forms.contains(&bytes), "{value:?} is written as another value");
            forms.push(bytes);
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let code = CloseCode::NORMAL;
        let too_big = Violation::MessageTooBig { limit: 7, size: u64::MAX };
        let causes = [
            Cause::Closed(Side::Client, None),
            Cause::Closed(Side::Server, Some(code)),
            Cause::Vanished(Side::Server),
            Cause::Violation(Side::Client, too_big),
            Cause::Violation(Side::Server, Violation::MaskForbidden),
            Cause::Drain(Why::Shutdown),
            Cause::Drain(Why::ServerRemoved),
            Cause::Drain(Why::ServerUnhealthy),
            Cause::Drain(Why::Command),
            Cause::Panic,
        ];
        check(&causes);
        check(&causes.map(Some));
        check(&[Order::None, Order::Heard, Order::Given(causes[5])]);
        check(&[CloseSeen::None, CloseSeen::Empty, CloseSeen::Code(code)]);
        check(&[Codes { to_client: CloseSeen::Empty, ..Codes::default() }, Codes::default()]);
        check(&[Policy::any(), Policy { close_timeout: FAR, validate_utf8: true, ..Policy::any() }]);
        check(&[TunnelId(1), TunnelId(u128::MAX)]);
        check::<IpAddr>(&[[127, 0, 0, 1].into()]);
        let (mut bytes, address) = (Vec::new(), IpAddr::from([7; 16]));
        address.put(&mut bytes);
        assert_eq!(IpAddr::read(&mut &*bytes), Ok(address));
    }

    #[test]
    fn a_close_timeout_without_end_is_refused() {
        let policy = Policy { close_timeout: FAR + Duration::from_micros(1), ..Policy::any() };
        let mut bytes = Vec::new();
        policy.put(&mut bytes);
        assert_eq!(Policy::read(&mut &*bytes), Err(Unreadable::Malformed));
    }
}
