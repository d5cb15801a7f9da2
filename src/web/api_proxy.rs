//! Forwarding of requests to an API with the user's access token.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body::Body as _;
use percent_encoding::percent_decode;
use url::{Position, Url};

use super::{
    context::RequestContext,
    error::Error,
    rejection::ErrorResponse,
    response::{prevent_caching, protect},
    shared::SetupError,
};
use crate::{
    config::{Config, is_loopback},
    http::HttpClient,
};

/// Headers of one connection (RFC 9110 section 7.6.1), in addition to those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of a request that are forwarded: those of its content, conditions, ranges and preferences, and IDs for
/// logs. With any other, a client could claim another user, address, path or method to some API.
const FORWARDED: [&str; 34] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-range",
    "content-type",
    "digest",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "pragma",
    "prefer",
    "priority",
    "range",
    "repr-digest",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "want-content-digest",
    "want-digest",
    "want-repr-digest",
    "x-correlation-id",
    "x-request-id",
    "x-requested-with",
];

/// Headers of a request that an app cannot add. The proxy sets them, or they are for this site.
const NEVER_FORWARDED: [&str; 5] = [
    "authorization",
    "content-length",
    "cookie",
    "expect",
    "host",
];

/// Headers of a response that act on the whole site, its cookies, its windows or the proxy before it. Caches are
/// dealt with apart.
const OF_THE_API: [&str; 25] = [
    "accept-ch",
    "activate-storage-access",
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "content-security-policy",
    "content-security-policy-report-only",
    "critical-ch",
    "expect-ct",
    "nel",
    "observe-browsing-topics",
    "origin-agent-cluster",
    "public-key-pins",
    "public-key-pins-report-only",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "speculation-rules",
    "strict-transport-security",
    "timing-allow-origin",
    "use-as-dictionary",
];

/// The beginnings of other such names.
const OF_THE_API_PREFIXES: [&str; 12] = [
    "access-control-",
    "ad-auction-",
    "attribution-reporting-",
    "sec-session-",
    "secure-session-",
    "x-accel-",
    "x-archive-",
    "x-envoy-",
    "x-lighttpd-",
    "x-litespeed-",
    "x-reproxy-",
    "x-sendfile",
];

/// An API to which requests are forwarded.
#[derive(Debug)]
pub(super) struct ApiProxy {
    client: HttpClient,
    url: Url,
    /// Headers of a request that the app forwards in addition.
    headers: Vec<HeaderName>,
}

