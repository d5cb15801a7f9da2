use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use axum::Router;
use axum_oten::{
    Secret,
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::Ed25519PublicKey,
};
use axum_server::Handle;
use clap::Args;
use url::Url;

use crate::{
    announce::announce,
    cli::address,
    client_kind::ClientKind,
    demo::reachable,
    failure::Failure,
    listen::DRAIN_TIMEOUT,
    stop::Stop,
    tls::{self, Identity},
};

/// What `oten emulator` can be told.
#[derive(Debug, Args)]
pub(crate) struct EmulatorArguments {
    /// Listen on this address; port 0 takes a free port
    ///
    /// Whoever reaches it can sign in as anybody: the emulator is for development and tests.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000", value_parser = address)]
    listen: SocketAddr,
    /// Be this issuer; by default `https://localhost:PORT` with a certificate, else
    /// `http://ADDRESS`
    ///
    /// Port 0 in it stands for the port that is listened on.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Speak https with this certificate (PEM), those it was signed with after it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How the client is registered
    #[arg(long, value_enum, default_value_t)]
    client: ClientKind,
    /// The client's id
    #[arg(long, value_name = "ID", default_value = "emulated")]
    client_id: String,
    /// The client's secret; by default a new one, which is told
    ///
    /// Other users of this machine see it in the list of processes; a file is better.
    #[arg(long, value_name = "SECRET", conflicts_with = "client_secret_file")]
    client_secret: Option<String>,
    /// The file that holds the client's secret and nothing else
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The file with the public key (PEM) that requests are signed with, for `--client eddsa`
    #[arg(long, value_name = "FILE", required_if_eq("client", "eddsa"))]
    public_key: Option<PathBuf>,
    /// A redirect URI of the client's; may be given several times
    #[arg(
        long,
        value_name = "URL",
        default_values = ["http://localhost:3000/callback", "http://127.0.0.1:3000/callback"]
    )]
    redirect_uri: Vec<String>,
    /// Where the browser may go after signing out; may be given several times
    ///
    /// With it the emulator announces its end-session endpoint, which Oten does not document.
    #[arg(long, value_name = "URL")]
    post_logout_redirect_uri: Vec<String>,
}

/// Runs the emulator alone until told to stop.
pub(crate) async fn run(arguments: EmulatorArguments) -> Result<(), Failure> {
    let client = client(&arguments)?;
    let identity = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::read(certificate, key)?),
        _ => None,
    };
    let failed = |error| Failure::Listen {
        address: arguments.listen,
        error,
    };
    let listener = TcpListener::bind(arguments.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // Before anybody is told that we are here: whoever was told may stop us.
    let stop = Stop::new().map_err(Failure::Runtime)?;
    let issuer = issuer(&arguments, address)?;
    let emulator = emulator(&arguments, client.registered, issuer)?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches the emulator can sign in as anybody");
    }
    tell(&arguments, &emulator, client.new_secret.as_ref());
    serve(listener, identity, routes(&emulator), stop).await
}

fn issuer(arguments: &EmulatorArguments, address: SocketAddr) -> Result<Url, EmulatorError> {
    let port = address.port();
    let text = match &arguments.issuer {
        Some(issuer) => issuer.clone(),
        None if arguments.tls_cert.is_some() => format!("https://localhost:{port}"),
        None => format!("http://{}", reachable(address)),
    };
    let mut issuer = Url::parse(&text).map_err(|_| EmulatorError::Issuer)?;
    if issuer.port() == Some(0) {
        issuer
            .set_port(Some(port))
            .map_err(|()| EmulatorError::Issuer)?;
    }
    Ok(issuer)
}

/// A client to register, and its secret if nobody knows it yet.
struct Client {
    registered: EmulatedClient,
    new_secret: Option<Secret>,
}

