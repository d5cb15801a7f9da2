use std::path::PathBuf;

use axum_oten::jose::Ed25519KeyPair;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    output::{hint, print},
    session_key, write_new,
};

/// What `oten keygen` can be told.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Make the key that signs authorization requests, and print what to register of it
    ///
    /// On stdout: the public key as PEM, the same as a JWK in one line, and its `kid` in a line.
    Ed25519 {
        /// Write the private key to this new file
        #[arg(long, value_name = "FILE", default_value = "oten-jar.pem")]
        out: PathBuf,
    },
    /// Make the key that seals tokens in the session store, and print it
    Session {
        /// Write it to this new file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Makes a key.
pub(crate) fn run(arguments: Keygen) -> Result<(), Failure> {
    match arguments.kind {
        Kind::Ed25519 { out } => ed25519(out),
        Kind::Session { out } => session(out),
    }
}

fn ed25519(out: PathBuf) -> Result<(), Failure> {
    let pair = Ed25519KeyPair::generate();
    let file = out.display().to_string();
    create(out, &pair.to_pem())?;
    hint(&format!(
        "The private key is in {file}. Register the public key with Oten, as PEM or as a JWK:\n"
    ));
    let (pem, jwk, key_id) = (pair.public_pem(), pair.public_jwk(), pair.key_id());
    print(&format!("{pem}{jwk}\n{key_id}\n"))?;
    hint(&format!(
        "\nThe last line is the key's id (`kid`); if Oten gives it another, set OTEN_JAR_KEY_ID to \
         that.\nThen set OTEN_JAR=EdDSA and OTEN_JAR_KEY_FILE={file}."
    ));
    Ok(())
}

fn session(out: Option<PathBuf>) -> Result<(), Failure> {
    let key = session_key::generate();
    let line = Zeroizing::new(format!("{}\n", key.expose()));
    match out {
        None => {
            print(&line)?;
            hint(
                "Whoever has this key can read the tokens in the store. Set OTEN_SESSION_KEY to it.",
            );
        }
        Some(out) => {
            let file = out.display().to_string();
            create(out, &line)?;
            hint(&format!(
                "The key is in {file}; whoever has it can read the tokens in the store. Set \
                 OTEN_SESSION_KEY_FILE={file}."
            ));
        }
    }
    Ok(())
}

fn create(path: PathBuf, text: &str) -> Result<(), Failure> {
    write_new::create(&path, text).map_err(|error| Failure::NewFile { path, error })
}
