use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A temporary directory that is removed when it is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let dir = Self::unused();
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    /// Returns the path of a directory that does not exist yet.
    pub(super) fn unused() -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "axum-oten-stores-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        std::env::temp_dir().join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
