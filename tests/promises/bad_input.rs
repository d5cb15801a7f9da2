//! Promise B1: hostile input from a browser or the provider gets a prompt response in plain words
//! and affects no later request.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Uri, header},
};
use axum_oten::emulator::{
    Endpoint::{self, Discovery, Jwks, Token},
    Fault,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{Answer, TestSite, send};

const SCRIPT: &str = "\"><script>alert(1)</script>";
const SCRIPT_ENCODED: &str = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";

const PATHS: [&str; 6] = [
    "/",
    "/login",
    "/callback",
    "/logout",
    "/profile",
    "/extracted",
];

/// The sender of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Browser,
    Program,
}

fn request(method: Method, uri: &str, from: From) -> Request<Body> {
    let accept = match from {
        From::Browser => "text/html",
        From::Program => "application/json",
    };
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .unwrap()
}

/// Asserts that the response is not a server error, repeats nothing of the input, and has the security
/// headers if it is a page of the crate.
#[track_caller]
fn assert_harmless(answer: &Answer, input: &str) {
    assert!(answer.status.as_u16() < 500, "{input}: {answer:?}");
    assert_well_made(answer, input);
}

#[track_caller]
fn assert_well_made(answer: &Answer, input: &str) {
    assert!(!answer.body.contains("<script"), "{input}: {answer:?}");
    assert!(!answer.body.contains("alert(1)"), "{input}: {answer:?}");
    if let Some(location) = answer.headers.get(header::LOCATION) {
        let location = location.as_bytes();
        let is_local = location.starts_with(b"/") && !location.starts_with(b"//");
        let is_the_provider = location.starts_with(b"http://127.0.0.1:");
        assert!(is_local || is_the_provider, "{input}: {answer:?}");
    }
    let content_type = answer.header(header::CONTENT_TYPE).unwrap_or_default();
    if content_type.starts_with("text/html") {
        let policy = answer.header(header::CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert_eq!(
            answer.header(header::X_CONTENT_TYPE_OPTIONS),
            Some("nosniff")
        );
        assert_eq!(answer.header(header::REFERRER_POLICY), Some("same-origin"));
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        let page = &answer.body; // none in the answer to HEAD
        assert!(page.is_empty() || page.starts_with("<!doctype html>") && page.contains("<h1>"));
    }
    if content_type.starts_with("application/problem+json") && !answer.body.is_empty() {
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status.as_u16());
        for member in ["title", "detail", "reason", "correlation_id"] {
            assert!(problem[member].is_string(), "{member}: {answer:?}");
        }
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    }
}

/// Queries that no honest browser sends.
fn hostile_queries() -> Vec<String> {
    let mut queries: Vec<String> = [
        "",
        "&",
        "&&&=&=&",
        "=",
        "%",
        "%%%",
        "%zz",
        "%00",
        "state",
        "state=",
        "state=&code=",
        "code=x",
        "state=x&state=y",
        "state=x&code=a&code=b",
        "state=x&error=a&error=b",
        "state=x&iss=a&iss=b",
        "return_to=/a&return_to=/b",
        "return_to=https://evil.example",
        "return_to=//evil.example",
        "return_to=%2F%5Cevil.example",
        "return_to=/%0d%0aSet-Cookie:%20a=b",
        "return_to=%2Fcaf%C3%A9",
        "state=%ff%fe&code=%c0%af",
        "%ff=%ff",
        "return_to=%ff",
        "state=%F0%9F%A6%80&code=%E2%80%AE",
        "state=%0d%0aLocation:%20x&code=%00",
        "state[]=a&code[x]=b",
        "state=x;code=y",
        "state=x&error=access_denied&error_description=boo",
        "state=x&response=eyJhbGciOiJub25lIn0.e30.",
    ]
    .map(str::to_owned)
    .into();
    for name in [
        "state",
        "code",
        "iss",
        "error",
        "error_description",
        "return_to",
        "session_state",
        SCRIPT_ENCODED,
    ] {
        queries.push(format!("{name}={SCRIPT_ENCODED}"));
        queries.push(format!("state=1x&{name}={SCRIPT_ENCODED}"));
        queries.push(format!("state=2x&{name}=/{SCRIPT_ENCODED}"));
        queries.push(format!("{name}={}", "x".repeat(30_000)));
    }
    queries.push("a=b&".repeat(10_000));
    queries
}

