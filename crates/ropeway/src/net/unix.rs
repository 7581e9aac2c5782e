//! Listening on Unix sockets.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::net::{AddrParseError, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::listener::BACKLOG;

/// Where a listener is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On TCP; port 0 stands for one that the system chooses.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The file of a Unix socket that we listen on. Dropped, it is removed.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: what somebody else has put in its place is not ours to remove.
    identity: (u64, u64),
    /// Another process listens on it now.
    is_left: AtomicBool,
}

/// Who has it, and nobody else, may replace what is at a path. Dropped, its file goes.
struct Lock {
    path: PathBuf,
    _file: File,
}

/// Listens at `path`. A socket that is there and that nobody answers on any more is replaced.
///
/// # Errors
/// Somebody answers there or is about to, something else is there, or we may not listen there.
pub fn listen(path: &Path, mode: u32) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    // Between the two, a socket looks abandoned.
    let _binding_to_listening = Lock::take(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(path)? {
            return Err(error);
        }
        fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    let file = SocketFile::existing(path)?;
    // Nobody can connect before this: it does not listen yet.
    file.set_mode(mode)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

/// Whether there is a socket without anybody behind it. One that has no room for more connections is none.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let connected = socket.connect(&SockAddr::unix(path)?);
    Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

fn lock_path(path: &Path) -> PathBuf {
    path.with_added_extension("lock")
}

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let taken = || io::Error::new(io::ErrorKind::AddrInUse, "another process begins to listen there");
        let path = lock_path(path);
        let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).mode(0o600).custom_flags(nofollow).open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => taken(),
            error => error.into(),
        })?;
        // Who had it may have removed it since it was opened: then the next one has another.
        let locked = file.metadata()?;
        if identity(&path).ok() != Some((locked.dev(), locked.ino())) {
            return Err(taken());
        }
        Ok(Lock { path, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It is locked to the end of this. One that cannot be removed is used again.
        let _ = fs::remove_file(&self.path);
    }
}

impl SocketFile {
    /// That of a socket that listens already.
    ///
    /// # Errors
    /// It is gone.
    pub fn existing(path: &Path) -> io::Result<Self> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)?, is_left: AtomicBool::new(false) })
    }

    /// Leaves the file to another process: it is not removed.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Says who may connect.
    ///
    /// # Errors
    /// The file is gone, or no longer ours.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        if !self.is_ours() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the socket was removed or replaced"));
        }
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Relaxed) && self.is_ours() {
            // What cannot be removed is found to be abandoned the next time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Place {
    type Err = AddrParseError;

    /// As it is displayed.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Place::Unix(path.into())),
            None => text.parse().map(Place::Tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::{Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ropeway-{}-{name}.sock", std::process::id()))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_is_there_as_long_as_its_file_is_held() {
        let path = path("held");
        let (_socket, file) = listen(&path, 0o600).unwrap();
        assert_eq!(mode(&path), 0o600);
        file.set_mode(0o666).unwrap();
        assert_eq!(mode(&path), 0o666);
        assert!(UnixStream::connect(&path).is_ok());
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_that_nobody_answers_on_is_replaced() {
        let path = path("replaced");
        drop(UnixListener::bind(&path).unwrap());
        let (_first, file) = listen(&path, 0o660).expect("one that was left behind");
        let error = listen(&path, 0o660).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "somebody answers");
        drop(file);
        fs::write(&path, "a file").unwrap();
        assert!(listen(&path, 0o660).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn one_whose_backlog_is_full_is_alive() {
        let path = path("busy");
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let waiting = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&SockAddr::unix(&path).unwrap()).is_ok().then_some(socket)
        };
        let _waiting: Vec<_> = std::iter::from_fn(waiting).collect();
        let (done, listened) = mpsc::channel();
        let same = path.clone();
        thread::spawn(move || done.send(listen(&same, 0o600).map(drop)));
        let result = listened.recv_timeout(Duration::from_secs(10)).expect("it does not wait");
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn of_many_that_start_at_once_one_gets_the_place() {
        let path = path("crowded");
        for round in 0..100 {
            drop(UnixListener::bind(&path).unwrap());
            let start = Barrier::new(4);
            let listen = || {
                start.wait();
                listen(&path, 0o600)
            };
            let results: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(listen)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let won = results.iter().filter(|result| result.is_ok()).count();
            assert_eq!(won, 1, "{round}: {results:?}");
            assert!(UnixStream::connect(&path).is_ok(), "{round}");
            assert!(!lock_path(&path).exists(), "{round}");
        }
    }

    #[test]
    fn a_lock_that_was_left_behind_does_not_matter() {
        let path = path("locked");
        let lock = Lock::take(&path).unwrap();
        assert_eq!(listen(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(lock);
        fs::write(lock_path(&path), "").unwrap();
        assert!(listen(&path, 0o600).is_ok());
        std::os::unix::fs::symlink(path.with_extension("precious"), lock_path(&path)).unwrap();
        assert!(listen(&path, 0o600).is_err(), "it is not followed");
        fs::remove_file(lock_path(&path)).unwrap();
    }

    #[test]
    fn what_took_its_place_stays() {
        let path = path("successor");
        let (_socket, file) = listen(&path, 0o660).unwrap();
        // The inode is not used again while something holds it.
        let kept = path.with_extension("kept");
        fs::hard_link(&path, &kept).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        let before = mode(&path);
        assert!(file.set_mode(0o600 ^ before).is_err(), "it is not ours");
        assert_eq!(mode(&path), before);
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::remove_file(&kept).unwrap();
    }
}
