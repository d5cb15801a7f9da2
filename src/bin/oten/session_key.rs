use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use axum_oten::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use thiserror::Error;
use zeroize::Zeroizing;

const CURE: &str = "set OTEN_SESSION_KEY to the output of `openssl rand -base64 32`";

/// Why there is no key file to use.
#[derive(Debug, Error)]
pub(crate) enum SessionKeyError {
    #[error("the session key {} cannot be read: {error}. Let this user read it, or {CURE}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "the session key {} cannot be made: {error}. Let this user write into its folder, or {CURE}",
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
pub(crate) fn read_or_imagine(path: &Path) -> Result<Secret, SessionKeyError> {
    if path.exists() {
        return read(path);
    }
    new_key().map_err(|error| SessionKeyError::Create {
        path: path.to_owned(),
        error,
    })
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
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    write_key(&mut file).inspect_err(|_| {
        // Half a key would be in the way of the next start. If this fails, that start says so.
        let _ = fs::remove_file(path);
    })
}

fn write_key(file: &mut File) -> io::Result<Secret> {
    let key = new_key()?;
    let line = Zeroizing::new(key.expose().to_owned() + "\n");
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    Ok(key)
}

fn new_key() -> io::Result<Secret> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(io::Error::other)?;
    Ok(Secret::from(BASE64_STANDARD.encode(*bytes)))
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

    /// A folder that goes when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = format!("oten-session-key-{}", Secret::random().expose());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn key(&self) -> PathBuf {
            self.0.join("session.key")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn l7_a_key_is_made_once_and_kept() {
        let folder = Folder::new();
        let made = read_or_create(&folder.key()).unwrap();
        assert_eq!(read_or_create(&folder.key()).unwrap(), made);
        let other = Folder::new();
        assert_ne!(read_or_create(&other.key()).unwrap(), made);

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
            fs::write(folder.key(), text).unwrap();
            assert_eq!(read_or_create(&folder.key()).unwrap().expose(), key);
            assert_eq!(fs::read_to_string(folder.key()).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn l7_only_its_owner_may_read_a_new_key() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = Folder::new();
        read_or_create(&folder.key()).unwrap();
        assert_eq!(fs::metadata(folder.key()).unwrap().mode() & 0o777, 0o600);
        assert!(!is_open_to_others(&folder.key()));
        for mode in [0o640, 0o604] {
            fs::set_permissions(folder.key(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(is_open_to_others(&folder.key()), "{mode:o}");
        }
    }

    #[test]
    fn l7_a_file_that_cannot_be_used_comes_with_a_cure() {
        let folder = Folder::new();
        let message = |path: &Path| read_or_create(path).unwrap_err().to_string();

        let nowhere = message(&folder.0.join("missing/session.key"));
        assert!(nowhere.contains("cannot be made"), "{nowhere}");
        assert!(nowhere.contains("openssl rand -base64 32"), "{nowhere}");
        // As it is with a file this user may not read, which root always may.
        let unreadable = message(&folder.0);
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
        assert!(
            unreadable.contains("openssl rand -base64 32"),
            "{unreadable}"
        );

        fs::write(folder.key(), "\n").unwrap();
        let empty = message(&folder.key());
        assert!(empty.contains("is empty. Remove the file"), "{empty}");
        assert!(empty.contains(folder.key().to_str().unwrap()), "{empty}");
    }
}
