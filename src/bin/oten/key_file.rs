//! Files with secret keys: created once, readable by their owner only.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
};

use axum_oten::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

use crate::error::Error;

/// Reads the session key at `path`; creates the file with a new key if it does not exist.
pub(crate) fn read_or_create_session_key(path: &Path) -> Result<Secret, Error> {
    // A full disk does not prevent reading it.
    if path.exists() {
        return read_session_key(path);
    }
    let key = generate_session_key();
    match create(path, &format_line(&key)) {
        Ok(()) => {
            tracing::info!(
                path = %path.display(),
                "created a session key; keep the file secret, because it decrypts the tokens in the \
                 store"
            );
            Ok(key)
        }
        // Another process has just created it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read_session_key(path),
        Err(error) => Err(Error::CreateSessionKey {
            path: path.to_owned(),
            error,
        }),
    }
}

/// Reads the session key at `path`; returns a new key, without storing it, if there is no file.
pub(crate) fn read_or_generate_session_key(path: &Path) -> Result<Secret, Error> {
    if path.exists() {
        read_session_key(path)
    } else {
        Ok(generate_session_key())
    }
}

/// Generates a session key: 32 random bytes in base64.
///
/// # Panics
///
/// Panics if the operating system provides no random bytes.
pub(crate) fn generate_session_key() -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).expect("the operating system must provide random bytes");
    Secret::from(BASE64_STANDARD.encode(*bytes))
}

/// The key as a line of text, for a file or for stdout.
pub(crate) fn format_line(key: &Secret) -> Zeroizing<String> {
    Zeroizing::new(format!("{}\n", key.expose()))
}

/// Creates a file that only its owner may read. The file appears with its whole text or not at all.
///
/// # Errors
///
/// [`AlreadyExists`](ErrorKind::AlreadyExists) if the path is taken; it is never overwritten.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    let persist = |file: NamedTempFile, path: &Path| Ok(file.persist_noclobber(path)?);
    create_with(path, text, persist, sync_folder)
}

/// Takes the steps that depend on the file system as arguments, for tests.
fn create_with(
    path: &Path,
    text: &str,
    persist: impl FnOnce(NamedTempFile, &Path) -> io::Result<File>,
    sync_folder: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = write(Builder::new().prefix(".oten-"), folder, text);
    match temporary.and_then(|file| persist(file, path)) {
        Err(error) if is_unsupported(&error) => {
            let name = path.file_name().unwrap_or_default();
            write(Builder::new().prefix(name).rand_bytes(0), folder, text)?.keep()?;
        }
        persisted => {
            persisted?;
        }
    }
    // The file exists. Syncing fails on Windows, and for a folder that this user cannot read.
    let _ = sync_folder(folder);
    Ok(())
}

/// Writes a file that is removed on drop; `tempfile` creates it with mode 0600.
fn write(builder: &Builder<'_, '_>, folder: &Path, text: &str) -> io::Result<NamedTempFile> {
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Whether the file system has no hard links: EPERM, EOPNOTSUPP or ENOSYS.
fn is_unsupported(error: &io::Error) -> bool {
    [ErrorKind::PermissionDenied, ErrorKind::Unsupported].contains(&error.kind())
}

/// Makes a new file name in the folder durable across a power failure.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_session_key(path: &Path) -> Result<Secret, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            let path = path.to_owned();
            return Err(Error::ReadSessionKey { path, error });
        }
    };
    if text.trim().is_empty() {
        let path = path.to_owned();
        return Err(Error::EmptySessionKey { path });
    }
    if is_open_to_others(path) {
        tracing::warn!(
            "other users may read the session key; run `chmod 600 {}`",
            path.display()
        );
    }
    Ok(Secret::from(text.trim()))
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests;
