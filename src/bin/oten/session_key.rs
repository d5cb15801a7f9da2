use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use axum_oten::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::write_new;

const HELP: &str = "set OTEN_SESSION_KEY to the output of `oten keygen session`";

/// Why there is no key file to use.
#[derive(Debug, Error)]
pub(crate) enum SessionKeyError {
    #[error("the session key {} cannot be read: {error}. Let this user read it, or {HELP}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "the session key {} cannot be made: {error}. Let this user write into its folder, or {HELP}",
        .path.display()
    )]
    Create { path: PathBuf, error: io::Error },
    #[error("the session key {} is empty. Remove the file, so that a key is made anew", .path.display())]
    Empty { path: PathBuf },
}

/// The session key in a file, which is made if there is none: for sites that are tried out and must
/// not forget their users at a restart.
pub(crate) fn read_or_create(path: &Path) -> Result<Secret, SessionKeyError> {
    match create(path) {
        Ok(key) => {
            tracing::info!(
                path = %path.display(),
                "a new session key was made; whoever has it can read the tokens in the store"
            );
            Ok(key)
        }
        // Made earlier, or by another process at this moment.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(SessionKeyError::Create {
            path: path.to_owned(),
            error,
        }),
    }
}

/// The session key in a file; where there is none, one that is nowhere kept. Nothing is written.
pub(crate) fn read_or_placeholder(path: &Path) -> Result<Secret, SessionKeyError> {
    if path.exists() {
        return read(path);
    }
    Ok(generate())
}

fn read(path: &Path) -> Result<Secret, SessionKeyError> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| SessionKeyError::Read {
            path: path.to_owned(),
            error,
        })?;
    if text.trim().is_empty() {
        return Err(SessionKeyError::Empty {
            path: path.to_owned(),
        });
    }
    if is_open_to_others(path) {
        tracing::warn!(
            "others may read the session key; run `chmod 600 {}`",
            path.display()
        );
    }
    Ok(Secret::from(text.trim()))
}

fn create(path: &Path) -> io::Result<Secret> {
    let key = generate();
    let line = Zeroizing::new(format!("{}\n", key.expose()));
    write_new::create(path, &line)?;
    Ok(key)
}

/// A new sealing key: 32 random bytes in base64.
///
/// # Panics
///
/// When the operating system has no randomness to give. There is no safe way to go on.
pub(crate) fn generate() -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).expect("the operating system must provide random bytes");
    Secret::from(BASE64_STANDARD.encode(*bytes))
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
mod tests {
    use axum_oten::{Config, config::Environment};

    use super::*;
    use crate::temporary::Folder;

    const NAME: &str = "session.key";

    #[test]
    fn l7_a_key_is_made_once_and_kept() {
        let folder = Folder::new();
        let made = read_or_create(&folder.path(NAME)).unwrap();
        assert_eq!(read_or_create(&folder.path(NAME)).unwrap(), made);
        let other = Folder::new();
        assert_ne!(read_or_create(&other.path(NAME)).unwrap(), made);

        let config = Config::builder()
            .environment(Environment::Sandbox)
            .client_id("my-site")
            .client_secret(Secret::random())
            .redirect_uri("http://localhost:3000/callback")
            .session_key(made);
        assert_eq!(config.build().unwrap().session_keys().len(), 1);
    }

    #[test]
    fn l7_a_key_that_is_there_is_never_overwritten() {
        let folder = Folder::new();
        for (text, key) in [("new,old\n", "new,old"), ("not a key", "not a key")] {
            fs::write(folder.path(NAME), text).unwrap();
            assert_eq!(read_or_create(&folder.path(NAME)).unwrap().expose(), key);
            assert_eq!(fs::read_to_string(folder.path(NAME)).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn l7_only_its_owner_may_read_a_new_key() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = Folder::new();
        read_or_create(&folder.path(NAME)).unwrap();
        assert_eq!(
            fs::metadata(folder.path(NAME)).unwrap().mode() & 0o777,
            0o600
        );
        assert!(!is_open_to_others(&folder.path(NAME)));
        for mode in [0o640, 0o604] {
            fs::set_permissions(folder.path(NAME), fs::Permissions::from_mode(mode)).unwrap();
            assert!(is_open_to_others(&folder.path(NAME)), "{mode:o}");
        }
    }

    #[test]
    fn l7_a_file_that_cannot_be_used_comes_with_a_cure() {
        let folder = Folder::new();
        let message = |path: &Path| read_or_create(path).unwrap_err().to_string();

        let nowhere = message(&folder.path("missing/session.key"));
        assert!(nowhere.contains("cannot be made"), "{nowhere}");
        assert!(nowhere.contains("oten keygen session"), "{nowhere}");
        // As it is with a file this user may not read, which root always may.
        let unreadable = message(&folder.path(""));
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
        assert!(unreadable.contains("oten keygen session"), "{unreadable}");

        fs::write(folder.path(NAME), "\n").unwrap();
        let empty = message(&folder.path(NAME));
        assert!(empty.contains("is empty. Remove the file"), "{empty}");
        assert!(
            empty.contains(folder.path(NAME).to_str().unwrap()),
            "{empty}"
        );
    }
}
