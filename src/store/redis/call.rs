use std::fmt;

use ::redis::{Cmd, Pipeline, ToRedisArgs, cmd, pipe};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::secret::hex;

/// A Lua script. Servers keep the scripts they have executed, and find them by their hash.
pub(super) struct Script {
    code: String,
    hash: String,
}

impl Script {
    pub(super) fn new(parts: &[&str]) -> Self {
        let code = parts.concat();
        let hash = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, code.as_bytes()).as_ref());
        Self { code, hash }
    }

    pub(super) fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&self.code);
        load
    }
}

/// A command about one key, so that it is executed by the one node of a cluster that has the key.
pub(super) struct Call {
    pub(super) key: String,
    pub(super) command: Cmd,
    /// The script that the command executes.
    pub(super) script: Option<&'static Script>,
}

impl Call {
    /// Reads a key.
    pub(super) fn get(key: String) -> Self {
        let mut get = cmd("GET");
        get.arg(&key);
        Self {
            key,
            command: get,
            script: None,
        }
    }

    /// Executes a script, whose arguments are added by [`Self::arg`].
    pub(super) fn script(script: &'static Script, key: String) -> Self {
        let mut call = cmd("EVALSHA");
        call.arg(&script.hash).arg(1).arg(&key);
        Self {
            key,
            command: call,
            script: Some(script),
        }
    }

    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// Returns the command as a pipeline for the node that a key is being moved to, which executes it
    /// only directly after `ASKING`.
    pub(super) fn asking(&self) -> Pipeline {
        let mut pipeline = pipe();
        if let Some(script) = self.script {
            pipeline.add_command(script.load());
        }
        pipeline.cmd("ASKING");
        pipeline.add_command(self.command.clone());
        pipeline
    }
}

/// Omits the arguments, which contain records.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
