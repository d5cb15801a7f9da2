//! Access rules: which users may pass, what the others see, and what an operator can write.

use std::time::Duration;

use axum::{
    Router,
    http::{Method, StatusCode},
    routing::get,
};
use axum_oten::{
    Oten, Rule, User,
    check::Checker,
    config::{Config, ConfigBuilder, ConfigError, Problem},
    emulator::Deviation,
    web::{Access, ErrorResponse},
};
use serde_json::{Value, json};
use url::Url;

use crate::common::{Log, TestSite, parameters};

const HOUR: Duration = Duration::from_secs(3600);

fn user(claims: &Value) -> User {
    let claims = claims.as_object().unwrap().clone();
    User::for_test("https://account.oten.com", "alice", claims)
}

/// Whether the rule holds, and whether its `not` does. Neither holds if it is undecided.
fn verdict(rule: &Rule, claims: &Value) -> (bool, bool) {
    let user = user(claims);
    (rule.allows(&user), Rule::not(rule.clone()).allows(&user))
}

const HOLDS: (bool, bool) = (true, false);
const FAILS: (bool, bool) = (false, true);
const UNDECIDED: (bool, bool) = (false, false);

#[test]
fn x1_a_claim_of_any_shape_decides() {
    let claims = json!({
        "workspace": "Staff", "level": 3, "share": 0.5, "active": true, "none": null,
        "roles": ["admin", "Editor", 7], "role": "admin", "empty": [], "text": "3",
        "realm": {"roles": ["admin"], "deep": {"er": "x"}}, "realm.roles": ["dotted"],
        "https://example.com/roles": ["url"],
    });
    let claim = |name: &str| Rule::claim(name);
    for (rule, expected) in [
        (claim("workspace").equals("Staff"), HOLDS),
        (claim("workspace").equals("staff"), FAILS),
        (claim("workspace").equals("Staff "), FAILS),
        (claim("workspace").equals_ignore_ascii_case("sTAFF"), HOLDS),
        (claim("workspace").equals_ignore_ascii_case("stuff"), FAILS),
        // No letter outside ASCII equals one of ASCII: the first here is a long s.
        (
            claim("workspace").equals_ignore_ascii_case("\u{17f}taff"),
            FAILS,
        ),
        (claim("level").equals(3), HOLDS),
        (claim("level").equals(4), FAILS),
        (claim("level").equals(3.0), HOLDS),
        (Rule::not(claim("level").equals(3.0)), FAILS),
        (claim("share").equals(0.5), HOLDS),
        (claim("active").equals(true), HOLDS),
        (claim("active").equals(false), FAILS),
        // Another type decides nothing.
        (claim("level").equals("3"), UNDECIDED),
        (claim("text").equals(3), UNDECIDED),
        (claim("active").equals("true"), UNDECIDED),
        (claim("active").equals(1), UNDECIDED),
        (claim("roles").equals("admin"), UNDECIDED),
        (claim("realm").equals("admin"), UNDECIDED),
        (claim("realm").contains("admin"), UNDECIDED),
        (claim("missing").equals("x"), UNDECIDED),
        (claim("none").equals("x"), UNDECIDED),
        (claim("workspace").equals(Value::Null), UNDECIDED),
        (claim("none").equals(Value::Null), UNDECIDED),
        // An element of a list, or the only value.
        (claim("roles").contains("admin"), HOLDS),
        (claim("roles").contains(7), HOLDS),
        (claim("roles").contains("dmin"), UNDECIDED), // the list has a number, too
        (claim("roles").contains("editor"), UNDECIDED),
        (claim("roles").contains_ignore_ascii_case("EDITOR"), HOLDS),
        (claim("role").contains("admin"), HOLDS),
        (claim("role").contains("dmin"), FAILS),
        (claim("empty").contains("admin"), FAILS),
        (claim("missing").contains("admin"), UNDECIDED),
        // A path is a list of names.
        (Rule::claim(["realm", "roles"]).contains("admin"), HOLDS),
        (Rule::claim(["realm", "deep", "er"]).equals("x"), HOLDS),
        (
            Rule::claim(["realm", "deep", "er", "y"]).equals("x"),
            UNDECIDED,
        ),
        (Rule::claim(["roles", "0"]).equals("admin"), UNDECIDED),
        (claim("realm.roles").contains("dotted"), HOLDS),
        (claim("realm.roles").contains("admin"), FAILS),
        (claim("https://example.com/roles").contains("url"), HOLDS),
        (Rule::claim(Vec::new()).exists(), UNDECIDED),
        (claim("").exists(), UNDECIDED),
        (claim("sub").equals("alice"), UNDECIDED),
        // Existence is known.
        (claim("level").exists(), HOLDS),
        (claim("none").exists(), FAILS),
        (claim("missing").is_missing(), HOLDS),
        (claim("level").is_missing(), FAILS),
    ] {
        let denied = rule.check(&user(&claims)).err();
        assert_eq!(verdict(&rule, &claims), expected, "{denied:?}");
    }
}