impl ApiProxy {
    pub(super) fn new<'a>(
        config: &Config,
        url: &str,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Arc<Self>, SetupError> {
        let headers = headers.into_iter().map(|name| {
            let header = HeaderName::try_from(name).ok();
            header
                .filter(|header| {
                    !is_hop_by_hop(header) && !NEVER_FORWARDED.contains(&header.as_str())
                })
                .ok_or_else(|| SetupError::ApiHeader(name.to_owned()))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let is_valid = |url: &Url| {
            let is_secure = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
            let has_user = !url.username().is_empty() || url.password().is_some();
            is_secure && !has_user && url.query().is_none() && url.fragment().is_none()
        };
        let url = Url::parse(url).ok().filter(is_valid);
        let url = url.ok_or(SetupError::ApiUrl)?;
        let options = config.http_options().to_api(is_loopback(&url));
        let client = HttpClient::for_forwarding(&options);
        let client = client.map_err(|error| SetupError::HttpClient(error.into()))?;
        Ok(Arc::new(Self {
            client,
            url,
            headers,
        }))
    }

    /// Forwards a request whose path is below the prefix, and returns the API's response.
    pub(super) async fn forward(&self, context: &RequestContext, request: Request) -> Response {
        let response = self.response(context, request).await;
        response.unwrap_or_else(|error| ErrorResponse::new(context, error).into_response())
    }

    async fn response(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> Result<Response, Error> {
        let token = context.require_access_token().await?;
        context.require_same_origin()?;
        let (parts, body) = request.into_parts();
        // The response to `TRACE` would show the token.
        if context.is_handshake || matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Error::ApiRequest("its method or protocol is not supported"));
        }
        let url = self.target(&parts.uri);
        let url = url.ok_or(Error::ApiRequest("its path could leave the prefix"))?;
        let prefix = context.prefix_of(parts.uri.path());
        let target = url.clone();

        let mut headers = parts.headers;
        remove_hop_by_hop_and(&mut headers, |name| !self.is_forwarded(name));
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|_| Error::AccessTokenUseless)?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        // RFC 9110 section 7.6.3.
        headers.append(header::VIA, HeaderValue::from_static("1.1 axum-oten"));

        let forwarded = self
            .client
            .forward_streaming(parts.method, url, headers, body)
            .await;
        let mut response = forwarded.map_err(Error::Api)?;
        let headers = response.headers_mut();
        remove_hop_by_hop_and(headers, acts_on_site);
        let challenges = headers.get_all(header::WWW_AUTHENTICATE);
        if !challenges.iter().all(is_for_scripts) {
            headers.remove(header::WWW_AUTHENTICATE);
        }
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let location = headers.get(&name);
            if let Some(seen) = location.and_then(|at| self.seen_location(at, &target, &prefix)) {
                headers.insert(name, seen);
            }
        }
        // To a cache, a request with a cookie is none with `Authorization` (RFC 9111 section 3.5).
        prevent_caching(headers);
        // The API's documents must not act as pages of this site, nor be part of those of other sites.
        protect(headers);
        headers
            .entry("cross-origin-resource-policy")
            .or_insert(HeaderValue::from_static("same-origin"));
        if headers.contains_key(header::CONTENT_LENGTH) || response.body().is_end_stream() {
            return Ok(response.map(Body::new));
        }
        // A stream may last longer than the session.
        let session = context.session.watch().await?.ok_or(Error::NotSignedIn)?;
        Ok(response.map(|body| Body::new(body.until(session.ended()))))
    }

    fn is_forwarded(&self, name: &HeaderName) -> bool {
        FORWARDED.contains(&name.as_str()) || self.headers.contains(name)
    }

    /// Returns where a URL of the API is below the prefix. `None` for a URL that is not forwarded.
    fn seen_location(
        &self,
        value: &HeaderValue,
        target: &Url,
        prefix: &str,
    ) -> Option<HeaderValue> {
        let location = target.join(value.to_str().ok()?).ok()?;
        let base = self.url.path().trim_end_matches('/');
        let rest = location[Position::BeforePath..].strip_prefix(base)?;
        let is_below = matches!(rest.chars().next(), None | Some('/' | '?' | '#'));
        let has_user = !location.username().is_empty() || location.password().is_some();
        if location.origin() != self.url.origin() || has_user || !is_below {
            return None;
        }
        HeaderValue::try_from(format!("{prefix}{rest}")).ok()
    }

    /// Returns the URL at the API, or `None` if a server could take its path for one outside of the
    /// configured URL.
    fn target(&self, uri: &Uri) -> Option<Url> {
        if !stays_below(uri.path()) {
            return None;
        }
        let mut url = self.url.clone();
        let base = self.url.path().trim_end_matches('/');
        url.set_path(&format!("{base}{}", uri.path()));
        url.set_query(uri.query());
        let is_below = url.path().strip_prefix(base)?.starts_with('/');
        (is_below && url.origin() == self.url.origin()).then_some(url)
    }
}

/// How often a server may decode a path.
const MAX_DECODINGS: usize = 4;

/// Whether no part of a path is `.` or `..`, however often it is percent-decoded.
fn stays_below(path: &str) -> bool {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..=MAX_DECODINGS {
        if path.iter().any(u8::is_ascii_control) || has_dot_segment(&path) {
            return false;
        }
        path = match Cow::from(percent_decode(&path)) {
            Cow::Borrowed(_) => return true,
            Cow::Owned(decoded) => decoded.into(),
        };
    }
    false
}

/// Some servers take `\` for `/`, and remove parameters such as `;a=b` from a segment.
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| {
            let mut parts = segment.split(|byte| matches!(byte, b';' | b'?' | b'#'));
            matches!(parts.next(), Some(b"." | b".."))
        })
}

/// Removes the headers of one connection, and others.
fn remove_hop_by_hop_and(headers: &mut HeaderMap, is_other: impl Fn(&HeaderName) -> bool) {
    let connection = headers.get_all(header::CONNECTION).iter();
    let named = connection.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let named = named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    let mut removed: Vec<_> = named.collect();
    let is_removed = |name: &&HeaderName| is_hop_by_hop(name) || is_other(name);
    removed.extend(headers.keys().filter(is_removed).cloned());
    for name in removed {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str()) || name.as_str().starts_with("proxy-auth")
}

