use std::{env, fs, net::SocketAddr, path::PathBuf, time::Duration};

use axum_oten::{
    Config, MemoryStore, Oten, Secret,
    check::reachable,
    config::{ClientType, ConfigBuilder, Jar},
    emulator::{EmulatedClient, Emulator, EmulatorError},
    jose::Ed25519KeyPair,
};
use clap::Args;
use toml::{Table, Value};

use super::{
    emulator::{ClientKind, describe_users},
    settings::ListenArgs,
};
use crate::{
    control::{Control, KEPT_EXCHANGES},
    error::Error,
    server::{Metrics, Server},
    site::{self, Activity, DemoProvider, Site, is_within},
    terminal,
};

/// The emulator's path. It shares the site's port, so a container publishes a single port.
const EMULATOR_PATH: &str = "/oten";

#[derive(Debug, Default, Args)]
pub(crate) struct DemoArgs {
    /// How the emulator registers the site's client
    #[arg(long, value_enum, default_value_t)]
    client: ClientKind,
    /// Read settings from this TOML file instead of a built-in configuration
    ///
    /// The emulator's issuer and new credentials replace those in the file.
    #[arg(long, value_name = "FILE", conflicts_with = "client")]
    config: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
}

/// Runs the site together with an emulator until a signal stops it.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Error> {
    let builder = configure(&args)?;
    // Reports every problem before it listens.
    let planned = builder.clone().build()?;
    check_paths(&planned)?;
    let server = Server::bind(planned.listen())?;
    let metrics = Metrics::start(planned.metrics_listen())?;
    let origin = format!("http://{}", reachable(server.address()));
    let issuer = format!("{origin}{EMULATOR_PATH}");
    let config = builder
        .issuer(&issuer)
        .redirect_uri(format!("{origin}{}", planned.redirect_uri().path()))
        .build()?;

    let (client, client_description) = client(&config);
    let emulator_url = issuer.parse().map_err(|_| EmulatorError::Issuer)?;
    let emulator = Emulator::builder()
        .client(client)
        .advertise_back_channel_logout()
        .record_exchanges(KEPT_EXCHANGES)
        .mount(emulator_url)?;
    let mut control = Control::new(emulator.clone(), config.client().id(), EMULATOR_PATH);
    let activity = Activity::default();
    let oten = Oten::builder(config, MemoryStore::default())
        .audit(activity.clone())
        .pages(site::library_page)
        .build()?;
    let provider = DemoProvider {
        emulator: emulator.clone(),
        control: control.path(),
    };
    let site = Site::new(
        oten.clone(),
        activity.clone(),
        Some(provider),
        server.stopping(),
    );
    control.site = Some(site.path("/"));
    control.activity = Some(activity);
    terminal::print_banner(
        "Oten demo site",
        &[
            ("Open", site.url().as_str()),
            ("Users", &describe_users(&emulator)),
            ("Client", client_description),
            ("Provider", &format!("an emulated Oten at {issuer}")),
            (
                "Control",
                &format!("{issuer}/control, to make the provider fail"),
            ),
            ("Metrics", metrics.url()),
            ("Stop", "Ctrl-C"),
        ],
    );
    let provider = emulator.router().merge(control.routes());
    let app = site::routes(&site).nest(EMULATOR_PATH, provider);
    let app = site::harden(&site, site::canonical_origin(&site, app));
    // No load balancer sends requests to a demo.
    server.serve(app, Duration::ZERO, oten.shutdown()).await
}

fn check_paths(config: &Config) -> Result<(), Error> {
    site::check_paths(config)?;
    let paths = [config.base_path(), config.redirect_uri().path()];
    if paths.iter().any(|path| is_within(path, EMULATOR_PATH)) {
        let path = EMULATOR_PATH.to_owned();
        return Err(Error::PathTaken { path });
    }
    Ok(())
}

/// The configuration with new credentials. Variables other than `OTEN_LISTEN` are ignored: they are
/// meant for a real provider.
fn configure(args: &DemoArgs) -> Result<ConfigBuilder, Error> {
    let (name, text) = match &args.config {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(Error::read_file(file))?;
            (file.clone(), text)
        }
        None => ("built in".into(), built_in(args.client).to_owned()),
    };
    let mut builder = ConfigBuilder::from_toml(name, &text)?;
    let kind = client_kind(&text);
    if kind != ClientKind::Public {
        builder = builder.client_secret(Secret::random());
    }
    if kind == ClientKind::Eddsa {
        builder = builder.jar_eddsa(Ed25519KeyPair::generate());
    }
    if args.listen.listen.is_none()
        && let Some(address) = listen_variable()?
    {
        builder = builder.listen(address);
    }
    // The users are not real, and the log is easier to read with their names.
    Ok(args.listen.apply(builder.log_subjects(true)))
}

fn built_in(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Hs256 => include_str!("../../../../config/demo.toml"),
        ClientKind::Eddsa => include_str!("../../../../config/demo-eddsa.toml"),
        ClientKind::Public => include_str!("../../../../config/demo-public.toml"),
    }
}

/// The kind of client that a configuration is for. Its errors are reported later, by the builder.
fn client_kind(toml: &str) -> ClientKind {
    let table: Table = toml.parse().unwrap_or_default();
    let setting = |name| table.get(name).and_then(Value::as_str);
    match (setting("client_type"), setting("jar")) {
        (Some("public"), _) => ClientKind::Public,
        (_, Some("EdDSA")) => ClientKind::Eddsa,
        _ => ClientKind::Hs256,
    }
}

/// The address in `OTEN_LISTEN`. An empty variable counts as unset.
fn listen_variable() -> Result<Option<SocketAddr>, Error> {
    let address = env::var_os("OTEN_LISTEN").filter(|address| !address.is_empty());
    let Some(address) = address else {
        return Ok(None);
    };
    let address = address.to_str().and_then(|address| address.parse().ok());
    address.map(Some).ok_or(Error::Arguments(
        "OTEN_LISTEN is not an IP address with a port. Write it like `127.0.0.1:3000` or \
         `[::1]:3000`",
    ))
}

/// The site's client for the emulator, and a description of it.
fn client(config: &Config) -> (EmulatedClient, &'static str) {
    let id = config.client().id();
    let (client, description) = match config.client().client_type() {
        ClientType::Confidential { secret, jar, .. } => {
            let client = EmulatedClient::confidential(id, secret.expose());
            match jar {
                Jar::EdDsa(pair) => (
                    client.request_object_key(&pair.public_jwk()),
                    "confidential, signs its requests with an Ed25519 key (EdDSA)",
                ),
                Jar::Off => (
                    client.insecure_without_request_object(),
                    "confidential, does not sign its requests",
                ),
                _ => (
                    client,
                    "confidential, signs its requests with its secret (HS256)",
                ),
            }
        }
        _ => (
            EmulatedClient::public(id),
            "public, has no secret and uses PKCE",
        ),
    };
    let client = client
        .redirect_uri(config.redirect_uri().as_str())
        .back_channel_logout_uri(config.back_channel_logout_uri());
    (client, description)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_built_in_configuration_is_for_its_kind_of_client() {
        for kind in ClientKind::value_variants() {
            assert_eq!(client_kind(built_in(*kind)), *kind);
        }
        assert_eq!(client_kind("not = toml = at all"), ClientKind::Hs256);
    }
}
