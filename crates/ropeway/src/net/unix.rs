//! Listening on Unix sockets.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{AddrParseError, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Listens at `path`. A socket that is there and that nobody answers on any more is replaced.
///
/// # Errors
/// Somebody answers there, something else is there, or we may not listen there.
pub fn listen(path: &Path, mode: u32) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
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

/// Whether there is a socket without anybody behind it.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    Ok(UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
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
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|identity| identity == self.identity)
        {
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
    use std::os::unix::net::UnixListener;

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
    fn what_took_its_place_stays() {
        let path = path("successor");
        let (_socket, file) = listen(&path, 0o660).unwrap();
        // The inode is not used again while something holds it.
        let kept = path.with_extension("kept");
        fs::hard_link(&path, &kept).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::remove_file(&kept).unwrap();
    }
}
