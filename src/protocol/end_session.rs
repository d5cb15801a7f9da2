use url::Url;

use crate::secret::Secret;

/// A longer ID token is omitted: many servers reject URLs of more than 8 KiB. The provider then asks the
/// user to confirm the sign-out.
const MAX_HINT_BYTES: usize = 6 * 1024;

/// A logout request (OpenID Connect RP-Initiated Logout section 2).
#[derive(Debug)]
pub(crate) struct LogoutRequest<'a> {
    pub(crate) client_id: &'a str,
    /// Identifies the user; without it the provider has to ask the user for confirmation.
    pub(crate) id_token_hint: Option<&'a Secret>,
    /// The `post_logout_redirect_uri` with its `state`.
    pub(crate) return_to: Option<(&'a Url, &'a Secret)>,
}

impl LogoutRequest<'_> {
    /// Returns the URL to redirect the browser to, so that the provider signs the user out, too.
    pub(crate) fn url(&self, end_session_endpoint: &Url) -> Url {
        let mut url = end_session_endpoint.clone();
        // The endpoint may have a query, which `append_pair` keeps.
        url.query_pairs_mut()
            .append_pair("client_id", self.client_id);
        let hint = self.id_token_hint.map(Secret::expose);
        if let Some(hint) = hint.filter(|hint| hint.len() <= MAX_HINT_BYTES) {
            url.query_pairs_mut().append_pair("id_token_hint", hint);
        }
        if let Some((uri, state)) = self.return_to {
            url.query_pairs_mut()
                .append_pair("post_logout_redirect_uri", uri.as_str())
                .append_pair("state", state.expose());
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str, request: &LogoutRequest<'_>) -> String {
        request.url(&endpoint.parse().unwrap()).into()
    }

    #[test]
    fn o3_the_url_names_client_user_and_return_address() {
        let (hint, state) = (Secret::from("a.b.c"), Secret::from("xyz"));
        let back: Url = "https://app.example/logout?a=b".parse().unwrap();
        let request = LogoutRequest {
            client_id: "shop",
            id_token_hint: Some(&hint),
            return_to: Some((&back, &state)),
        };
        assert_eq!(
            url("https://id.example/out?x=1", &request),
            "https://id.example/out?x=1&client_id=shop&id_token_hint=a.b.c\
             &post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Flogout%3Fa%3Db&state=xyz"
        );
        let anonymous = LogoutRequest {
            client_id: "shop",
            id_token_hint: None,
            return_to: None,
        };
        let client_only = "https://id.example/out?client_id=shop";
        assert_eq!(url("https://id.example/out", &anonymous), client_only);
        let long = Secret::from("x".repeat(MAX_HINT_BYTES + 1));
        let over_long = LogoutRequest {
            id_token_hint: Some(&long),
            ..anonymous
        };
        assert_eq!(url("https://id.example/out", &over_long), client_only);
    }
}