#[test]
fn x1_only_a_verified_address_counts() {
    let address = |email: &str| json!({"email": email, "email_verified": true});
    let exact = Rule::email_domain("Example.com");
    let below = Rule::email_domain_with_subdomains("example.com");
    for (email, of_domain, of_subdomain) in [
        ("alice@example.com", HOLDS, HOLDS),
        ("ALICE@EXAMPLE.COM", HOLDS, HOLDS),
        ("alice@mail.example.com", FAILS, HOLDS),
        ("alice@a.b.example.com", FAILS, HOLDS),
        ("alice@notexample.com", FAILS, FAILS),
        ("alice@example.com.evil.example", FAILS, FAILS),
        ("alice@example.co", FAILS, FAILS),
        ("alice@com", FAILS, FAILS),
        // The last `@` counts, as in the mail system.
        ("alice@evil.example@example.com", HOLDS, HOLDS),
        ("alice@example.com@evil.example", FAILS, FAILS),
        // What is not an address decides nothing.
        ("@example.com", UNDECIDED, UNDECIDED),
        ("example.com", UNDECIDED, UNDECIDED),
        ("alice@", UNDECIDED, UNDECIDED),
        ("alice@example.com.", UNDECIDED, UNDECIDED),
        ("alice@example.com ", UNDECIDED, UNDECIDED),
        ("alice@ex\u{430}mple.com", UNDECIDED, UNDECIDED),
        ("alice@example.com>", UNDECIDED, UNDECIDED),
        ("", UNDECIDED, UNDECIDED),
    ] {
        assert_eq!(verdict(&exact, &address(email)), of_domain, "{email}");
        assert_eq!(verdict(&below, &address(email)), of_subdomain, "{email}");
    }

    let rules = || {
        [
            Rule::emails(["Alice@example.com"]),
            Rule::email_domain("example.com"),
        ]
    };
    for (verified, strict, trusting) in [
        (json!(true), HOLDS, HOLDS),
        (json!("true"), HOLDS, HOLDS),
        (json!(false), UNDECIDED, UNDECIDED),
        (json!("false"), UNDECIDED, UNDECIDED),
        (json!(1), UNDECIDED, UNDECIDED),
        (json!(["true"]), UNDECIDED, UNDECIDED),
        (json!(null), UNDECIDED, HOLDS),
    ] {
        let claims = json!({"email": "alice@EXAMPLE.com", "email_verified": verified});
        for rule in rules() {
            assert_eq!(verdict(&rule, &claims), strict, "{verified}");
            // The statement holds for everything within.
            let trusted = Rule::all([rule]).trust_emails();
            assert_eq!(verdict(&trusted, &claims), trusting, "{verified}");
        }
    }
    for claims in [
        json!({"email_verified": true}),
        json!({"email": 5, "email_verified": true}),
    ] {
        for rule in rules() {
            assert_eq!(verdict(&rule.trust_emails(), &claims), UNDECIDED);
        }
    }
    for domain in [
        "",
        "@example.com",
        ".example.com",
        "example.com.",
        "b\u{fc}cher.example",
        "a b",
    ] {
        let rule = Rule::email_domain(domain);
        assert_eq!(
            verdict(&rule, &address(&format!("a@{domain}"))),
            UNDECIDED,
            "{domain}"
        );
    }
}

