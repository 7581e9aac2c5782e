//! Where to listen.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::text_type;

/// An IP address of this machine, or the path of a Unix socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// TCP, at a port that is told elsewhere.
    Ip(IpAddr),
    /// `unix:` and an absolute path.
    Unix(PathBuf),
}

/// The mode of a file, in octal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileMode(u32);

impl ListenAddress {
    /// What the kernel has room for (unix(7)), with the byte behind it.
    const LONGEST: usize = 108;
}

impl FileMode {
    /// For the owner and the group.
    pub const SHARED: FileMode = FileMode(0o660);

    /// As the system has it.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(ListenAddress::Ip).map_err(|_| {
                format!("`{text}` is no IP address of this machine, and no Unix socket such as `unix:/run/ropeway.sock`")
            });
        };
        if !path.starts_with('/') || path.contains('\0') {
            return Err(format!("`{path}` is no absolute path: write it like `unix:/run/ropeway.sock`"));
        }
        if path.len() >= Self::LONGEST {
            return Err(format!("a path of {} bytes is too long for a Unix socket: 107 at most", path.len()));
        }
        Ok(ListenAddress::Unix(path.into()))
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode =
            is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
        mode.map(FileMode).ok_or_else(|| format!("`{text}` is no mode of a file: write it like `0660`"))
    }
}

text_type!(ListenAddress, expects: "an IP address, or a Unix socket such as unix:/run/ropeway.sock", schema: {
    "type": "string",
    "examples": ["127.0.0.1", "::1", "unix:/run/ropeway.sock"],
});

text_type!(FileMode, expects: "the mode of a file such as 0660", schema: {
    "type": ["string", "integer"],
    "pattern": "^0?[0-7]{3}$",
    "examples": ["0660"],
});
