use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use tokio::time::timeout;
use url::{Origin, Url};

use super::client_credentials::{ClientCredentials, ClientCredentialsError};
use crate::{
    config::is_loopback,
    http::{HttpClient, HttpOptions, OutgoingBody},
    secret::Secret,
    web::{access::AccessToken, shared::SetupError},
};

/// The time limit until the headers of the response, with redirects and the second request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// The headers that a redirect to another origin keeps.
const HARMLESS: [header::HeaderName; 3] =
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::USER_AGENT];

/// The headers that describe the connection, which the HTTP client sets itself. `Host` could address
/// another server behind the same origin.
const OF_CONNECTION: [header::HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
];

/// Client for calls to APIs with an access token, returned by
/// [`Oten::api_client`](crate::Oten::api_client) and
/// [`ResourceServer::api_client`](crate::web::ResourceServer::api_client).
///
/// The token is sent to the configured origins only. Redirects of GET and HEAD requests are followed;
/// from the first one that leads to another origin, the requests have no token and no header but
/// `Accept`, `Accept-Language` and `User-Agent`. Other redirects, and those that lead from https to
/// http, are returned as they are.
///
/// If the API responds with 401 and the token is older than a minute, the tokens are refreshed and the
/// request is sent once more. This takes a request whose body can be repeated, for [`send`](Self::send).
///
/// The client uses the settings `ca_file` and `proxy`. It waits 30 seconds for the headers of a
/// response and for each part of its body. Clones share their connections.
///
/// ```no_run
/// use axum::{body::Bytes, http::Request, response::{IntoResponse, Response}};
/// use axum_oten::{AccessToken, Oten, web::{ApiCallError, ApiClient}};
///
/// # fn setup(oten: &Oten) -> Result<ApiClient, axum_oten::web::SetupError> {
/// // At the start of the app:
/// let api = oten.api_client(["https://orders.example"])?;
/// # Ok(api) }
///
/// // In a handler, on behalf of the user:
/// async fn orders(api: ApiClient, token: AccessToken) -> Result<Response, ApiCallError> {
///     let request = Request::get("https://orders.example/orders");
///     let request = request.body(Bytes::new()).expect("the URL is valid");
///     Ok(api.send(&token, request).await?.into_response())
/// }
/// ```
#[derive(Clone)]
pub struct ApiClient(Arc<Inner>);

struct Inner {
    http: HttpClient,
    /// For the origins on this machine, if there are any.
    loopback: Option<HttpClient>,
    origins: Vec<Origin>,
}

/// The access token of a call: of the signed-in user, or of the client itself.
///
/// Made from a reference to [`AccessToken`] or [`ClientCredentials`].
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a>(Kind<'a>);

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    User(&'a AccessToken),
    Client(&'a ClientCredentials),
}

impl<'a> From<&'a AccessToken> for Credentials<'a> {
    fn from(token: &'a AccessToken) -> Self {
        Self(Kind::User(token))
    }
}

impl<'a> From<&'a ClientCredentials> for Credentials<'a> {
    fn from(credentials: &'a ClientCredentials) -> Self {
        Self(Kind::Client(credentials))
    }
}

impl Credentials<'_> {
    async fn token(&self) -> Result<Secret, ClientCredentialsError> {
        match self.0 {
            Kind::User(token) => Ok(token.expose().into()),
            Kind::Client(credentials) => credentials.token().await,
        }
    }

    async fn token_after(&self, rejected: &Secret) -> Option<Secret> {
        match self.0 {
            Kind::User(token) => token.after(rejected).await,
            Kind::Client(credentials) => credentials.token_after(rejected).await,
        }
    }
}

