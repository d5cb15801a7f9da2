//! `oten serve` beside an emulator that knows it, and somebody who signs in there.

use axum_oten::emulator::{EmulatedClient, Emulator, EmulatorBuilder};
use reqwest::{Client, Response, StatusCode, Url, header};
use tokio::process::Command;

use super::{
    process::{Running, command},
    site::header_of,
};

const CLIENT: &str = "from-the-environment";
const SECRET: &str = "a secret of the test, of more than 32 bytes";

/// Nobody listens there: the test takes the browser's place and carries the answer over itself.
pub(super) const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";

/// An emulator that knows the site.
pub(super) async fn emulator(change: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Emulator {
    emulator_for(REDIRECT_URI, change).await
}

/// An emulator that knows the site by another redirect URI.
pub(super) async fn emulator_for(
    redirect_uri: &str,
    change: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
) -> Emulator {
    let client = EmulatedClient::confidential(CLIENT, SECRET).redirect_uri(redirect_uri);
    let emulator = change(Emulator::builder().client(client));
    emulator.start().await.unwrap()
}

/// The program, configured from the environment alone.
pub(super) fn serve(emulator: &Emulator) -> Command {
    let mut serve = command(&["serve"]);
    serve.envs([
        ("OTEN_ISSUER", emulator.issuer()),
        ("OTEN_CLIENT_ID", CLIENT),
        ("OTEN_CLIENT_SECRET", SECRET),
        ("OTEN_REDIRECT_URI", REDIRECT_URI),
        ("OTEN_LISTEN", "127.0.0.1:0"),
        // No proxy leads to a provider on this machine.
        ("http_proxy", "http://127.0.0.1:1"),
    ]);
    serve
}

/// Signs carol in at the site under a base path, and gives her cookies.
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
    let here = site.at(&callback[url::Position::BeforePath..]);
    let callback = client.get(here).header(header::COOKIE, cookies(&login));
    let callback = callback.send().await.unwrap();
    assert_eq!(callback.status(), StatusCode::SEE_OTHER);
    cookies(&callback)
}

/// The cookies that an answer sets, as a browser sends them back.
pub(super) fn cookies(response: &Response) -> String {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let kept = pairs.filter(|pair| !pair.ends_with('='));
    kept.collect::<Vec<_>>().join("; ")
}
