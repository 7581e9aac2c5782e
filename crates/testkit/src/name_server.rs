//! A name server in the hands of a test.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A mock: it speaks as much DNS (RFC 1035) as a resolver of addresses needs, over UDP, and gives the same answer to
/// whoever asks for whatever name.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a name server answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// These addresses, good for as many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name.
    NoSuchName,
    /// That it does not want to answer.
    Refused,
    /// Nothing.
    Nothing,
}

const A: [u8; 2] = [0, 1];
const AAAA: [u8; 2] = [0, 28];

impl NameServer {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (says, asked, stop) = (Arc::new(Mutex::new(says)), Arc::<AtomicUsize>::default(), Arc::default());
        let (stopped, heard, answers): (Arc<AtomicBool>, _, _) =
            (Arc::clone(&stop), asked.clone(), says.clone());
        let thread = thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                heard.fetch_add(1, Ordering::Relaxed);
                let says = answers.lock().unwrap().clone();
                if let Some(answer) = answer(&question[..length], &says) {
                    // Who asked may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        NameServer { address, says, asked, stop, thread: Some(thread) }
    }

    /// From now on it says this.
    pub fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// How many questions came so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Says {
    /// These addresses, for a second.
    pub fn for_a_second(addresses: &[SocketAddr]) -> Self {
        Says::Addresses(addresses.iter().map(SocketAddr::ip).collect(), 1)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it sees the flag.
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The answer to a query with one question (RFC 1035 4.1).
fn answer(query: &[u8], says: &Says) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(12)?;
    let mut end = 0;
    while *rest.get(end)? != 0 {
        end += usize::from(rest[end]) + 1;
    }
    let question = rest.get(..end + 5)?;
    let kind = [question[end + 1], question[end + 2]];
    let (code, addresses, ttl) = match says {
        Says::Nothing => return None,
        Says::Addresses(addresses, ttl) => (0, &**addresses, *ttl),
        Says::NoSuchName => (3, &[][..], 0),
        Says::Refused => (5, &[][..], 0),
    };
    let data: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(ip) if kind == A => Some(ip.octets().to_vec()),
            IpAddr::V6(ip) if kind == AAAA => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    // An answer, recursion desired and available; one question.
    let mut answer = vec![header[0], header[1], 0x81, 0x80 | code, 0, 1];
    answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    for data in data {
        // The name is that of the question; the class is the internet.
        answer.extend([0xc0, 12, kind[0], kind[1], 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}
