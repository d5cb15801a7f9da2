use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use axum::Router;
use axum_oten::{
    Secret,
    check::reachable,
    emulator::{EmulatedClient, Emulator, EmulatorError, Preset},
    jose::Ed25519PublicKey,
};
use clap::{Args, ValueEnum};
use url::Url;

use super::settings::parse_address;
use crate::{
    control::{Control, KEPT_EXCHANGES},
    error::Error,
    server::{Server, tls},
    terminal,
};

#[derive(Debug, Args)]
pub(crate) struct EmulatorArgs {
    /// Listen on this address; port 0 selects a free port
    ///
    /// The emulator signs in any user without a password. Use it for development and tests only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000", value_parser = parse_address)]
    listen: SocketAddr,
    /// Use this issuer; defaults to `http://ADDRESS`, or `https://localhost:PORT` with a certificate
    ///
    /// Port 0 in the URL is replaced with the port that the emulator listens on.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Serve https with this certificate (PEM), followed by its intermediate certificates
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Imitate the form of another provider: its endpoints, metadata, keys and tokens
    ///
    /// A confidential client is then registered to send unsigned requests.
    #[arg(long, value_enum)]
    preset: Option<PresetName>,
    /// How the client is registered
    #[arg(long, value_enum, default_value_t)]
    client: ClientKind,
    /// The client's ID
    #[arg(long, value_name = "ID", default_value = "emulated")]
    client_id: String,
    /// The client's secret; defaults to a new one, which is printed
    ///
    /// Other users of this machine see it in the list of processes. Prefer a file.
    #[arg(long, value_name = "SECRET", conflicts_with = "client_secret_file")]
    client_secret: Option<String>,
    /// The file that contains only the client's secret
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The file with the public key (PEM) that verifies signed requests, for `--client eddsa`
    #[arg(long, value_name = "FILE", required_if_eq("client", "eddsa"))]
    public_key: Option<PathBuf>,
    /// A redirect URI of the client; may be repeated
    #[arg(
        long,
        value_name = "URL",
        default_values = ["http://localhost:3000/callback", "http://127.0.0.1:3000/callback"]
    )]
    redirect_uri: Vec<String>,
    /// A URL that the browser may return to after signing out; may be repeated
    ///
    /// With this option the emulator announces an end-session endpoint. Oten's documentation does not
    /// mention one.
    #[arg(long, value_name = "URL")]
    post_logout_redirect_uri: Vec<String>,
    /// The URL of the site that accepts logout tokens
    ///
    /// With this option the emulator announces back-channel logout, and its control page ends the sessions
    /// of a user at the site, too. Oten's documentation does not mention it.
    #[arg(long, value_name = "URL")]
    back_channel_logout_uri: Option<String>,
}

/// A provider other than Oten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetName {
    /// Keycloak
    Keycloak,
    /// Microsoft Entra ID
    Entra,
    /// Google
    Google,
    /// Zitadel
    Zitadel,
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Keycloak => Self::Keycloak,
            PresetName::Entra => Self::Entra,
            PresetName::Google => Self::Google,
            PresetName::Zitadel => Self::Zitadel,
        }
    }
}

/// How the emulator registers a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// Confidential; signs its requests with its secret
    #[default]
    Hs256,
    /// Confidential; signs its requests with an Ed25519 key
    Eddsa,
    /// Public; has no secret and does not sign its requests
    Public,
}

/// Runs the emulator alone until a signal stops it.
pub(crate) async fn run(args: EmulatorArgs) -> Result<(), Error> {
    let (client, secret_setting) = client(&args)?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let server = Server::bind(args.listen)?.with_tls(tls);
    let address = server.address();
    let issuer = issuer(&args, address)?;
    let path = issuer.path().trim_end_matches('/').to_owned();
    let mut emulator = Emulator::builder().client(client);
    if !args.post_logout_redirect_uri.is_empty() {
        emulator = emulator.advertise_end_session();
    }
    if args.back_channel_logout_uri.is_some() {
        emulator = emulator.advertise_back_channel_logout();
    }
    if let Some(preset) = args.preset {
        emulator = emulator.preset(preset.into());
    }
    let emulator = emulator.record_exchanges(KEPT_EXCHANGES).mount(issuer)?;
    let control = Control::new(emulator.clone(), &args.client_id, &path);
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "the emulator signs in any user without a password, and its address is not local"
        );
    }
    print_banner(&args, &emulator, secret_setting);
    let routes = emulator.router().merge(control.routes());
    let app = match path.as_str() {
        "" => routes,
        path => Router::new().nest(path, routes),
    };
    // No load balancer sends requests to an emulator, and it has no work to finish.
    server.serve(app, Duration::ZERO, async {}).await
}