/// Cookie headers that no honest browser sends.
fn hostile_cookies() -> Vec<Vec<u8>> {
    let mut cookies: Vec<Vec<u8>> = [
        "",
        ";",
        ";;;===;;",
        "=",
        "oten_session",
        "oten_session=",
        "oten_session=x",
        "oten_session=\"\"",
        "oten_session=AAAAAAAAAAAAAAAAAAAAAA",
        "oten_session=_____________________w",
        "oten_session=AAAAAAAAAAAAAAAAAAAAAA; oten_session=AAAAAAAAAAAAAAAAAAAAAA",
        "oten_login_=",
        "oten_login_x=.",
        "oten_login_x=a.9223372036854775808",
        "oten_login_x=a.-1",
        "oten_login_x=a.1.2",
        "oten_session=é",
        SCRIPT,
    ]
    .map(|cookie| cookie.as_bytes().to_vec())
    .into();
    cookies.push(b"oten_session=\xff\xfe".to_vec());
    cookies.push(format!("oten_session={}", "A".repeat(30_000)).into());
    cookies.push("a=b; ".repeat(5_000).into());
    // More login attempts than a browser may have, so that the oldest are removed.
    for name in [
        "x", "é", "a b", "\u{7f}", "\"", "<script>", "a,b", "(x)", "a\tb",
    ] {
        let many: Vec<_> = (0..12)
            .map(|i| format!("oten_login_{name}{i}=id.{i}"))
            .collect();
        cookies.push(many.join("; ").into());
    }
    cookies
}

#[tokio::test]
async fn b1_every_route_answers_hostile_queries() {
    let site = TestSite::start().await;
    let signed_in = site.signed_in("alice").await;
    for path in PATHS {
        for query in hostile_queries() {
            let uri = format!("{path}?{query}");
            let shown = &uri[..uri.len().min(80)];
            for from in [From::Browser, From::Program] {
                let guest = send(&site.app, request(Method::GET, &uri, from)).await;
                assert_harmless(&guest, shown);
                let mut user = signed_in.clone();
                let answer = user.send(request(Method::GET, &uri, from)).await;
                assert_harmless(&answer, shown);
            }
        }
    }
    site.signed_in("bob").await;
}

#[tokio::test]
async fn b1_every_route_answers_every_method() {
    let site = TestSite::start().await;
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X",
    ] {
        for path in PATHS {
            for from in [From::Browser, From::Program] {
                let uri = format!("{path}?state={SCRIPT_ENCODED}&return_to={SCRIPT_ENCODED}");
                let method: Method = method.parse().unwrap();
                let answer = send(&site.app, request(method.clone(), &uri, from)).await;
                assert_harmless(&answer, &format!("{method} {path}"));
                let is_ours = matches!(path, "/login" | "/callback" | "/logout");
                let is_served =
                    method == Method::GET || method == Method::POST && path != "/callback";
                if is_ours && !is_served {
                    assert_eq!(
                        answer.status,
                        StatusCode::METHOD_NOT_ALLOWED,
                        "{method} {path}"
                    );
                    assert!(answer.set_cookies().is_empty());
                    let allowed = match path {
                        "/callback" => "GET",
                        _ => "GET, POST",
                    };
                    assert_eq!(
                        answer.header(header::ALLOW),
                        Some(allowed),
                        "{method} {path}"
                    );
                    let plain = "cannot be opened this way";
                    assert!(
                        method == Method::HEAD || answer.body.contains(plain),
                        "{answer:?}"
                    );
                }
            }
        }
    }
    site.signed_in("alice").await;
}

