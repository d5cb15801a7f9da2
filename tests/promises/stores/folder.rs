use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder of a test's own, removed with all that is in it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let folder = Self::unused();
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// The path of a folder that is not there yet.
    pub(super) fn unused() -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "axum-oten-stores-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        std::env::temp_dir().join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
