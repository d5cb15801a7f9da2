use axum_oten::{Config, config::Environment};
use tempfile::TempDir;

use super::*;

/// The names of the files in a folder, sorted.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_created_once_and_leaves_no_other_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.pem");
    create(&path, "first").unwrap();
    let error = create(&path, "second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    assert_eq!(names(&folder), ["new.pem"]);
}

#[test]
fn a_failed_creation_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    assert!(create(&folder.path().join("missing/new.pem"), "text").is_err());
    fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(create(&folder.path().join("taken"), "text").is_err());
    assert_eq!(names(&folder), ["taken"]);
}

#[test]
fn a_file_is_created_without_hard_links() {
    for kind in [ErrorKind::PermissionDenied, ErrorKind::Unsupported] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new.pem");
        let create = |text| create_with(&path, text, |_, _| Err(kind.into()), sync_folder);
        create("first").unwrap();
        assert_eq!(
            create("second").unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(names(&folder), ["new.pem"]);
        #[cfg(unix)]
        assert!(!is_open_to_others(&path));
    }
    // Any other error is returned.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.pem");
    let full = |_: NamedTempFile, _: &Path| Err(ErrorKind::StorageFull.into());
    assert!(create_with(&path, "text", full, sync_folder).is_err());
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn a_file_is_created_in_a_folder_that_cannot_be_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.pem");
    let persist = |file: NamedTempFile, path: &Path| Ok(file.persist_noclobber(path)?);
    let unreadable = |_: &Path| Err(ErrorKind::PermissionDenied.into());
    create_with(&path, "text", persist, unreadable).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_new_file_and_a_link_is_not_followed() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.pem");
    create(&path, "text").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    symlink(&target, &link).unwrap();
    assert!(create(&link, "text").is_err());
    assert!(!target.exists());
}

#[test]
fn l7_a_session_key_is_generated_once_and_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("session.key");
    let key = read_or_create_session_key(&path).unwrap();
    assert_eq!(read_or_create_session_key(&path).unwrap(), key);
    let other = folder.path().join("other.key");
    assert_ne!(read_or_create_session_key(&other).unwrap(), key);

    let config = Config::builder()
        .environment(Environment::Sandbox)
        .client_id("my-site")
        .client_secret(Secret::random())
        .redirect_uri("http://localhost:3000/callback")
        .session_key(key);
    assert_eq!(config.build().unwrap().session_keys().len(), 1);
}

#[test]
fn l7_an_existing_session_key_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("session.key");
    for (text, key) in [("new,old\n", "new,old"), ("not a key", "not a key")] {
        fs::write(&path, text).unwrap();
        assert_eq!(read_or_create_session_key(&path).unwrap().expose(), key);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[cfg(unix)]
#[test]
fn l7_only_the_owner_may_read_a_new_session_key() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("session.key");
    read_or_create_session_key(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(!is_open_to_others(&path));
    for mode in [0o640, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(is_open_to_others(&path), "{mode:o}");
    }
}

#[test]
fn l7_the_error_for_an_unusable_session_key_says_how_to_fix_it() {
    let folder = TempDir::new().unwrap();
    let message = |path: &Path| read_or_create_session_key(path).unwrap_err().to_string();

    let missing = message(&folder.path().join("missing/session.key"));
    assert!(missing.contains("cannot be created"), "{missing}");
    assert!(missing.contains("oten keygen session"), "{missing}");
    // A folder cannot be read as a file by any user; root could read a file with mode 0.
    let unreadable = message(folder.path());
    assert!(unreadable.contains("cannot be read"), "{unreadable}");
    assert!(unreadable.contains("oten keygen session"), "{unreadable}");

    let path = folder.path().join("session.key");
    fs::write(&path, "\n").unwrap();
    let empty = message(&path);
    assert!(empty.contains("is empty. Remove the file"), "{empty}");
    assert!(empty.contains(path.to_str().unwrap()), "{empty}");
}