#[test]
fn x1_rules_combine_and_an_undecided_part_never_allows() {
    let (holds, fails) = (Rule::subjects(["alice"]), Rule::subjects(["Alice", "bob"]));
    let undecided = Rule::claim("missing").equals(1);
    let claims = json!({});
    let of = |rules: &[&Rule]| rules.iter().map(|rule| (*rule).clone()).collect::<Vec<_>>();
    for (rules, all, any) in [
        (of(&[&holds]), HOLDS, HOLDS),
        (of(&[&fails]), FAILS, FAILS),
        (of(&[&undecided]), UNDECIDED, UNDECIDED),
        (of(&[&holds, &fails]), FAILS, HOLDS),
        (of(&[&undecided, &holds]), UNDECIDED, HOLDS),
        (of(&[&holds, &undecided]), UNDECIDED, HOLDS),
        (of(&[&undecided, &fails]), FAILS, UNDECIDED),
        (of(&[&fails, &undecided]), FAILS, UNDECIDED),
        (vec![], UNDECIDED, UNDECIDED),
    ] {
        assert_eq!(
            verdict(&Rule::all(rules.clone()), &claims),
            all,
            "{rules:?}"
        );
        assert_eq!(
            verdict(&Rule::any(rules.clone()), &claims),
            any,
            "{rules:?}"
        );
    }
    let none: [&str; 0] = [];
    for rule in [
        Rule::subjects(none),
        Rule::emails(none),
        Rule::emails(["alice"]),
    ] {
        assert_eq!(verdict(&rule, &claims), UNDECIDED);
    }
}

#[test]
fn x1_a_rule_is_bounded() {
    let mut rule = Rule::subjects(["alice"]);
    for depth in 2..=16 {
        rule = Rule::all([rule]);
        assert!(rule.allows(&user(&json!({}))), "{depth}");
    }
    for _ in 0..100_000 {
        rule = Rule::not(rule);
        assert!(!rule.allows(&user(&json!({}))));
    }
    let subjects =
        |count: usize| Rule::subjects((0..count).map(|n| n.to_string()).chain(["alice".into()]));
    assert!(subjects(9_999).allows(&user(&json!({}))));
    let denied = subjects(10_000).check(&user(&json!({}))).unwrap_err();
    assert!(
        denied.to_string().contains("too many conditions"),
        "{denied}"
    );
}

#[test]
fn x1_a_denial_names_the_conditions_and_nothing_of_the_user() {
    let rule = Rule::all([
        Rule::subjects(["alice"]),
        Rule::claim(["realm", "roles"]).contains("admin\n"),
        Rule::not(Rule::claim("suspended").equals(true)),
        Rule::any([
            Rule::emails(["boss@example.com"]),
            Rule::email_domain("example.org"),
        ]),
        Rule::not(Rule::any([Rule::claim("beta").exists()])),
    ]);
    let claims = json!({
        "realm": {"roles": ["private"]}, "suspended": true, "beta": "private",
        "email": "private@example.com",
    });
    let denied = rule.check(&user(&claims)).unwrap_err();
    assert_eq!(
        denied.conditions(),
        [
            r#"claim ["realm", "roles"] contains "admin\n": false"#,
            r#"claim ["suspended"] equals true: true"#,
            "email is listed: the email address is not verified",
            "email domain is listed: the email address is not verified",
            r#"claim ["beta"] exists: true"#,
        ]
    );
    let shown = format!("{denied} {denied:?} {rule:?}");
    assert!(
        !shown.contains("private") && !shown.contains("boss"),
        "{shown}"
    );
    let many = (0..100).map(|n| Rule::claim("x".repeat(1000)).equals(n));
    let denied = Rule::all(many).check(&user(&claims)).unwrap_err();
    assert_eq!(denied.conditions().len(), 8);
    assert!(denied.to_string().len() < 3000);
}

