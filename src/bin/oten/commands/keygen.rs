use std::path::PathBuf;

use axum_oten::jose::Ed25519KeyPair;
use clap::{Args, Subcommand};

use crate::{
    error::Error,
    key_file,
    terminal::{print, print_note},
};

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    #[command(subcommand)]
    kind: KeyKind,
}

#[derive(Debug, Subcommand)]
enum KeyKind {
    /// Generate the key that signs authorization requests, and print its public half
    ///
    /// Prints the public key as PEM, as a JWK on one line, and its `kid` on the last line.
    Ed25519 {
        /// Write the private key to this new file
        #[arg(long, value_name = "FILE", default_value = "oten-jar.pem")]
        out: PathBuf,
    },
    /// Generate the key that encrypts tokens in the session store, and print it
    Session {
        /// Write the key to this new file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) fn run(args: KeygenArgs) -> Result<(), Error> {
    match args.kind {
        KeyKind::Ed25519 { out } => ed25519(out),
        KeyKind::Session { out } => session(out),
    }
}

fn ed25519(out: PathBuf) -> Result<(), Error> {
    let pair = Ed25519KeyPair::generate();
    let file = out.display().to_string();
    create(out, &pair.to_pem())?;
    print_note(&format!(
        "The private key is in {file}. Register the public key with Oten, as PEM or as a JWK:\n"
    ));
    let (pem, jwk, key_id) = (pair.public_pem(), pair.public_jwk(), pair.key_id());
    print(&format!("{pem}{jwk}\n{key_id}\n"))?;
    print_note(&format!(
        "\nThe last line is the key's ID (`kid`). If Oten assigns another, set OTEN_JAR_KEY_ID to \
         it.\nThen set OTEN_JAR=EdDSA and OTEN_JAR_KEY_FILE={file}."
    ));
    Ok(())
}

fn session(out: Option<PathBuf>) -> Result<(), Error> {
    let line = key_file::format_line(&key_file::generate_session_key());
    let Some(out) = out else {
        print(&line)?;
        print_note(
            "Set OTEN_SESSION_KEY to this key, and keep it secret: it decrypts the tokens in the \
             session store.",
        );
        return Ok(());
    };
    let file = out.display().to_string();
    create(out, &line)?;
    print_note(&format!(
        "The key is in {file}. Keep it secret: it decrypts the tokens in the session store.\nSet \
         OTEN_SESSION_KEY_FILE={file}."
    ));
    Ok(())
}

fn create(path: PathBuf, text: &str) -> Result<(), Error> {
    key_file::create(&path, text).map_err(|error| Error::CreateFile { path, error })
}