/// Error returned when a call to an API has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiCallError {
    /// The request's URL is not absolute, or has a user name or a password.
    #[error("the request's URL is not absolute, or has a user name or a password")]
    Url,
    /// The request's URL is not in one of the configured origins. Nothing was sent.
    #[error("the request's origin `{0}` is none of the origins of this client")]
    Origin(String),
    /// The client gets no token of its own.
    #[error("there is no token of the client itself")]
    ClientCredentials(#[from] ClientCredentialsError),
    /// The token has characters that a header cannot have (RFC 6750 section 2.1).
    #[error("the access token has characters of no token")]
    Token,
    /// The API redirected more than 5 times.
    #[error("the API redirected more than {MAX_REDIRECTS} times")]
    Redirects,
    /// The API did not respond in time.
    #[error("the API did not respond within {} seconds", RESPONSE_TIMEOUT.as_secs())]
    TimedOut,
    /// The API is unreachable.
    #[error("the API is unreachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// 502, or 503 if there is no token of the client itself, or 504 if the API did not respond in time.
/// The error is logged and not part of the response.
impl axum::response::IntoResponse for ApiCallError {
    fn into_response(self) -> axum::response::Response {
        let status = match self {
            Self::ClientCredentials(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Url | Self::Origin(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        };
        let error = crate::error::with_causes(&self);
        tracing::error!(target: crate::audit::TARGET, error, "a call to an API failed");
        status.into_response()
    }
}

/// A request, apart from its token and its body.
struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl ApiClient {
    pub(in crate::web) fn new<S: AsRef<str>>(
        options: &HttpOptions,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, SetupError> {
        let urls = origins.into_iter().map(|origin| {
            let origin = origin.as_ref();
            parse_origin(origin).ok_or_else(|| SetupError::ApiOrigin(origin.to_owned()))
        });
        let urls = urls.collect::<Result<Vec<_>, _>>()?;
        let client = |is_loopback| {
            let client = HttpClient::for_apis(&options.to_api(is_loopback));
            client.map_err(|error| SetupError::HttpClient(error.into()))
        };
        let has_loopback = urls.iter().any(is_loopback);
        Ok(Self(Arc::new(Inner {
            http: client(false)?,
            loopback: has_loopback.then(|| client(true)).transpose()?,
            origins: urls.iter().map(Url::origin).collect(),
        })))
    }

    /// Sends a request with a token. The response can have any status.
    ///
    /// `Authorization` and the headers of the connection, such as `Host`, are replaced.
    ///
    /// # Errors
    ///
    /// Returns [`ApiCallError`] if the URL is not in one of the origins, there is no token, or the API
    /// does not respond.
    pub async fn send<'a, B: Into<Bytes>>(
        &self,
        credentials: impl Into<Credentials<'a>>,
        request: Request<B>,
    ) -> Result<Response<Body>, ApiCallError> {
        let credentials = credentials.into();
        let (parts, body) = request.into_parts();
        let (call, body) = (self.call(parts)?, body.into());
        in_time(async {
            let token = credentials.token().await?;
            let (response, has_token) = self.exchange(&call, &token, body.clone().into()).await?;
            // Another origin's 401 says nothing about the token.
            if response.status() == StatusCode::UNAUTHORIZED
                && has_token
                && let Some(token) = credentials.token_after(&token).await
            {
                return Ok(self.exchange(&call, &token, body.into()).await?.0);
            }
            Ok(response)
        })
        .await
    }

    /// Sends a request with a token, once, and streams its body. The response can have any status.
    ///
    /// Like [`send`](Self::send), but after a 401 the request is not sent again.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub async fn send_once<'a>(
        &self,
        credentials: impl Into<Credentials<'a>>,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiCallError> {
        let credentials = credentials.into();
        let (parts, body) = request.into_parts();
        let call = self.call(parts)?;
        in_time(async {
            let token = credentials.token().await?;
            let body = OutgoingBody::wrap(SyncBody(Mutex::new(body)));
            Ok(self.exchange(&call, &token, body).await?.0)
        })
        .await
    }

    fn call(&self, parts: Parts) -> Result<Call, ApiCallError> {
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| ApiCallError::Url)?;
        if has_user(&url) {
            return Err(ApiCallError::Url);
        }
        let origin = url.origin();
        if !self.0.origins.contains(&origin) {
            return Err(ApiCallError::Origin(origin.ascii_serialization()));
        }
        let mut headers = parts.headers;
        for name in OF_CONNECTION {
            headers.remove(name);
        }
        Ok(Call {
            method: parts.method,
            url,
            headers,
        })
    }

    /// Sends the request and follows redirects. Returns the response, and whether its request had the
    /// token.
    async fn exchange(
        &self,
        call: &Call,
        token: &Secret,
        body: OutgoingBody,
    ) -> Result<(Response<Body>, bool), ApiCallError> {
        let authorization = format!("Bearer {}", token.expose());
        let mut authorization =
            HeaderValue::try_from(authorization).map_err(|_| ApiCallError::Token)?;
        authorization.set_sensitive(true);
        let mut headers = call.headers.clone();
        headers.insert(header::AUTHORIZATION, authorization);
        let (mut url, mut has_token) = (call.url.clone(), true);
        let mut response = self.forward(call, &url, &headers, body).await?;
        let mut redirects = 0;
        while let Some(next) = redirect(&call.method, &url, &response) {
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(ApiCallError::Redirects);
            }
            if next.origin() != call.url.origin() {
                has_token = false;
                headers = harmless(&headers);
            }
            url = next;
            let body = Bytes::new().into();
            response = self.forward(call, &url, &headers, body).await?;
        }
        Ok((response.map(Body::new), has_token))
    }

    async fn forward(
        &self,
        call: &Call,
        url: &Url,
        headers: &HeaderMap,
        body: OutgoingBody,
    ) -> Result<Response<OutgoingBody>, ApiCallError> {
        let loopback = self.0.loopback.as_ref().filter(|_| is_loopback(url));
        let http = loopback.unwrap_or(&self.0.http);
        let (method, url, headers) = (call.method.clone(), url.clone(), headers.clone());
        let response = http.forward(method, url, headers, Some(body)).await;
        response.map_err(|error| ApiCallError::Unreachable(error.into()))
    }
}