/// Pages with rules of each kind.
fn app(oten: &Oten) -> Router {
    let admins = Rule::all([
        Rule::claim("roles").contains("admin"),
        Rule::subjects(["alice"]),
    ]);
    let page =
        |path: &str| Router::new().route(path, get(async || "allowed").post(async || "done"));
    let admin = page("/admin").route_layer(oten.require(admins));
    let layered = page("/both").route_layer(
        oten.require(Rule::claim("roles").exists())
            .rule(Rule::subjects(["bob", "carol"]))
            .authorize(|user| user.subject() != "carol"),
    );
    let asked = page("/database").route_layer(oten.require_login().authorize_async(
        "alice",
        async |user: User, allowed: &str| match user.subject() {
            "carol" => Err("the database is down"),
            subject => Ok(subject == allowed),
        },
    ));
    let hung = page("/hung").route_layer(
        oten.require_login()
            .authorize_async((), async |_, ()| -> Result<bool, std::io::Error> {
                std::future::pending().await
            }),
    );
    let mail = page("/mail").route_layer(oten.require(Rule::email_domain("example.com")));
    let owned = async |access: Access| -> Result<String, ErrorResponse> {
        let user = access.require(Rule::subjects(["alice"])).await?;
        Ok(format!("owned by {}", user.subject()))
    };
    Router::new()
        .route("/", get(async || "home"))
        .route("/owned", get(owned))
        .merge(admin)
        .merge(layered)
        .merge(asked)
        .merge(hung)
        .merge(mail)
        .merge(oten.routes())
        .layer(oten.layer())
}

async fn site() -> TestSite {
    let site = TestSite::builder().app(app).start().await;
    site.emulator
        .deviate(Deviation::Claim("roles", json!(["admin"])));
    site
}

#[tokio::test]
async fn x1_a_denied_user_sees_the_account_and_can_switch_it() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.get("/admin?a=b").await.body, "allowed");
    assert_eq!(alice.post("/admin").await.body, "done");

    let guest = site.browser().get("/admin?a=b").await;
    assert_eq!(guest.location(), "/login?return_to=%2Fadmin%3Fa%3Db");
    let guest = site.browser().fetch(Method::GET, "/admin", "").await;
    assert_eq!(guest.status, StatusCode::UNAUTHORIZED);

    let mut bob = site.signed_in("bob").await;
    let log = Log::start();
    let denied = bob.get("/admin?a=b").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let account = "You are signed in as <strong><bdi>bob@example.com</bdi></strong>.";
    assert!(denied.body.contains(account), "{}", denied.body);
    let link = "/login?switch_account=1&#38;return_to=%2Fadmin%3Fa%3Db";
    assert!(denied.body.contains(link), "{}", denied.body);
    let event = log.refusal();
    assert_eq!(event["reason"], "forbidden");
    assert_eq!(
        event["cause"],
        "the access rule denies the user: subject is listed: false"
    );
    assert_eq!(event["subject"].len(), 16);
    // A form gets the page without the link back: its data would be lost.
    let form = bob.post("/admin").await;
    assert_eq!(form.status, StatusCode::FORBIDDEN);
    assert!(
        form.body.contains(r#"href="/login?switch_account=1""#),
        "{}",
        form.body
    );

    let problem = bob.fetch(Method::GET, "/admin", "").await;
    assert_eq!(problem.status, StatusCode::FORBIDDEN);
    let problem = problem.json();
    assert_eq!(problem["reason"], "forbidden");
    assert_eq!(problem["switch_account_url"], "/login?switch_account=1");
    assert_eq!(problem["logout_url"], "/logout");
    assert!(!problem.to_string().contains("bob@"), "{problem}");

    // The provider shows its list of accounts, and the browser returns to the page.
    let link = link.replace("&#38;", "&");
    let switch: Url = bob.get(&link).await.location().parse().unwrap();
    let request = parameters(&switch);
    assert_eq!(request["prompt"], "select_account");
    let callback = bob.approve(&switch, "alice");
    let back = bob.get(&callback).await;
    assert_eq!(back.location(), "/admin?a=b");
    assert_eq!(bob.get("/admin?a=b").await.body, "allowed");
}