#[tokio::test]
async fn b1_every_route_answers_hostile_cookies() {
    let site = TestSite::start().await;
    for path in PATHS {
        for cookie in hostile_cookies() {
            let Ok(cookie) = HeaderValue::from_bytes(&cookie) else {
                continue; // hyper does not let it in either
            };
            let shown = format!("{path} {:.80}", format!("{cookie:?}"));
            for from in [From::Browser, From::Program] {
                let mut request = request(Method::GET, &format!("{path}?state=1x"), from);
                request.headers_mut().insert(header::COOKIE, cookie.clone());
                let answer = send(&site.app, request).await;
                assert_harmless(&answer, &shown);
                assert_ne!(answer.body, "user alice");
            }
        }
    }
    site.signed_in("alice").await;
}

#[tokio::test]
async fn b1_every_route_answers_other_hostile_headers() {
    let site = TestSite::start().await;
    for name in [
        "accept",
        "host",
        "origin",
        "referer",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "x-requested-with",
        "x-forwarded-host",
        "forwarded",
        "content-length",
    ] {
        for value in [
            &b""[..],
            b"\xff\xfe",
            b"\"><script>alert(1)</script>",
            &[b'x'; 10_000],
        ] {
            for (method, path) in [
                (Method::GET, "/login"),
                (Method::POST, "/logout"),
                (Method::GET, "/profile"),
            ] {
                let mut request = request(method, path, From::Browser);
                let value = HeaderValue::from_bytes(value).unwrap();
                request.headers_mut().insert(name, value);
                assert_harmless(&send(&site.app, request).await, name);
            }
        }
    }
}

/// Sends bytes that the types of `http` cannot represent.
#[tokio::test]
async fn b1_the_server_answers_bytes_that_are_not_http() {
    let site = TestSite::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = site.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (target, cookie) in [
        (&b"/login?return_to=\xff\xfe"[..], &b"a=b"[..]),
        (b"/callback?state=\xc3\xa9&code=\xff", b"a=b"),
        (b"/login?\x00\x01", b"a=b"),
        (b"/login", b"oten_session=\x01"),
        (b"/login", b"oten_session=\xff\xc0"),
        (b"/login?a b c", b"a=b"),
        (b"*", b"a=b"),
        (b"//login//..//", b"a=b"),
        (b"http://[::1/login", b"a=b"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let parts = [
            b"GET ",
            target,
            b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/html\r\nCookie: ",
            cookie,
            b"\r\n\r\n",
        ];
        stream.write_all(&parts.concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status: u16 = answer[9..12].parse().unwrap();
        assert!((200..500).contains(&status), "{target:?}: {answer}");
    }
    site.signed_in("alice").await;
}

/// Pseudo-random numbers, the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    /// Joins pieces that are likely to have a meaning in some header or query.
    fn text(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..self.roll(longest)).map(|_| self.pick(pieces)).collect()
    }
}

const QUERY_PIECES: [&str; 34] = [
    "state",
    "code",
    "iss",
    "error",
    "return_to",
    "=",
    "=",
    "=",
    "&",
    "&",
    "&",
    ";",
    "%",
    "%2",
    "%2f",
    "%5c",
    "%00",
    "%0a",
    "%ff",
    "%c3%a9",
    "/",
    "//",
    "\\",
    "..",
    "?",
    "1",
    "2",
    "access_denied",
    "http://127.0.0.1",
    SCRIPT_ENCODED,
    "+",
    "[]",
    "-",
    "x",
];

const COOKIE_PIECES: [&str; 25] = [
    "oten_session",
    "oten_login_",
    "oten_login_",
    "oten_login_x",
    "__Host-",
    "=",
    "=",
    "=",
    "; ",
    "; ",
    ";",
    ".",
    ".1",
    ".2",
    "\"",
    " ",
    "\t",
    "é",
    "\u{202e}",
    "\\",
    ",",
    "0",
    "A",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "<b>",
];

