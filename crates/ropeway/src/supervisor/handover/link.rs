//! Frames with descriptors over a pair of Unix sockets: what both sides of an upgrade talk by.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors that may travel with one frame; the kernel takes 253.
pub const MOST_DESCRIPTORS: usize = 252;

/// The longest body of a frame: 32 MiB.
pub const LONGEST_BODY: usize = 32 << 20;

/// The tag, a byte of nought, how many descriptors (2), how long the body is (4); numbers with the highest byte first.
const HEAD: usize = 8;

/// One end of the pair.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
}

/// One message of the protocol.
#[derive(Debug)]
pub struct Frame {
    /// What it is; the table in [`super`] has them all.
    pub tag: u8,
    /// What it says.
    pub body: Vec<u8>,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Link {
    /// Both ends of a new pair.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn pair() -> io::Result<(Link, Link)> {
        UnixStream::pair().map(|(here, there)| (Link { stream: here }, Link { stream: there }))
    }

    /// Sends one frame, until `deadline` at most.
    ///
    /// # Errors
    /// The other side is gone, does not read in time, or the frame is larger than one may be.
    pub fn send(
        &mut self,
        tag: u8,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> io::Result<()> {
        let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= LONGEST_BODY);
        let count =
            u16::try_from(descriptors.len()).ok().filter(|count| usize::from(*count) <= MOST_DESCRIPTORS);
        let (Some(length), Some(count)) = (length, count) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large to be sent"));
        };
        let (count, length) = (count.to_be_bytes(), length.to_be_bytes());
        let head = [tag, 0, count[0], count[1], length[0], length[1], length[2], length[3]];
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        let sent = self.send_head(&head, descriptors).map_err(in_time)?;
        self.write(&head[sent..], deadline)?;
        self.write(body, deadline)
    }

    fn send_head(&self, head: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
        }
        Ok(sendmsg(&self.stream, &[IoSlice::new(head)], &mut control, SendFlags::NOSIGNAL)?)
    }

    fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            let written = self.stream.write(bytes).map_err(in_time)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits for the next frame, until `deadline` at most. `None` when the other side has closed its end.
    ///
    /// # Errors
    /// There is none in time, or what comes is no frame.
    pub fn receive(&mut self, deadline: Instant) -> io::Result<Option<Frame>> {
        let mut head = [0; HEAD];
        let mut descriptors = Vec::new();
        let mut read = 0;
        while read < HEAD {
            match self.receive_head(&mut head[read..], &mut descriptors, deadline)? {
                0 if read == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        let [tag, zero, c0, c1, l0, l1, l2, l3] = head;
        let (count, length) = (u16::from_be_bytes([c0, c1]), u32::from_be_bytes([l0, l1, l2, l3]) as usize);
        if zero != 0 || length > LONGEST_BODY || usize::from(count) > MOST_DESCRIPTORS {
            return Err(invalid("what comes is no message of an upgrade"));
        }
        if descriptors.len() != usize::from(count) {
            return Err(invalid("descriptors are missing: is the limit of open files reached?"));
        }
        Ok(Some(Frame { tag, body: self.receive_body(length, deadline)?, descriptors }))
    }

    fn receive_head(
        &self,
        into: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        deadline: Instant,
    ) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(deadline)?))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(into)];
        let received = recvmsg(&self.stream, slices, &mut control, RecvFlags::CMSG_CLOEXEC);
        let received = received.map_err(|error| in_time(error.into()))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(invalid("descriptors were cut off: is the limit of open files reached?"));
        }
        Ok(received.bytes)
    }

    /// Grows with what comes, not with what is announced.
    fn receive_body(&mut self, length: usize, deadline: Instant) -> io::Result<Vec<u8>> {
        const PIECE: usize = 64 << 10;
        let mut body = Vec::new();
        while body.len() < length {
            let at = body.len();
            body.resize(length.min(at + PIECE), 0);
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            match self.stream.read(&mut body[at..]).map_err(in_time)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => body.truncate(at + read),
            }
        }
        Ok(body)
    }
}

impl From<OwnedFd> for Link {
    fn from(descriptor: OwnedFd) -> Self {
        Link { stream: descriptor.into() }
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.stream.into()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The time until `deadline`.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

/// A socket whose time is over says that it would block.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the other process takes too long")
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let (mut here, mut there) = Link::pair().unwrap();
        let stderr = io::stderr();
        let body = vec![7; 3 << 20];
        let sent = body.clone();
        let sender = std::thread::spawn(move || {
            let most = vec![stderr.as_fd(); MOST_DESCRIPTORS];
            here.send(1, b"", &most, soon()).unwrap();
            here.send(2, &sent, &most[..3], soon()).unwrap();
            here.send(3, b"last", &[], soon()).unwrap();
        });
        for (tag, length, count) in [(1, 0, MOST_DESCRIPTORS), (2, body.len(), 3), (3, 4, 0)] {
            let frame = there.receive(soon()).unwrap().unwrap();
            assert_eq!((frame.tag, frame.body.len(), frame.descriptors.len()), (tag, length, count));
            let flags = frame.descriptors.iter().map(|fd| rustix::io::fcntl_getfd(fd).unwrap());
            assert!(flags.into_iter().all(|flags| flags.contains(rustix::io::FdFlags::CLOEXEC)));
        }
        sender.join().unwrap();
        assert!(there.receive(soon()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let rows: [(&str, &[u8], io::ErrorKind); 6] = [
            ("no zero", &[1, 1, 0, 0, 0, 0, 0, 0], io::ErrorKind::InvalidData),
            ("longer than allowed", &[1, 0, 0, 0, 255, 0, 0, 0], io::ErrorKind::InvalidData),
            ("too many descriptors", &[1, 0, 1, 0, 0, 0, 0, 0], io::ErrorKind::InvalidData),
            ("descriptors that did not come", &[1, 0, 0, 2, 0, 0, 0, 0], io::ErrorKind::InvalidData),
            ("half a head", &[1, 0, 0], io::ErrorKind::UnexpectedEof),
            ("half a body", &[1, 0, 0, 0, 0, 0, 0, 9, 1, 2], io::ErrorKind::UnexpectedEof),
        ];
        for (name, bytes, expected) in rows {
            let (mut here, mut there) = Link::pair().unwrap();
            here.stream.write_all(bytes).unwrap();
            drop(here);
            assert_eq!(there.receive(soon()).unwrap_err().kind(), expected, "{name}");
        }
    }

    #[test]
    fn nobody_is_waited_for_beyond_the_deadline() {
        let (mut here, mut there) = Link::pair().unwrap();
        let shortly = || Instant::now() + Duration::from_millis(30);
        assert_eq!(there.receive(shortly()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        here.stream.write_all(&[1, 0, 0, 0, 0, 0, 0, 9, 1]).unwrap();
        assert_eq!(there.receive(shortly()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let body = vec![0; LONGEST_BODY];
        assert_eq!(here.send(1, &body, &[], shortly()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            here.send(1, &[0; LONGEST_BODY + 1], &[], soon()).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
