use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use super::refusal::{Refusal, refuse};
use crate::secret::Secret;

/// Secrets and keys are far smaller, in KiB; a file that is not is the wrong file.
const MAX_KIB: usize = 64;

/// A list of certificates is longer. A system's own, of all authorities there are, is a quarter.
const MAX_PUBLIC_KIB: usize = 1024;

/// The kind of the error for what is neither a file nor a directory.
const NOT_REGULAR: io::ErrorKind = io::ErrorKind::InvalidInput;

/// What a file holds, and to whom it is open.
pub(super) struct ReadFile {
    /// Without the line break at its end, which editors and `echo` add.
    pub(super) text: Secret,
    pub(super) readers: Audience,
    pub(super) writers: Audience,
}

/// Who may do something with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Owner,
    /// Also the owner's group, as with secrets that Kubernetes mounts for an `fsGroup`.
    Group,
    Everybody,
}

/// A file with a secret or a private key.
pub(super) fn read(path: &Path) -> Result<ReadFile, Refusal> {
    read_bounded(path, MAX_KIB)
}

/// A file that anybody may read.
pub(super) fn read_public(path: &Path) -> Result<ReadFile, Refusal> {
    read_bounded(path, MAX_PUBLIC_KIB)
}

fn read_bounded(path: &Path, max_kib: usize) -> Result<ReadFile, Refusal> {
    let cannot = |error: &io::Error| {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => (
                format!("names a file that does not exist: {path}"),
                "Create it, or correct the path; a path in a TOML file is relative to that file.",
            ),
            io::ErrorKind::PermissionDenied => (
                format!("names a file this user may not read: {path}"),
                "Give it to the user the program runs as.",
            ),
            io::ErrorKind::IsADirectory => (
                format!("names a directory instead of a file: {path}"),
                "Correct the path.",
            ),
            NOT_REGULAR => (
                format!("names a pipe, a device or a socket instead of a file: {path}"),
                "Write what it holds into a file, and name that.",
            ),
            io::ErrorKind::FileTooLarge => (
                format!("names a file of more than {max_kib} KiB: {path}"),
                "Correct the path; such files are far smaller.",
            ),
            io::ErrorKind::InvalidData => (
                format!("names a file that is not text: {path}"),
                "Correct the path; keys and certificates must be PEM, not DER.",
            ),
            kind => (
                format!("names a file that cannot be read ({kind}): {path}"),
                "Correct the path.",
            ),
        }
    };
    open(path, max_kib * 1024).or_else(|error| {
        let (message, help) = cannot(&error);
        refuse(message, help)
    })
}

fn open(path: &Path, max_bytes: usize) -> io::Result<ReadFile> {
    // Before: opening a pipe waits for somebody who writes.
    regular(fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = regular(file.metadata()?)?;
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(max_bytes + 1));
    if metadata.len() > max_bytes as u64 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // What is no plain file may be longer than it says.
    file.take(max_bytes as u64 + 1).read_to_string(&mut text)?;
    if text.len() > max_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(ReadFile {
        text: Secret::from(line),
        readers: audience(&metadata, 0o4),
        writers: audience(&metadata, 0o2),
    })
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

/// Who has this permission, of which there are three: 4 to read, 2 to write.
#[cfg(unix)]
fn audience(metadata: &Metadata, permission: u32) -> Audience {
    use std::os::unix::fs::MetadataExt;
    match metadata.mode() {
        mode if mode & permission != 0 => Audience::Everybody,
        mode if mode & permission << 3 != 0 => Audience::Group,
        _ => Audience::Owner,
    }
}

#[cfg(not(unix))]
fn audience(_: &Metadata, _: u32) -> Audience {
    Audience::Owner
}
