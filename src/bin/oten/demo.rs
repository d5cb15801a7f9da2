use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum_oten::{
    Config, MemoryStore, Oten, Secret,
    config::{ClientType, ConfigBuilder, Jar},
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::Ed25519KeyPair,
};

use crate::{
    announce::announce,
    canonical_origin::only_at,
    cli,
    client_kind::ClientKind,
    failure::Failure,
    listen::Listener,
    metrics::Metrics,
    site::{self, SecurityHeaders, Site, TestUser},
};

/// Where the emulator hangs, on the site's own port: one published port is enough.
const EMULATOR_PATH: &str = "/oten";

/// Runs the site together with an emulator until told to stop.
pub(crate) async fn run(arguments: cli::Demo) -> Result<(), Failure> {
    let mut builder = configuration(&arguments)?;
    let address = match arguments.listen {
        None => listen_variable()?,
        address => address,
    };
    if let Some(address) = address {
        builder = builder.listen(address);
    }
    if let Some(address) = arguments.metrics_listen {
        builder = builder.metrics_listen(address);
    }
    // Whole before the address is taken: everything that is wrong with it is told at once.
    let planned = builder.clone().build()?;
    check_paths(&planned)?;
    let listener = Listener::bind(planned.listen()).await?;
    let metrics = Metrics::bind(planned.metrics_listen()).await?;
    let origin = format!("http://{}", reachable(listener.address()));
    let issuer = format!("{origin}{EMULATOR_PATH}");
    let config = builder
        .issuer(&issuer)
        .redirect_uri(format!("{origin}{}", planned.redirect_uri().path()))
        .build()?;

    let emulator = emulator(&config, &issuer)?;
    let users: Vec<TestUser> = emulator.users().map(TestUser::from).collect();
    let names: Vec<&str> = users.iter().map(|user| user.name).collect();
    let (names, client) = (names.join(", "), describe(&config));
    let site = Arc::new(Site::new(config.base_path(), users));
    let headers = SecurityHeaders::of(&config);
    let mut seen_at = config.redirect_uri().clone();
    seen_at.set_path(&site.path("/"));
    let oten = Oten::new(config, MemoryStore::default())?;
    let app = site::routes(&oten, &site, listener.stopping());
    let app = app.nest(EMULATOR_PATH, emulator.router());
    announce(
        "Oten demo site",
        &[
            ("Open", seen_at.as_str()),
            ("Users", &format!("{names}; nobody has a password")),
            ("Client", client),
            ("Provider", &format!("an emulated Oten at {issuer}")),
            ("Metrics", &metrics.url()),
            ("Stop", "Ctrl-C"),
        ],
    );
    let app = only_at(seen_at, &site, app);
    let app = site::harden(app, &oten, site, headers);
    // Nobody but the visitors themselves sends requests here.
    let served = listener.serve(app, &oten, Duration::ZERO);
    metrics.beside(served).await
}

/// The emulator's path is not the site's.
fn check_paths(config: &Config) -> Result<(), Failure> {
    site::check_paths(config)?;
    let callback = config.redirect_uri().path();
    if [config.base_path(), callback].contains(&EMULATOR_PATH) {
        let path = EMULATOR_PATH.to_owned();
        return Err(Failure::PathTaken { path });
    }
    Ok(())
}

/// What was asked for, with new credentials in place of what a real client would have.
///
/// The environment is not asked: what is set there is meant for a real provider. Where to listen is
/// no matter of the provider's.
fn configuration(arguments: &cli::Demo) -> Result<ConfigBuilder, Failure> {
    let (name, text) = match &arguments.config {
        Some(path) => (path.as_path(), read(path)?),
        None => (Path::new("built in"), arguments.client.toml().to_owned()),
    };
    let builder = ConfigBuilder::from_toml(name, &text)?;
    Ok(match ClientKind::of(&text) {
        ClientKind::Hs256 => builder.client_secret(Secret::random()),
        ClientKind::Eddsa => builder
            .client_secret(Secret::random())
            .jar_eddsa(Ed25519KeyPair::generate()),
        ClientKind::Public => builder,
    })
}

/// Where the environment says to listen. A variable that is set to nothing counts as unset.
fn listen_variable() -> Result<Option<SocketAddr>, Failure> {
    let address = env::var_os("OTEN_LISTEN").filter(|address| !address.is_empty());
    address
        .map(|address| address.to_str()?.parse().ok())
        .map(|address| address.ok_or(Failure::ListenVariable))
        .transpose()
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::File {
        path: path.to_owned(),
        error,
    })
}

/// The address as a browser on this machine reaches it: `0.0.0.0` is for listening only.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// An emulator that knows the site's client.
fn emulator(config: &Config, issuer: &str) -> Result<Emulator, Failure> {
    let id = config.client().id();
    let client = match config.client().kind() {
        ClientType::Confidential { secret, jar, .. } => {
            let client = EmulatedClient::confidential(id, secret.expose());
            match jar {
                Jar::EdDsa(pair) => client.request_object_key(&pair.public_jwk()),
                Jar::Off => client.insecure_without_request_object(),
                _ => client,
            }
        }
        _ => EmulatedClient::public(id),
    };
    let client = client.redirect_uri(config.redirect_uri().as_str());
    let issuer = issuer.parse().map_err(|_| EmulatorError::Issuer)?;
    Ok(Emulator::builder().client(client).mount(issuer)?)
}

fn describe(config: &Config) -> &'static str {
    match config.client().kind() {
        ClientType::Confidential { jar, .. } => match jar {
            Jar::EdDsa(_) => "confidential, signs its requests with an Ed25519 key (EdDSA)",
            Jar::Off => "confidential, does not sign its requests",
            _ => "confidential, signs its requests with its secret (HS256)",
        },
        _ => "public, has no secret and proves itself with PKCE",
    }
}