#[tokio::test]
async fn x1_the_page_shows_an_account_as_text() {
    let site = site().await;
    let markup = "<script>alert(1)</script>\u{202e}\u{0}";
    site.emulator.deviate(Deviation::Claim(
        "email",
        json!(format!("{markup}{}", "x".repeat(500))),
    ));
    let denied = site.signed_in("bob").await.get("/admin").await;
    assert!(!denied.body.contains("<script"), "{}", denied.body);
    assert!(!denied.body.contains('\0') && !denied.body.contains(&"x".repeat(100)));
}

/// Each user lacks one of the conditions.
#[tokio::test]
async fn x1_every_condition_of_a_layer_must_hold() {
    let site = site().await;
    for (name, status) in [
        ("alice", StatusCode::FORBIDDEN),
        ("bob", StatusCode::OK),
        ("carol", StatusCode::FORBIDDEN),
    ] {
        let mut browser = site.signed_in(name).await;
        assert_eq!(browser.get("/both").await.status, status, "{name}");
    }
    site.emulator.clear_deviations();
    let mut without_roles = site.signed_in("bob").await;
    let denied = without_roles.get("/both").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn x1_new_claims_count_in_the_request_that_refreshes() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.get("/admin").await.status, StatusCode::OK);
    site.emulator
        .deviate(Deviation::Claim("roles", json!(["editor"])));
    site.clock.advance(HOUR);
    assert_eq!(alice.get("/admin").await.status, StatusCode::FORBIDDEN);
    site.emulator
        .deviate(Deviation::Claim("roles", json!("admin")));
    site.clock.advance(HOUR);
    assert_eq!(alice.get("/admin").await.status, StatusCode::OK);
}

#[tokio::test]
async fn x1_the_strength_of_the_sign_in_decides() {
    let several_factors = |oten: &Oten| {
        let rule = Rule::all([
            Rule::claim("acr").equals("urn:mfa"),
            Rule::claim("amr").contains("otp"),
        ]);
        let page = Router::new().route("/", get(async || "allowed"));
        let page = page.route_layer(oten.require(rule));
        page.merge(oten.routes()).layer(oten.layer())
    };
    let site = TestSite::builder().app(several_factors).start().await;
    let weak = site.signed_in("alice").await.get("/").await;
    assert_eq!(weak.status, StatusCode::FORBIDDEN);
    for (acr, amr, expected) in [
        ("urn:mfa", json!(["pwd", "otp"]), StatusCode::OK),
        ("urn:mfa", json!(["pwd"]), StatusCode::FORBIDDEN),
        ("urn:password", json!(["otp"]), StatusCode::FORBIDDEN),
    ] {
        site.emulator.clear_deviations();
        site.emulator.deviate(Deviation::Claim("acr", json!(acr)));
        site.emulator.deviate(Deviation::Claim("amr", amr));
        let mut browser = site.signed_in("alice").await;
        assert_eq!(browser.get("/").await.status, expected);
    }
}

