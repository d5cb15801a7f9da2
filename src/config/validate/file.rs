use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{
    config::problem::{Invalid, invalid},
    secret::Secret,
};

/// Secrets and keys are much smaller; a larger file is the wrong file.
pub(super) const MAX_SECRET_KIB: usize = 64;

/// Lists of certificates are longer: a system's list of all authorities is about 250 KiB.
pub(super) const MAX_PUBLIC_KIB: usize = 1024;

/// The error kind for pipes, devices and sockets, for which `std` has none.
const NOT_REGULAR: io::ErrorKind = io::ErrorKind::InvalidInput;

/// The content of a file, and the users with access to it.
pub(super) struct SettingFile {
    /// The content without the line break at the end, which editors and `echo` add.
    pub(super) text: Secret,
    pub(super) readers: Access,
    pub(super) writers: Access,
}

/// The users with a permission on a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Owner,
    /// The owner and the group, as for secrets that Kubernetes mounts with an `fsGroup`.
    Group,
    /// Every user.
    Others,
}

impl SettingFile {
    pub(super) fn read(path: &Path, max_kib: usize) -> Result<Self, Invalid> {
        Self::open(path, max_kib).or_else(|error| {
            let (reason, help) = unreadable(&error);
            let path = path.display();
            invalid(format!("names a file that {reason}: {path}"), help)
        })
    }

    fn open(path: &Path, max_kib: usize) -> io::Result<Self> {
        let max_bytes = max_kib * 1024;
        let too_large = || {
            let message = format!("larger than {max_kib} KiB");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        };
        // Checked before opening, because opening a pipe blocks until it has a writer.
        regular(fs::metadata(path)?)?;
        let file = File::open(path)?;
        let metadata = regular(file.metadata()?)?;
        if metadata.len() > max_bytes as u64 {
            return Err(too_large());
        }
        // At full capacity from the start: a buffer that grows leaves copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(max_bytes + 1));
        // Some files, such as those in /proc, are longer than their metadata says.
        file.take(max_bytes as u64 + 1).read_to_string(&mut text)?;
        if text.len() > max_bytes {
            return Err(too_large());
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        Ok(Self {
            text: Secret::from(line),
            readers: access(&metadata, 0o4),
            writers: access(&metadata, 0o2),
        })
    }
}

/// Why a file cannot be read, as a predicate, and how to fix it.
pub(in crate::config) fn unreadable(error: &io::Error) -> (String, &'static str) {
    let (reason, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            "does not exist",
            "Create it, or correct the path; a path in a TOML file is relative to that file.",
        ),
        io::ErrorKind::PermissionDenied => (
            "is not readable by this user",
            "Give the user that runs the program permission to read it.",
        ),
        io::ErrorKind::IsADirectory => ("is a directory", "Correct the path."),
        io::ErrorKind::InvalidData => (
            "is not text",
            "Correct the path; keys and certificates must be PEM, not DER.",
        ),
        io::ErrorKind::FileTooLarge => {
            let help = "Correct the path; such files are much smaller.";
            return (format!("is {error}"), help);
        }
        NOT_REGULAR => (
            "is a pipe, a device or a socket",
            "Write its content into a file, and name that file.",
        ),
        kind => return (format!("cannot be read ({kind})"), "Correct the path."),
    };
    (reason.to_owned(), help)
}

fn regular(metadata: Metadata) -> io::Result<Metadata> {
    if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if metadata.is_file() {
        Ok(metadata)
    } else {
        Err(NOT_REGULAR.into())
    }
}

/// The users with a permission: 4 to read, 2 to write.
#[cfg(unix)]
fn access(metadata: &Metadata, permission: u32) -> Access {
    use std::os::unix::fs::MetadataExt;
    match metadata.mode() {
        mode if mode & permission != 0 => Access::Others,
        mode if mode & permission << 3 != 0 => Access::Group,
        _ => Access::Owner,
    }
}

#[cfg(not(unix))]
fn access(_: &Metadata, _: u32) -> Access {
    Access::Owner
}
