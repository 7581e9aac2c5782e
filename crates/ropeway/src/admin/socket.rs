//! The Unix socket that a gateway is controlled by: a path that belongs to one living gateway, and to one user.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::net::listener::adopt;

/// An open control socket. Dropped, its file goes, unless it is another process's by then.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Locked as long as the process lives, however it ends: who has the lock owns the path.
    lock: File,
    /// Whether the file is this process's to remove.
    owned: AtomicBool,
}

impl ControlSocket {
    /// Opens `path`, of which the folder is made if there is none, for its owner alone. What a gateway left there that
    /// was killed is put aside.
    ///
    /// # Errors
    /// Others may enter the folder ([`io::ErrorKind::PermissionDenied`]), a running gateway has this path
    /// ([`io::ErrorKind::AddrInUse`]), something that is no socket is there, or the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make_private(folder)?;
        let lock = lock(&path.with_added_extension("lock"))?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(ControlSocket { listener, path: path.to_owned(), lock, owned: true.into() })
    }

    /// The socket of a process that may hand over to this one; the file stays its own until [`ControlSocket::own`]. What
    /// is given may be anything: `None`, if it is no socket that listens.
    pub fn adopt(path: &Path, [listener, lock]: [OwnedFd; 2]) -> Option<Self> {
        let listener = adopt(listener).ok()?.into();
        Some(ControlSocket { listener, path: path.to_owned(), lock: lock.into(), owned: false.into() })
    }

    /// Copies of the socket and its lock, for a process that may take over: those who connect wait in one queue.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn copies(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.listener.try_clone()?.into(), self.lock.try_clone()?.into()])
    }

    /// Whether the file is this process's from now on, and goes with it.
    pub fn own(&self, owned: bool) {
        self.owned.store(owned, Ordering::Relaxed);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The lock stays locked to the end of this, and its file stays: removed, two could hold it.
        if *self.owned.get_mut() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Has `folder` be there, for its owner alone.
fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::metadata(folder)?;
    if metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("`{}` must be yours and have mode 0700", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another gateway is controlled there"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Its owner is dead: the lock is ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ropeway-socket-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn it_is_for_its_owner_alone() {
        let folder = Folder::new("owner");
        let path = folder.0.join("control.sock");
        let socket = ControlSocket::open(&path).unwrap();
        assert_eq!((mode(&folder.0), mode(&path)), (0o700, 0o600));
        drop(socket);
        assert!(!path.exists());
        fs::set_permissions(&folder.0, Permissions::from_mode(0o750)).unwrap();
        assert_eq!(ControlSocket::open(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn it_passes_from_one_process_to_another() {
        let folder = Folder::new("passes");
        let path = folder.0.join("control.sock");
        let old = ControlSocket::open(&path).unwrap();
        drop(ControlSocket::adopt(&path, old.copies().unwrap()).unwrap());
        assert!(path.exists(), "the new process has failed before it took over");
        let new = ControlSocket::adopt(&path, old.copies().unwrap()).unwrap();
        old.own(false);
        new.own(true);
        drop(old);
        assert!(path.exists());
        assert_eq!(ControlSocket::open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(new);
        assert!(!path.exists());
        let file = || File::open("/dev/null").unwrap().into();
        assert!(ControlSocket::adopt(&path, [file(), file()]).is_none());
    }

    #[test]
    fn it_belongs_to_one_gateway_until_that_is_gone() {
        let folder = Folder::new("one");
        let path = folder.0.join("control.sock");
        let first = ControlSocket::open(&path).unwrap();
        assert_eq!(ControlSocket::open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        // What a killed one leaves behind: a socket to which nobody listens.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(ControlSocket::open(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert_eq!(ControlSocket::open(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