#[tokio::test]
async fn x1_a_function_that_fails_denies() {
    let site = site().await;
    for (name, status, reason) in [
        ("bob", StatusCode::FORBIDDEN, "forbidden"),
        ("carol", StatusCode::SERVICE_UNAVAILABLE, "access_check"),
    ] {
        let mut browser = site.signed_in(name).await;
        let log = Log::start();
        let answer = browser.fetch(Method::GET, "/database", "").await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (status, &json!(reason))
        );
        if reason == "access_check" {
            assert_eq!(
                log.refusal()["cause"],
                "the function of `RequireLogin::authorize_async` failed: the database is down"
            );
            assert!(answer.headers.contains_key("retry-after"));
            assert!(!answer.body.contains("database"), "{}", answer.body);
        }
    }
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.get("/database").await.body, "allowed");
    tokio::time::pause();
    let hung = alice.get("/hung").await;
    assert_eq!(hung.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn x1_a_handler_can_require_a_rule() {
    let site = site().await;
    let mut alice = site.signed_in("alice").await;
    assert_eq!(alice.get("/owned").await.body, "owned by alice");
    let mut bob = site.signed_in("bob").await;
    assert_eq!(bob.get("/owned").await.status, StatusCode::FORBIDDEN);
    let guest = site.browser().get("/owned").await;
    assert_eq!(guest.location(), "/login?return_to=%2Fowned");
}

#[tokio::test]
async fn x1_the_operator_decides_whether_addresses_are_verified() {
    for (trust, status) in [(false, StatusCode::FORBIDDEN), (true, StatusCode::OK)] {
        let site = TestSite::builder()
            .app(app)
            .config(move |config| config.trust_emails(trust))
            .start()
            .await;
        site.emulator
            .deviate(Deviation::WithoutClaim("email_verified"));
        let mut alice = site.signed_in("alice").await;
        assert_eq!(alice.get("/mail").await.status, status);
    }
}

fn built(access: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "environment = 'sandbox'\nclient_id = 'panel'\nclient_type = 'public'\n\
         redirect_uri = 'http://localhost:3000/callback'\n{access}"
    );
    ConfigBuilder::from_toml("site.toml", &text)
        .unwrap()
        .build()
}

#[test]
fn x1_operators_write_rules_into_the_configuration() {
    let config = built(
        r#"
        trust_emails = true
        [access]
        staff.claim = "workspace"
        staff.equals = "Staff"
        staff.ignore_case = true
        [access.admin]
        any = [
            { claim = ["realm", "roles"], contains = "admin" },
            { email_domain = "example.com" },
            { all = [{ subjects = ["alice", "bob"] }, { not = { claim = "suspended", exists = true } }] },
        ]
        [access.others]
        any = [
            { email_domain = ["example.org", "example.net"], subdomains = true },
            { emails = "alice@example.edu" },
            { claim = "level", equals = 3 },
            { claim = "active", equals = true },
            { claim = "share", equals = 0.5 },
        ]
        "#,
    )
    .unwrap();
    assert!(config.rule("Admin").is_none());
    for (rule, claims, allowed) in [
        ("staff", json!({"workspace": "sTaff"}), true),
        ("admin", json!({"realm": {"roles": ["admin"]}}), true),
        ("admin", json!({"email": "x@example.com"}), true),
        ("admin", json!({}), true),
        ("admin", json!({"suspended": true}), false),
        ("others", json!({"email": "x@a.example.net"}), true),
        ("others", json!({"email": "alice@example.edu"}), true),
        ("others", json!({"level": 3}), true),
        ("others", json!({"active": true}), true),
        ("others", json!({"share": 0.5}), true),
        ("others", json!({}), false),
    ] {
        let allows = config.rule(rule).unwrap().allows(&user(&claims));
        assert_eq!(allows, allowed, "{rule} {claims}");
    }
    // The environment has the same rules as JSON.
    let config = Config::builder()
        .issuer("http://localhost:9000")
        .client_id("panel")
        .public_client()
        .redirect_uri("http://localhost:3000/callback")
        .access(r#"{"admin": {"subjects": ["alice"]}}"#)
        .build()
        .unwrap();
    assert!(config.rule("admin").unwrap().allows(&user(&json!({}))));
}

/// A mistake, the path to it, and a part of its help.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("[access]\nadmin = true", "access.admin", "Write a table"),
    ("[access.admin]", "access.admin", "Use `all`, `any`"),
    (
        "[access.\"a b\"]\nsubjects = ['x']",
        "access.a b",
        "letters",
    ),
    (
        "[access.admin]\nsubject = ['x']",
        "access.admin.subject",
        "Did you mean `subjects`?",
    ),
    (
        "[access.admin]\nsubjects = ['x']\nemails = ['a@b']",
        "access.admin",
        "combine them",
    ),
    (
        "[access.admin]\nsubjects = []",
        "access.admin.subjects",
        "Add a value.",
    ),
    (
        "[access.admin]\nsubjects = [5]",
        "access.admin.subjects",
        "in quotes",
    ),
    (
        "[access.admin]\nsubjects = ['']",
        "access.admin.subjects",
        "in quotes",
    ),
    (
        "[access.admin]\nany = []",
        "access.admin.any",
        "Add a value.",
    ),
    (
        "[access.admin]\nany = { subjects = 'x' }",
        "access.admin.any",
        "in this form",
    ),
    (
        "[access.admin]\nany = [{ subjects = 'x' }, {}]",
        "access.admin.any[1]",
        "Use `all`",
    ),
    (
        "[access.admin]\nnot = { any = [{ emails = 'x' }] }",
        "access.admin.not.any[0]",
        "no `@`",
    ),
    (
        "[access.admin]\nclaim = 'x'",
        "access.admin",
        "Add one of `equals`",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = 1\nexists = true",
        "access.admin",
        "Add one of",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = []",
        "access.admin.equals",
        "one value",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = 1979-05-27",
        "access.admin.equals",
        "one value",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = nan",
        "access.admin.equals",
        "one value",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = 1\nignore_case = true",
        "access.admin.equals",
        "one value",
    ),
    (
        "[access.admin]\nclaim = 'x'\nexists = 'yes'",
        "access.admin.exists",
        "`true` or `false`",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequals = 'y'\nignore_case = 1",
        "access.admin.ignore_case",
        "without quotes",
    ),
    (
        "[access.admin]\nclaim = 'x'\nequal = 'y'\nequals = 'y'",
        "access.admin.equal",
        "Did you mean `equals`?",
    ),
    (
        "[access.admin]\nclaim = 'sub'\nequals = 'y'",
        "access.admin",
        "`subjects`",
    ),
    (
        "[access.admin]\nclaim = ['a', '']\nequals = 'y'",
        "access.admin.claim",
        "in quotes",
    ),
    (
        "[access.admin]\nsubjects = 'x'\nequals = 'y'",
        "access.admin.equals",
        "needs a `claim`",
    ),
    (
        "[access.admin]\nemail_domain = '@example.com'",
        "access.admin",
        "a domain such as",
    ),
    (
        "[access.admin]\nemail_domain = 'a'\nsubdomains = 'yes'",
        "access.admin.subdomains",
        "without quotes",
    ),
];