async fn in_time(
    call: impl Future<Output = Result<Response<Body>, ApiCallError>>,
) -> Result<Response<Body>, ApiCallError> {
    let response = timeout(RESPONSE_TIMEOUT, call).await;
    response.unwrap_or(Err(ApiCallError::TimedOut))
}

/// Returns where a redirect leads that is followed (RFC 9110 section 15.4).
fn redirect<B>(method: &Method, from: &Url, response: &Response<B>) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !is_redirect || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let next = from.join(location).ok()?;
    // An API elsewhere must not lead to the services of this machine.
    let is_allowed = if is_loopback(&next) {
        is_loopback(from)
    } else {
        next.scheme() == "https"
    };
    (is_allowed && next.has_host() && !has_user(&next)).then_some(next)
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = HARMLESS
        .into_iter()
        .filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())));
    kept.collect()
}

/// Returns the URL of an origin: https, or http on a loopback host.
fn parse_origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_origin = url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && !has_user(&url);
    let is_secure = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
    (is_origin && is_secure).then_some(url)
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A body that is `Sync`, which the HTTP client requires. It is only used through `&mut`.
struct SyncBody(Mutex<Body>);

impl HttpBody for SyncBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let body = self.get_mut().0.get_mut();
        let body = body.unwrap_or_else(std::sync::PoisonError::into_inner);
        Pin::new(body).poll_frame(context)
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.0.origins.iter().map(Origin::ascii_serialization);
        f.debug_tuple("ApiClient")
            .field(&origins.collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::Proxy;

    /// A proxy would read the token, and its machine is another one.
    #[tokio::test]
    async fn a4_a_call_to_this_machine_takes_no_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(async || "here");
        tokio::spawn(axum::serve(listener, app).into_future());
        let options = HttpOptions {
            proxy: Proxy::Url("http://127.0.0.1:1".into()),
            ..HttpOptions::default()
        };
        let api = ApiClient::new(&options, ["https://orders.example", &origin]).unwrap();
        let call = |url: &str| {
            let request = Request::get(url).body(()).unwrap();
            api.call(request.into_parts().0).unwrap()
        };
        let token = Secret::from("token");
        let (response, _) = api
            .exchange(&call(&origin), &token, Bytes::new().into())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let far = call("https://orders.example");
        let refused = api.exchange(&far, &token, Bytes::new().into()).await;
        let error = format!("{:?}", refused.unwrap_err());
        assert!(error.contains("Proxy"), "{error}");
    }

    #[test]
    fn a4_a_redirect_leads_neither_to_plain_http_nor_to_this_machine() {
        for (from, location, expected) in [
            ("https://a.example/x", "/y", Some("https://a.example/y")),
            (
                "https://a.example/x",
                "https://b.example/",
                Some("https://b.example/"),
            ),
            (
                "https://a.example/x",
                "//b.example/",
                Some("https://b.example/"),
            ),
            ("https://a.example/x", "http://a.example/", None),
            ("https://a.example/x", "http://127.0.0.1/", None),
            ("https://a.example/x", "https://localhost/", None),
            ("https://a.example/x", "https://[::1]/", None),
            ("https://a.example/x", "https://user@b.example/", None),
            ("https://a.example/x", "file:///etc/passwd", None),
            (
                "http://localhost/x",
                "http://127.0.0.1/",
                Some("http://127.0.0.1/"),
            ),
            (
                "http://localhost/x",
                "https://a.example/",
                Some("https://a.example/"),
            ),
            ("http://localhost/x", "http://a.example/", None),
        ] {
            let from = Url::parse(from).unwrap();
            let response = Response::builder()
                .status(302)
                .header(header::LOCATION, location);
            let response = response.body(()).unwrap();
            let next = redirect(&Method::GET, &from, &response);
            assert_eq!(
                next.as_ref().map(Url::as_str),
                expected,
                "{from} {location}"
            );
            assert_eq!(redirect(&Method::POST, &from, &response), None);
        }
    }
}