fn issuer(args: &EmulatorArgs, address: SocketAddr) -> Result<Url, EmulatorError> {
    let port = address.port();
    let text = match &args.issuer {
        Some(issuer) => issuer.clone(),
        None if args.tls_cert.is_some() => format!("https://localhost:{port}"),
        None => format!("http://{}", reachable(address)),
    };
    let mut issuer = Url::parse(&text).map_err(|_| EmulatorError::Issuer)?;
    if issuer.port() == Some(0) {
        // A URL that has a port can get another one.
        let _ = issuer.set_port(Some(port));
    }
    Ok(issuer)
}

/// The client to register, and the setting by which a site authenticates as it.
fn client(args: &EmulatorArgs) -> Result<(EmulatedClient, String), Error> {
    let read = |file| fs::read_to_string(file).map_err(Error::read_file(file));
    let given = match (&args.client_secret, &args.client_secret_file) {
        (Some(secret), _) => Some(Secret::from(secret.as_str())),
        (None, Some(file)) => Some(Secret::from(read(file)?.trim_end())),
        (None, None) => None,
    };
    let id = &args.client_id;
    let (mut client, setting) = match (args.client, given) {
        (ClientKind::Public, None) => (
            EmulatedClient::public(id),
            "OTEN_CLIENT_TYPE=public".to_owned(),
        ),
        (ClientKind::Public, Some(_)) => {
            return Err(Error::Arguments(
                "a public client has no secret: remove the option with the secret, or choose \
                 another `--client`",
            ));
        }
        (_, Some(secret)) => (
            EmulatedClient::confidential(id, secret.expose()),
            "OTEN_CLIENT_SECRET, as passed to this command".to_owned(),
        ),
        (_, None) => {
            let secret = Secret::random();
            (
                EmulatedClient::confidential(id, secret.expose()),
                format!("OTEN_CLIENT_SECRET={}", secret.expose()),
            )
        }
    };
    if let Some(path) = &args.public_key {
        if args.client != ClientKind::Eddsa {
            return Err(Error::Arguments(
                "`--public-key` requires `--client eddsa`. Add it, or remove `--public-key`",
            ));
        }
        let key = Ed25519PublicKey::from_pem(&read(path)?).map_err(|error| Error::PublicKey {
            path: path.clone(),
            error,
        })?;
        client = client.request_object_key(&key.to_jwk());
    }
    if args.preset.is_some() && args.client == ClientKind::Hs256 {
        client = client.insecure_without_request_object();
    }
    for uri in &args.redirect_uri {
        client = client.redirect_uri(uri);
    }
    for uri in &args.post_logout_redirect_uri {
        client = client.post_logout_redirect_uri(uri);
    }
    if let Some(uri) = &args.back_channel_logout_uri {
        client = client.back_channel_logout_uri(uri);
    }
    Ok((client, setting))
}

/// Prints the settings of a site that uses this emulator.
fn print_banner(args: &EmulatorArgs, emulator: &Emulator, secret_setting: String) {
    let mut settings = vec![
        format!("OTEN_ISSUER={}", emulator.issuer()),
        format!("OTEN_CLIENT_ID={}", args.client_id),
        secret_setting,
    ];
    if args.client == ClientKind::Eddsa {
        settings.push("OTEN_JAR=EdDSA".to_owned());
        settings.push("OTEN_JAR_KEY_FILE, the file with the private key".to_owned());
    }
    let preset = args.preset.map(Preset::from);
    for (name, value) in preset.map_or(&[][..], Preset::site_settings) {
        // Only a confidential client signs its requests otherwise.
        if *name != "jar" || args.client == ClientKind::Hs256 {
            settings.push(format!("OTEN_{}={value}", name.to_ascii_uppercase()));
        }
    }
    if args.tls_cert.is_some() {
        settings.push("OTEN_CA_FILE, if the system does not trust the certificate".to_owned());
    }
    for (index, uri) in args.redirect_uri.iter().enumerate() {
        let name = if index == 0 {
            "OTEN_REDIRECT_URI="
        } else {
            "  or "
        };
        settings.push(format!("{name}{uri}"));
    }
    let users = describe_users(emulator);
    let control = format!("{}/control, to make the provider fail", emulator.issuer());
    let mut lines = vec![
        ("Issuer", emulator.issuer()),
        ("Users", &users),
        ("Control", &control),
    ];
    let labels = std::iter::once("Set").chain(std::iter::repeat(""));
    lines.extend(labels.zip(settings.iter().map(String::as_str)));
    lines.push(("Stop", "Ctrl-C"));
    terminal::print_banner("Oten emulator, for development and tests", &lines);
}

/// Lists the users that can sign in.
pub(super) fn describe_users(emulator: &Emulator) -> String {
    let names: Vec<&str> = emulator.users().map(|user| user.name).collect();
    format!("{}; no passwords", names.join(", "))
}