#[tokio::test]
async fn b1_five_thousand_random_requests_get_an_answer() {
    let site = TestSite::start().await;
    let mut browser = site.browser();
    browser.start_login("/").await;
    let honest = browser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}; "));
    let honest: String = honest.collect();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut answered = [0; 5];
    for _ in 0..5_000 {
        let path = dice.pick(&["/login", "/callback"]);
        let query = dice.text(&QUERY_PIECES, 24);
        let cookie = dice.text(&COOKIE_PIECES, 80);
        let cookie = match dice.roll(3) {
            0 => honest.clone() + &cookie,
            _ => cookie,
        };
        let input = format!("{path}?{query} {cookie}");
        let Ok(uri) = format!("{path}?{query}").parse::<Uri>() else {
            continue;
        };
        let from = if dice.roll(2) == 0 {
            From::Browser
        } else {
            From::Program
        };
        let mut request = request(Method::GET, "/", from);
        *request.uri_mut() = uri;
        let cookie = HeaderValue::from_bytes(cookie.as_bytes()).unwrap();
        request.headers_mut().insert(header::COOKIE, cookie);
        let answer = send(&site.app, request).await;
        assert_harmless(&answer, &input);
        answered[usize::from(answer.status.as_u16() / 100) - 1] += 1;
    }
    assert!(answered[2] > 1_000 && answered[3] > 500, "{answered:?}");
    browser.sign_in("alice", "/").await;
}

#[tokio::test]
async fn b1_malformed_discovery_is_reported_in_plain_words() {
    assert_malformed_responses_are_reported(Discovery, From::Browser).await;
}

#[tokio::test]
async fn b1_malformed_keys_are_reported_in_plain_words() {
    assert_malformed_responses_are_reported(Jwks, From::Program).await;
}

#[tokio::test]
async fn b1_malformed_token_responses_are_reported_in_plain_words() {
    assert_malformed_responses_are_reported(Token, From::Browser).await;
}

/// Checks every malformed response, for a browser and for an API client.
async fn assert_malformed_responses_are_reported(endpoint: Endpoint, first: From) {
    let mut from = first;
    for fault in malformed_responses() {
        let site = TestSite::start().await;
        let mut browser = site.browser();
        let started = Instant::now();
        site.emulator.fault(endpoint, fault.clone());
        let path = if endpoint == Discovery {
            "/login".to_owned()
        } else {
            let authorization_url = browser.start_login("/").await;
            browser.approve(&authorization_url, "alice")
        };
        let answer = browser.send(request(Method::GET, &path, from)).await;
        assert!(started.elapsed() < Duration::from_secs(12));
        let said = format!("{endpoint:?} {fault:.60?}: {answer:?}");
        assert!(matches!(answer.status.as_u16(), 502 | 503), "{said}");
        assert_well_made(&answer, &said);
        assert!(answer.body.contains("Oten"), "{said}");
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(answer.header(header::RETRY_AFTER).is_some(), "{said}");
        }
        assert_eq!(browser.signed_in_as().await, "guest");

        site.emulator.clear_faults();
        site.clock.advance(Duration::from_secs(60));
        browser.sign_in("alice", "/").await;
        from = match from {
            From::Browser => From::Program,
            From::Program => From::Browser,
        };
    }
}

fn malformed_responses() -> Vec<Fault> {
    vec![
        Fault::Html,
        Fault::Empty,
        Fault::Huge,
        Fault::GzipBomb,
        Fault::Status(404),
        Fault::Status(500),
        Fault::Status(204),
        Fault::Close,
        body("null"),
        body("[]"),
        body("{}"),
        body("[[[[[[[[[["),
        body("\u{feff}{}"),
        body(r#"{"keys":5,"issuer":5,"access_token":5,"error":5}"#),
        body(r#"{"error":"\"><script>alert(1)</script>"}"#),
        body(
            r#"{"access_token":"\"><script>alert(1)</script>","token_type":"Bearer","id_token":"a.b.c"}"#,
        ),
        body(r#"{"access_token":"x","token_type":"<script>alert(1)</script>"}"#),
        body(r#"{"access_token":"x","token_type":"Bearer","expires_in":-1}"#),
        body(r#"{"access_token":"","token_type":"Bearer","id_token":"..","expires_in":1e400}"#),
        // Deep enough to overflow the stack of a parser that follows it.
        Fault::Body {
            content_type: "application/json",
            bytes: "[".repeat(500_000).into(),
        },
        Fault::Body {
            content_type: "application/json",
            bytes: b"\xff\xfe\x00"[..].into(),
        },
    ]
}

fn body(text: &'static str) -> Fault {
    Fault::Body {
        content_type: "application/json",
        bytes: text.into(),
    }
}
