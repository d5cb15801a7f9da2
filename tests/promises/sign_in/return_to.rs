//! S8: return paths.

use axum::{
    Router,
    http::{StatusCode, header},
};
use axum_oten::User;
use url::Url;

use crate::common::{Browser, TestSite, app};

/// The redirect target of a sign-in with this return path.
async fn end(site: &TestSite, login: &str) -> String {
    let mut browser: Browser = site.browser();
    let url: Url = browser.get(login).await.location().parse().unwrap();
    let callback = browser.approve(&url, "alice");
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let location = answer.headers[header::LOCATION].to_str();
    location.expect("a location is ASCII").to_owned()
}

fn asking_for(path: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", path)
        .finish();
    format!("/login?{query}")
}

#[tokio::test]
async fn s8_a_sign_in_returns_to_a_local_path() {
    let site = TestSite::builder()
        .app(|oten| {
            Router::new()
                .fallback(async |_: User| "page")
                .merge(oten.routes())
                .layer(oten.layer())
        })
        .start()
        .await;
    for path in [
        "/",
        "/profile?tab=x&other=y",
        "/a/b/c/",
        "/a?next=https://other.example/",
        "/a?next=%2F%2Fother.example",
        "/a#part",
        "/caf%C3%A9",
        "/a%20b",
        "/a;b=c/d@e:f",
        "/?q=%3Cscript%3E",
        // Kept byte for byte, though some of it looks hostile.
        "/a%09b/%0A",
        "/caf%E9/%ff",
        "/%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",
        "/a/b%2Fc%5Cd",
        "/a//evil.example",
        "/%c0%af/evil.example",
        "/a/./b",
    ] {
        assert_eq!(end(&site, &asking_for(path)).await, path);
        // A guard passes on the path that it saved in the same spelling.
        if !path.contains('#') {
            let guarded = site.browser().get(path).await;
            let login = guarded.location().to_owned();
            assert_eq!(end(&site, &login).await, path);
        }
    }
}

#[tokio::test]
async fn s8_letters_beyond_ascii_and_spaces_are_encoded() {
    let site = TestSite::start().await;
    for (path, ends_at) in [
        ("/café", "/caf%C3%A9"),
        ("/a?q=größe", "/a?q=gr%C3%B6%C3%9Fe"),
        ("/日本", "/%E6%97%A5%E6%9C%AC"),
        ("/a b?q=c d", "/a%20b?q=c%20d"),
    ] {
        assert_eq!(end(&site, &asking_for(path)).await, ends_at);
    }
}

#[tokio::test]
async fn s8_any_other_return_path_leads_to_the_home_page() {
    let site = TestSite::builder()
        .config(|config| config.home("/welcome"))
        .start()
        .await;
    let long = format!("/{}", "a".repeat(2048));
    for path in [
        "",
        " ",
        "evil.example",
        "https://evil.example",
        "https://127.0.0.1:3000@evil.example",
        "http://127.0.0.1:3000/profile",
        "HTTPS://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:\\\\evil.example",
        "//evil.example",
        "//evil.example/..",
        "//evil.example/%2f..",
        "//127.0.0.1:3000/profile",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r/evil.example",
        "/\r\n/evil.example",
        "/a\r\nSet-Cookie: oten_session=x",
        "\t//evil.example",
        "\u{0}//evil.example",
        " //evil.example",
        "/ /evil.example",
        "/\0/evil.example",
        "/\u{b}/evil.example",
        "/\u{7f}/evil.example",
        "/\u{85}/evil.example",
        "/\u{a0}/evil.example",
        "/%2fevil.example",
        "/%2Fevil.example",
        "%2f%2fevil.example",
        "/%5cevil.example",
        "/%5C%5Cevil.example",
        "/%09/evil.example",
        "/%0a/evil.example",
        "/%0d%0aLocation:%20https://evil.example",
        "/%00",
        "/%252fevil.example",
        "/%25252fevil.example",
        "/%2525252525252fevil.example",
        "/%255cevil.example",
        "/..//evil.example",
        "/../evil.example",
        "/.%2e//evil.example",
        "/%2e%2e/%2e%2e//evil.example",
        "/\u{200b}/evil.example",
        "/\u{feff}/evil.example",
        "/\u{202e}/evil.example",
        "/\u{2028}/evil.example",
        "/\u{2044}evil.example",
        "/\u{ff0f}evil.example",
        "/\u{ff3c}evil.example",
        "/%EF%BC%8Fevil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "?next=/a",
        "#part",
        ".",
        "../a",
        "@evil.example",
        ".evil.example",
        &long,
    ] {
        assert_eq!(end(&site, &asking_for(path)).await, "/welcome", "{path:?}");
    }
}

/// The sign-in would start over, end in an error page, or offer to sign out.
#[tokio::test]
async fn s8_the_crates_own_routes_are_no_return_path_in_any_spelling() {
    for (base, callback) in [("", "/callback"), ("/app", "/app/callback")] {
        let site = TestSite::builder()
            .callback(callback)
            .config(move |config| config.base_path(base).home("/welcome"))
            .app(move |oten| match base {
                "" => app(oten),
                base => Router::new().nest(base, app(oten)),
            })
            .start()
            .await;
        for route in ["login", "logout", "callback", "backchannel-logout"] {
            let (first, rest) = route.split_at(1);
            let code = format!("%{:02x}", first.as_bytes()[0]);
            for path in [
                format!("{base}/{route}"),
                format!("{base}/{route}?return_to=/a"),
                format!("{base}/{route}#a"),
                format!("{base}/{route}/"),
                format!("/.{base}/{route}"),
                format!("{base}/%2e/{route}"),
                format!("{base}/a/../{route}"),
                format!("{base}/a/.%2E/{route}"),
                format!("{base}/{code}{rest}"),
                format!("/x/..{base}/%25{}{rest}", &code[1..]),
            ] {
                let login = format!("{base}{}", asking_for(&path));
                assert_eq!(end(&site, &login).await, "/welcome", "{path}");
            }
        }
        let login = format!("{base}{}", asking_for("/a/login"));
        assert_eq!(end(&site, &login).await, "/a/login");
    }
}

#[tokio::test]
async fn s8_a_hostile_query_leads_to_the_home_page() {
    let site = TestSite::builder()
        .config(|config| config.home("/welcome"))
        .start()
        .await;
    for query in [
        "",
        "return_to",
        "return_to=",
        "return_to=//evil.example",
        "return_to=%2F/evil.example",
        "return_to=/%5Cevil.example",
        "return_to=+//evil.example",
        "return_to=%ff//evil.example",
        "return_to=/a%ff%0d",
        "return_to=/a&return_to=/b",
        "return_to=/a&return_to=//evil.example",
        "return_to=//evil.example&return_to=/a",
        "return_to=/a&%72eturn_to=/a",
        "RETURN_TO=/a",
        "return_to[]=/a",
        "next=/a",
        "&&&=&%",
    ] {
        let ended = end(&site, &format!("/login?{query}")).await;
        assert_eq!(ended, "/welcome", "{query}");
    }
    assert_eq!(end(&site, "/login?x=1&return_to=/a%26b&x=2").await, "/a&b");
}
