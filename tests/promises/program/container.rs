//! The program in a container: it listens on all addresses, browsers use a published port, and the
//! environment determines which command runs.

use axum_oten::config::Key;
use reqwest::{Method, StatusCode, header};

use super::{
    process::{Running, command, run},
    site::{client, header_of},
};

/// A demo that listens on all addresses, and its port.
async fn public_demo() -> (Running, u16) {
    let demo = Running::start(&mut command(&["demo", "--listen", "0.0.0.0:0"])).await;
    let port = demo.url.port().unwrap();
    assert_eq!(demo.url.as_str(), format!("http://127.0.0.1:{port}/"));
    (demo, port)
}

#[tokio::test]
async fn a_browser_at_localhost_is_redirected_to_the_demos_origin() {
    let (demo, port) = public_demo().await;
    for (path, target) in [
        ("/", "/"),
        ("/profile?tab=x", "/profile?tab=x"),
        ("//example.com/", "//example.com/"),
        ("/oten/nowhere", "/oten/nowhere"),
    ] {
        let request = client().get(format!("http://127.0.0.1:{port}{path}"));
        let request = request.header(header::HOST, format!("localhost:{port}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
        let target = format!("http://127.0.0.1:{port}{target}");
        assert_eq!(header_of(&answer, "location"), target);
    }
    drop(demo);
}

#[tokio::test]
async fn the_demo_rejects_other_host_names() {
    let (demo, port) = public_demo().await;
    let other_port = port.wrapping_add(1);
    for (method, host) in [
        (Method::GET, format!("example.com:{port}")),
        (Method::GET, format!("localhost.example.com:{port}")),
        (Method::GET, format!("localhost:{other_port}")),
        (Method::GET, "localhost".to_owned()),
        (Method::GET, format!("user@127.0.0.1:{port}")),
        (Method::POST, format!("localhost:{port}")),
        (Method::POST, format!("example.com:{port}")),
    ] {
        let send = async |path| {
            let request = client().request(method.clone(), demo.at(path));
            let request = request.header(header::HOST, &host).send().await.unwrap();
            (request.status(), request.text().await.unwrap())
        };
        let (status, text) = send("/login").await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{method} {host}");
        assert!(text.contains(demo.url.as_str()), "{text}");
        assert!(text.contains(&format!("127.0.0.1:{port}:{port}")), "{text}");
        // Supervisors of the container use any name.
        if method == Method::GET {
            assert_eq!(send("/healthz").await.0, StatusCode::OK, "{host}");
        }
    }
}

#[tokio::test]
async fn the_demo_listens_on_the_address_in_the_environment() {
    let mut demo = command(&["demo"]);
    demo.env("OTEN_LISTEN", "127.0.0.1:0");
    let demo = Running::start(&mut demo).await;
    assert_ne!(demo.url.port(), Some(3000));

    // The command line takes precedence.
    let mut both = command(&["demo", "--listen", "127.0.0.1:0"]);
    both.env("OTEN_LISTEN", "127.0.0.1:1");
    Running::start(&mut both).await;
}

#[tokio::test]
async fn b3_an_invalid_address_in_the_environment_is_rejected() {
    for program in ["demo", "run"] {
        let ended = run(command(&[program]).env("OTEN_LISTEN", "everywhere")).await;
        assert_eq!(ended.status.code(), Some(1));
        let text = ended.stderr;
        assert!(
            text.contains("OTEN_LISTEN") && text.contains("127.0.0.1:3000"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_empty_environment_runs_the_demo() {
    let mut nothing = command(&["run"]);
    nothing.env("OTEN_LISTEN", "127.0.0.1:0");
    // Kubernetes sets this variable for a service called `oten`.
    nothing.env("OTEN_SERVICE_HOST", "10.0.0.1");
    let demo = Running::start(&mut nothing).await;
    let login = client().get(demo.at("/login")).send().await.unwrap();
    let provider = header_of(&login, "location");
    assert!(
        provider.starts_with(demo.at("/oten/").as_str()),
        "{provider}"
    );
}

#[tokio::test]
async fn b3_an_incomplete_configuration_never_runs_the_demo() {
    for (name, value) in [
        ("OTEN_ENVIRONMENT", "production"),
        ("OTEN_CLIENT_ID", "my-site"),
        ("OTEN_CLIENT_SECRET_FILE", "/nowhere/secret"),
        ("OTEN_BASE_PATH", "/app"),
        // Misspelled.
        ("OTEN_ENVIROMENT", "production"),
        // Empty.
        ("OTEN_CLIENT_ID", ""),
        ("OTEN_CLIENT_SECRET_FILE", ""),
        ("OTEN_ENVIROMENT", ""),
    ] {
        let mut incomplete = command(&["run"]);
        incomplete.envs([("OTEN_LISTEN", "127.0.0.1:0"), (name, value)]);
        let ended = run(&mut incomplete).await;
        assert_eq!(ended.status.code(), Some(1), "{name}");
        assert!(
            ended.stderr.contains("client_id") || name == "OTEN_CLIENT_ID",
            "{name}"
        );
        assert!(ended.stderr.contains("redirect_uri"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "{name}");
    }
}

#[tokio::test]
async fn a_configured_environment_runs_the_site() {
    let mut site = command(&["run"]);
    site.envs([
        ("OTEN_ENVIRONMENT", "sandbox"),
        ("OTEN_CLIENT_ID", "a-client-of-the-sandbox"),
        (
            "OTEN_CLIENT_SECRET",
            "a secret of the test, of more than 32 bytes",
        ),
        ("OTEN_REDIRECT_URI", "http://localhost:3000/callback"),
        ("OTEN_LISTEN", "127.0.0.1:0"),
    ]);
    let (status, log) = Running::start(&mut site).await.end().await;
    assert!(status.success(), "{log}");
    assert!(log.contains("Oten site"), "{log}");
}

/// The two sites of `config/compose.yaml` use settings that exist.
#[test]
fn every_variable_of_the_compose_file_is_a_setting() {
    let file = include_str!("../../../config/compose.yaml");
    let known: Vec<String> = Key::all()
        .iter()
        .flat_map(|key| [Some(key.variable()), key.file_variable()])
        .flatten()
        .collect();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let used: Vec<&str> = file
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with("OTEN_"))
        .collect();
    assert!(used.len() > 5, "{used:?}");
    for variable in used {
        assert!(known.iter().any(|name| name == variable), "{variable}");
    }
}