fn client(arguments: &EmulatorArguments) -> Result<Client, Failure> {
    let has_secret = arguments.client_secret.is_some() || arguments.client_secret_file.is_some();
    if arguments.client == ClientKind::Public && has_secret {
        return Err(Failure::Combination(
            "a public client has no secret: leave out `--client-secret`, or take another \
             `--client`",
        ));
    }
    if arguments.client != ClientKind::Eddsa && arguments.public_key.is_some() {
        return Err(Failure::Combination(
            "`--public-key` is for a client that signs with it: add `--client eddsa`",
        ));
    }
    let id = &arguments.client_id;
    if arguments.client == ClientKind::Public {
        return Ok(Client {
            registered: EmulatedClient::public(id),
            new_secret: None,
        });
    }
    let (secret, is_new) = match (&arguments.client_secret, &arguments.client_secret_file) {
        (Some(secret), _) => (Secret::from(secret.as_str()), false),
        (None, Some(file)) => (Secret::from(read(file)?.trim_end()), false),
        (None, None) => (Secret::random(), true),
    };
    let mut registered = EmulatedClient::confidential(id, secret.expose());
    if let Some(file) = &arguments.public_key {
        let key = Ed25519PublicKey::from_pem(&read(file)?).map_err(|error| Failure::PublicKey {
            path: file.clone(),
            error,
        })?;
        registered = registered.request_object_key(&key.to_jwk());
    }
    Ok(Client {
        registered,
        new_secret: is_new.then_some(secret),
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::File {
        path: path.to_owned(),
        error,
    })
}

fn emulator(
    arguments: &EmulatorArguments,
    mut client: EmulatedClient,
    issuer: Url,
) -> Result<Emulator, Failure> {
    for uri in &arguments.redirect_uri {
        client = client.redirect_uri(uri);
    }
    for uri in &arguments.post_logout_redirect_uri {
        client = client.post_logout_redirect_uri(uri);
    }
    let mut builder = Emulator::builder().client(client);
    if !arguments.post_logout_redirect_uri.is_empty() {
        builder = builder.advertise_end_session();
    }
    Ok(builder.mount(issuer)?)
}

/// The emulator's routes where its issuer says they are.
fn routes(emulator: &Emulator) -> Router {
    let after_scheme = emulator.issuer().split_once("://");
    let path = after_scheme.and_then(|(_, rest)| rest.split_once('/'));
    match path {
        Some((_, path)) => Router::new().nest(&format!("/{path}"), emulator.router()),
        None => emulator.router(),
    }
}

/// Says where it is, and what a site has to set.
fn tell(arguments: &EmulatorArguments, emulator: &Emulator, new_secret: Option<&Secret>) {
    let names: Vec<&str> = emulator.users().map(|(name, _)| name).collect();
    let mut settings = vec![
        format!("OTEN_ISSUER={}", emulator.issuer()),
        format!("OTEN_CLIENT_ID={}", arguments.client_id),
    ];
    match new_secret {
        _ if arguments.client == ClientKind::Public => {
            settings.push("OTEN_CLIENT_TYPE=public".to_owned());
        }
        Some(secret) => settings.push(format!("OTEN_CLIENT_SECRET={}", secret.expose())),
        None => settings.push("OTEN_CLIENT_SECRET, as it was given".to_owned()),
    }
    if arguments.client == ClientKind::Eddsa {
        settings.push("OTEN_JAR=EdDSA".to_owned());
        settings.push("OTEN_JAR_KEY_FILE, the private half of the public key".to_owned());
    }
    if arguments.tls_cert.is_some() {
        settings.push("OTEN_CA_FILE, if the system does not trust the certificate".to_owned());
    }
    let mut redirect_uris = arguments.redirect_uri.iter();
    settings.extend(
        redirect_uris
            .next()
            .map(|uri| format!("OTEN_REDIRECT_URI={uri}")),
    );
    settings.extend(redirect_uris.map(|uri| format!("  or {uri}")));
    let users = format!("{}; nobody has a password", names.join(", "));
    let mut lines = vec![("Issuer", emulator.issuer()), ("Users", &users)];
    let labels = std::iter::once("Set").chain(std::iter::repeat(""));
    lines.extend(labels.zip(settings.iter().map(String::as_str)));
    lines.push(("Stop", "Ctrl-C"));
    announce("Oten emulator, for development and tests", &lines);
}

/// Serves until told to stop, then lets the answers under way finish.
async fn serve(
    listener: TcpListener,
    identity: Option<Identity>,
    app: Router,
    mut stop: Stop,
) -> Result<(), Failure> {
    let handle = Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            stop.signalled().await;
            tracing::info!("stopping");
            handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
        }
    });
    let app = app.into_make_service();
    let served = if let Some(identity) = identity {
        let server = axum_server::from_tcp_rustls(listener, identity);
        let server = server.map_err(Failure::Runtime)?;
        server.handle(handle).serve(app).await
    } else {
        let server = axum_server::from_tcp(listener);
        let server = server.map_err(Failure::Runtime)?;
        server.handle(handle).serve(app).await
    };
    served.map_err(Failure::Runtime)
}
