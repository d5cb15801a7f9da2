use url::Url;

use crate::secret::Secret;

/// A longer ID token is left out: many servers refuse a URL of more than 8 KiB.
const MAX_HINT_BYTES: usize = 6 * 1024;

/// What a logout at the provider needs (OpenID Connect RP-Initiated Logout 1.0 section 2).
#[derive(Debug)]
pub(crate) struct LogoutRequest<'a> {
    pub(crate) client_id: &'a str,
    /// Whom it is about; without it the provider has to ask.
    pub(crate) id_token_hint: Option<&'a Secret>,
    /// Where the browser comes back to, if anywhere, and with which `state`.
    pub(crate) back: Option<(&'a Url, &'a Secret)>,
}

/// Where to send the browser so that the provider signs it out, too.
pub(crate) fn end_session_url(end_session_endpoint: &Url, request: &LogoutRequest<'_>) -> Url {
    let mut url = end_session_endpoint.clone();
    {
        // It keeps a query that the endpoint has already.
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", request.client_id);
        let hint = request.id_token_hint.map(Secret::expose);
        if let Some(hint) = hint.filter(|hint| hint.len() <= MAX_HINT_BYTES) {
            query.append_pair("id_token_hint", hint);
        }
        if let Some((uri, state)) = request.back {
            query.append_pair("post_logout_redirect_uri", uri.as_str());
            query.append_pair("state", state.expose());
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str, request: &LogoutRequest<'_>) -> String {
        end_session_url(&endpoint.parse().unwrap(), request).into()
    }

    #[test]
    fn o3_the_url_says_who_leaves_and_where_to() {
        let (hint, state) = (Secret::from("a.b.c"), Secret::from("xyz"));
        let back: Url = "https://app.example/logout?a=b".parse().unwrap();
        let request = LogoutRequest {
            client_id: "shop",
            id_token_hint: Some(&hint),
            back: Some((&back, &state)),
        };
        assert_eq!(
            url("https://id.example/out?x=1", &request),
            "https://id.example/out?x=1&client_id=shop&id_token_hint=a.b.c\
             &post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Flogout%3Fa%3Db&state=xyz"
        );
        let nobody = LogoutRequest {
            client_id: "shop",
            id_token_hint: None,
            back: None,
        };
        let alone = "https://id.example/out?client_id=shop";
        assert_eq!(url("https://id.example/out", &nobody), alone);
        let long = Secret::from("x".repeat(MAX_HINT_BYTES + 1));
        let over_long = LogoutRequest {
            id_token_hint: Some(&long),
            ..nobody
        };
        assert_eq!(url("https://id.example/out", &over_long), alone);
    }
}