#[tokio::test]
async fn x1_every_mistake_in_a_rule_is_reported_with_its_path() {
    for (access, path, help) in MISTAKES {
        let error = built(access).unwrap_err();
        let [problem] = error.problems() else {
            panic!("{access}: {error}");
        };
        assert_eq!(problem.key(), *path, "{access}");
        assert!(problem.help().contains(help), "{access}: {error}");
        assert_eq!(problem.origin().to_string(), "from site.toml");
    }
    // All at once, and in `oten check`.
    let both = "[access]\na.subjects = []\nb.any = [{ emails = 'x' }, { email = 'x' }]";
    let error = built(both).unwrap_err();
    let paths: Vec<_> = error.problems().iter().map(Problem::key).collect();
    assert_eq!(
        paths,
        [
            "access.a.subjects",
            "access.b.any[0]",
            "access.b.any[1].email"
        ]
    );
    let checked = Checker::new(ConfigBuilder::from_toml("site.toml", both)).offline();
    let report = checked.run(|_| {}).await;
    let found = format!("{:?}", report.findings);
    for path in paths {
        assert!(found.contains(path), "{path}: {found}");
    }
    // Deeper than TOML's own parser allows, in JSON.
    let deep = format!("{}{{}}{}", "{\"not\":".repeat(60), "}".repeat(60));
    let error = Config::builder()
        .access(format!("{{\"a\":{deep}}}"))
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("nested too deeply"), "{error}");
    // TOML has no repeated names.
    for repeated in [
        r#"{"a": {"subjects": ["x"]}, "a": {"email_domain": "example.com"}}"#,
        r#"{"a": {"any": [{"subjects": ["x"], "subjects": ["y"]}]}}"#,
    ] {
        let error = Config::builder().access(repeated).build().unwrap_err();
        assert!(error.to_string().contains("the same name twice"), "{error}");
    }
}
