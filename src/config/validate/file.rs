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

/// Lists of certificates are longer: a system's list of all authorities has about 250 KiB.
pub(super) const MAX_PUBLIC_KIB: usize = 1024;

/// The error kind for pipes, devices and sockets, for which `std` has none.
const NOT_REGULAR: io::ErrorKind = io::ErrorKind::InvalidInput;

/// The content of a file, and the users with access to it.
pub(super) struct SecretFile {
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

impl SecretFile {
    pub(super) fn read(path: &Path, max_kib: usize) -> Result<Self, Invalid> {
        Self::open(path, max_kib * 1024).or_else(|error| {
            let help = match error.kind() {
                io::ErrorKind::NotFound => {
                    "Create it, or correct the path; a path in a TOML file is relative to that file."
                }
                io::ErrorKind::PermissionDenied => {
                    "Give the user that runs the program permission to read it."
                }
                io::ErrorKind::FileTooLarge => "Correct the path; such files are much smaller.",
                io::ErrorKind::InvalidData => {
                    "Correct the path; keys and certificates must be PEM, not DER."
                }
                NOT_REGULAR => "Write its content into a file, and name that file.",
                _ => "Correct the path.",
            };
            let reason = match error.kind() {
                io::ErrorKind::FileTooLarge => format!("is larger than {max_kib} KiB"),
                _ => unreadable(&error),
            };
            invalid(
                format!("names a file that {reason}: {}", path.display()),
                help,
            )
        })
    }

    fn open(path: &Path, max_bytes: usize) -> io::Result<Self> {
        // Checked before opening, because opening a pipe blocks until it has a writer.
        regular(fs::metadata(path)?)?;
        let file = File::open(path)?;
        let metadata = regular(file.metadata()?)?;
        if metadata.len() > max_bytes as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // At full capacity from the start: a buffer that grows leaves copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(max_bytes + 1));
        // Some files, such as those in /proc, are longer than their metadata says.
        file.take(max_bytes as u64 + 1).read_to_string(&mut text)?;
        if text.len() > max_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
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

/// The reason why a file cannot be read, as a predicate.
pub(in crate::config) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "is not readable by this user".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::InvalidData => "is not text".to_owned(),
        NOT_REGULAR => "is a pipe, a device or a socket".to_owned(),
        kind => format!("cannot be read ({kind})"),
    }
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
