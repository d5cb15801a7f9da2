//! What the program does in a container: it listens on all addresses, browsers come from outside
//! through a published port, and the environment says what to run.

use axum_oten::config::Key;
use reqwest::{Method, StatusCode, header};

use super::{
    process::{Running, command, run},
    site::{client, header_of},
};

/// A demo that can be reached from everywhere, and the port it took.
async fn open_demo() -> (Running, u16) {
    let demo = Running::start(&mut command(&["demo", "--listen", "0.0.0.0:0"])).await;
    let port = demo.url.port().unwrap();
    assert_eq!(demo.url.as_str(), format!("http://127.0.0.1:{port}/"));
    (demo, port)
}

#[tokio::test]
async fn a_browser_at_localhost_is_sent_to_the_demos_own_name() {
    let (demo, port) = open_demo().await;
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
async fn the_demo_answers_under_no_other_name() {
    let (demo, port) = open_demo().await;
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
        let ask = async |path| {
            let request = client().request(method.clone(), demo.at(path));
            let request = request.header(header::HOST, &host).send().await.unwrap();
            (request.status(), request.text().await.unwrap())
        };
        let (status, words) = ask("/login").await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{method} {host}");
        assert!(words.contains(demo.url.as_str()), "{words}");
        assert!(
            words.contains(&format!("127.0.0.1:{port}:{port}")),
            "{words}"
        );
        // What watches over the container knows it by whatever name.
        if method == Method::GET {
            assert_eq!(ask("/healthz").await.0, StatusCode::OK, "{host}");
        }
    }
}

#[tokio::test]
async fn the_demo_listens_where_the_environment_says() {
    let mut demo = command(&["demo"]);
    demo.env("OTEN_LISTEN", "127.0.0.1:0");
    let demo = Running::start(&mut demo).await;
    assert_ne!(demo.url.port(), Some(3000));

    // The command line wins.
    let mut both = command(&["demo", "--listen", "127.0.0.1:0"]);
    both.env("OTEN_LISTEN", "127.0.0.1:1");
    Running::start(&mut both).await;
}

#[tokio::test]
async fn b3_an_address_in_the_environment_that_is_none_is_refused() {
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
async fn nothing_configured_runs_the_demo() {
    let mut nothing = command(&["run"]);
    nothing.env("OTEN_LISTEN", "127.0.0.1:0");
    // As Kubernetes says where a service called `oten` is.
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
async fn b3_half_a_configuration_never_runs_the_demo() {
    for (name, value) in [
        ("OTEN_ENVIRONMENT", "production"),
        ("OTEN_CLIENT_ID", "my-site"),
        ("OTEN_CLIENT_SECRET_FILE", "/nowhere/secret"),
        ("OTEN_BASE_PATH", "/app"),
        // Misspelt.
        ("OTEN_ENVIROMENT", "production"),
        // Not filled in.
        ("OTEN_CLIENT_ID", ""),
        ("OTEN_CLIENT_SECRET_FILE", ""),
        ("OTEN_ENVIROMENT", ""),
    ] {
        let mut half = command(&["run"]);
        half.envs([("OTEN_LISTEN", "127.0.0.1:0"), (name, value)]);
        let ended = run(&mut half).await;
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
async fn a_configured_site_is_run() {
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

/// The two sites of `config/compose.yaml` are set up with settings that exist.
#[test]
fn the_compose_file_knows_every_variable() {
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
