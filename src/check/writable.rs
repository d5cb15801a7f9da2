//! A file that is not there yet, and must not be made by whoever only looks.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::secret::Secret;

/// Tries whether this user could make the file, with its folder, by making another one there, which
/// is removed again.
pub(super) fn can_be_made(path: &Path) -> io::Result<()> {
    let probe = existing_folder(path).join(format!(".oten-{}", Secret::random().expose()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&probe)?;
    fs::remove_file(probe)
}

/// The folder of the file, or the one that it would be made in.
fn existing_folder(path: &Path) -> PathBuf {
    let mut folders = path.ancestors().skip(1);
    match folders.find(|folder| *folder == Path::new("") || folder.exists()) {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_and_nothing_is_left() {
        let folder = std::env::temp_dir().join(Secret::random().expose());
        fs::create_dir(&folder).unwrap();
        let names = || fs::read_dir(&folder).unwrap().count();
        can_be_made(&folder.join("a.db")).unwrap();
        can_be_made(&folder.join("b/c/a.db")).unwrap();
        assert_eq!(names(), 0);
        // What is in the way is no folder.
        fs::write(folder.join("file"), "").unwrap();
        assert!(can_be_made(&folder.join("file/a.db")).is_err());
        assert!(can_be_made(&folder.join("file/b/a.db")).is_err());
        assert_eq!(names(), 1);
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(existing_folder("a.db".as_ref()), Path::new("."));
    }
}
