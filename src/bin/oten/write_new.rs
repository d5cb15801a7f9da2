use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use axum_oten::Secret;

/// Writes a file that only its owner may read: whole or not at all, and never over another, for
/// which the error is [`AlreadyExists`](io::ErrorKind::AlreadyExists).
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    create_by(path, text, |half, path| fs::hard_link(half, path), sync)
}

fn create_by(
    path: &Path,
    text: &str,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
    sync: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let half = folder.join(format!(".oten-{}", Secret::random().expose()));
    // A link, unlike a renaming, replaces nothing.
    let created = write(&half, text).and_then(|()| match link(&half, path) {
        Err(error) if knows_no_links(&error) => write(path, text),
        linked => linked,
    });
    // Under this name it must not stay; if it does, nobody but the owner can read it.
    let _ = fs::remove_file(&half);
    created?;
    // The file is there. A folder that may be written but not read cannot be asked for more.
    let _ = sync(&folder);
    Ok(())
}

/// As file systems without hard links answer: EPERM, EOPNOTSUPP or ENOSYS.
fn knows_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, Unsupported};
    [PermissionDenied, Unsupported].contains(&error.kind())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Ours, as it was made just now.
        let _ = fs::remove_file(path);
    }
    written
}

/// A name is kept over a power cut once its folder is.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::Folder;

    #[test]
    fn a_file_is_written_once_and_leaves_nothing_beside_it() {
        let folder = Folder::new();
        let path = folder.path("new.pem");
        create(&path, "first").unwrap();
        let error = create(&path, "second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(folder.names(), ["new.pem"]);
    }

    #[test]
    fn nothing_is_left_of_a_file_that_cannot_be_made() {
        let folder = Folder::new();
        assert!(create(&folder.path("missing/new.pem"), "text").is_err());
        // A name that is taken by a folder.
        fs::create_dir(folder.path("taken")).unwrap();
        assert!(create(&folder.path("taken"), "text").is_err());
        assert_eq!(folder.names(), ["taken"]);
    }

    #[test]
    fn a_file_is_written_where_there_are_no_links() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported] {
            let folder = Folder::new();
            let path = folder.path("new.pem");
            let create = |text| create_by(&path, text, |_, _| Err(kind.into()), sync);
            create("first").unwrap();
            assert_eq!(
                create("second").unwrap_err().kind(),
                io::ErrorKind::AlreadyExists
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), "first");
            assert_eq!(folder.names(), ["new.pem"]);
        }
        // Any other trouble is one.
        let folder = Folder::new();
        let path = folder.path("new.pem");
        let full = |_: &Path, _: &Path| Err(io::ErrorKind::StorageFull.into());
        assert!(create_by(&path, "text", full, sync).is_err());
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_made_is_made_though_its_folder_cannot_be_read() {
        let folder = Folder::new();
        let path = folder.path("new.pem");
        let unreadable = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        create_by(
            &path,
            "text",
            |half, path| fs::hard_link(half, path),
            unreadable,
        )
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_it_whatever_a_link_says() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let folder = Folder::new();
        let path = folder.path("new.pem");
        create(&path, "text").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        let (link, elsewhere) = (folder.path("link"), folder.path("elsewhere"));
        symlink(&elsewhere, &link).unwrap();
        assert!(create(&link, "text").is_err());
        assert!(!elsewhere.exists());
    }
}
