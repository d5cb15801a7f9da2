//! `oten serve` with an emulator at which its client is registered, and a user who signs in.

use axum_oten::emulator::{EmulatedClient, Emulator, EmulatorBuilder};
use reqwest::{Client, Response, StatusCode, Url, header};
use tokio::process::Command;

use super::{
    process::{Running, command},
    site::header_of,
};

const CLIENT: &str = "from-the-environment";
const SECRET: &str = "a secret of the test, of more than 32 bytes";

/// No server listens there: the test acts as the browser and sends the callback to the site itself.
pub(super) const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";

/// An emulator at which the site's client is registered.
pub(super) async fn emulator(change: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Emulator {
    emulator_for(REDIRECT_URI, change).await
}

/// The same with another redirect URI.
pub(super) async fn emulator_for(
    redirect_uri: &str,
    change: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
) -> Emulator {
    let client = EmulatedClient::confidential(CLIENT, SECRET).redirect_uri(redirect_uri);
    let emulator = change(Emulator::builder().client(client));
    emulator.start().await.unwrap()
}

/// The program, configured by the environment alone.
pub(super) fn serve(emulator: &Emulator) -> Command {
    let mut serve = command(&["serve"]);
    serve.envs([
        ("OTEN_ISSUER", emulator.issuer()),
        ("OTEN_CLIENT_ID", CLIENT),
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
        ("OTEN_LISTEN", "127.0.0.1:0"),
        // A proxy is not used for a provider on this machine.
        ("http_proxy", "http://127.0.0.1:1"),
    ]);
    serve
}

/// Signs carol in at the site below a base path, and returns her cookies.
pub(super) async fn sign_in(
    site: &Running,
    base: &str,
    emulator: &Emulator,
    client: &Client,
) -> String {
    let login = client.get(site.at(&format!("{base}/login")));
    let login = login.send().await.unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let callback: Url = emulator
        .approve(header_of(&login, "location"), "carol")
        .unwrap();
    let url = site.at(&callback[url::Position::BeforePath..]);
    let callback = client.get(url).header(header::COOKIE, cookies(&login));
    let callback = callback.send().await.unwrap();
    assert_eq!(callback.status(), StatusCode::SEE_OTHER);
    cookies(&callback)
}

/// The cookies that a response sets, as a browser sends them back.
pub(super) fn cookies(response: &Response) -> String {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let kept = pairs.filter(|pair| !pair.ends_with('='));
    kept.collect::<Vec<_>>().join("; ")
}