/// Whether a header of the API's response acts on the whole site.
fn acts_on_site(name: &HeaderName) -> bool {
    let starts_with = |prefix: &&str| name.as_str().starts_with(prefix);
    OF_THE_API.contains(&name.as_str()) || OF_THE_API_PREFIXES.iter().any(starts_with)
}

/// Whether all challenges in `WWW-Authenticate` are for access tokens. For others, browsers ask the user for a
/// password in the name of this site, or sign in by themselves.
fn is_for_scripts(challenges: &HeaderValue) -> bool {
    let Ok(challenges) = challenges.to_str() else {
        return false;
    };
    // Browsers differ in how they read escapes, and strings without an end.
    if challenges.contains('\\') || challenges.matches('"').count() % 2 == 1 {
        return false;
    }
    // Each quoted string becomes one quotation mark: a comma in it separates nothing.
    let unquoted: Vec<_> = challenges.split('"').step_by(2).collect();
    // A comma separates challenges, and their parameters (RFC 9110 section 11.6.1).
    unquoted.join("\"").split(',').all(|part| {
        let part = part.trim();
        let is_value = |(before, after): (&str, &str)| before.ends_with('=') && after.is_empty();
        let end = part.find([' ', '\t', '=']).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        let is_parameter = rest.starts_with('=');
        part.split_once('"').is_none_or(is_value)
            && (is_parameter || ["bearer", "dpop"].contains(&&*name.to_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_no_spelling_of_a_path_leaves_the_prefix() {
        for path in [
            "/..",
            "/../admin",
            "/a/../../admin",
            "/.",
            "/./a",
            "/%2e%2e/admin",
            "/.%2E/admin",
            "/%2e/a",
            "/a/..%2fadmin",
            "/a%2f..%2f..%2fadmin",
            "/..%5cadmin",
            "/..\\admin",
            "/a\\..\\..\\admin",
            "/%252e%252e/admin",
            "/%25252e%25252e%25252fadmin",
            "/..;/admin",
            "/..;a=b/admin",
            "/%2e%2e%3b/admin",
            "/..%3fadmin",
            "/..%23admin",
            "/a%00b",
            "/..%09/admin",
            "/%0d%0aa",
            "/%25252525252525252e",
        ] {
            assert!(!stays_below(path), "{path}");
        }
        for path in [
            "/",
            "/orders/7",
            "//orders",
            "/a%2Fb",
            "/...",
            "/..a/.b/c.",
            "/a;v=1/b",
            "/%E2%82%AC",
            "/100%25",
            "/%",
            "/%zz",
            "/a%20b",
        ] {
            assert!(stays_below(path), "{path}");
        }
    }

    #[test]
    fn a4_no_challenge_makes_a_browser_ask_for_a_password() {
        for (challenges, expected) in [
            ("Bearer", true),
            ("bearer error=\"invalid_token\", max_age=\"60\"", true),
            ("DPoP algs=\"ES256\", Bearer realm=\"a\"", true),
            ("Bearer error_description=\"expired, sign in again\"", true),
            ("Bearer a=\"b, Basic realm=\", c=\"d\"", true),
            ("Bearer a=\"b, Basic realm=c", false),
            ("Bearer a=\"b\\\", Basic realm=c, d=\"", false),
            ("Bearer a=b\", Basic realm=\"c", false),
            ("Bearer a=\"b\" Basic realm=\"c\"", false),
            ("Basic", false),
            ("Basic realm=\"a\"", false),
            ("Bearer realm=\"a\", BASIC realm=\"b\"", false),
            ("Bearer,Negotiate", false),
            ("Bearer realm=\"a\",\tNTLM", false),
            ("Digest nonce=\"a\"", false),
            ("", false),
            ("Bearer realm=\"\u{e4}\"", false),
        ] {
            let value = HeaderValue::from_bytes(challenges.as_bytes()).unwrap();
            assert_eq!(is_for_scripts(&value), expected, "{challenges}");
        }
    }

    #[test]
    fn a4_connection_cannot_keep_a_header() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("connection", " keep-alive ,,=,"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic YTpi"),
            ("proxy-authentication-info", "a"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop_and(&mut headers, |_| false);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-kept"]);
    }
}
