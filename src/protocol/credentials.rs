use crate::config::{Client, ClientType};

/// A form with the client's credentials in it (`client_secret_post`, RFC 6749 section 2.3.1); a
/// public client sends its id only.
pub(super) fn with_credentials<'a>(
    client: &'a Client,
    parameters: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut form = parameters.to_vec();
    form.push(("client_id", client.id()));
    if let ClientType::Confidential { secret, .. } = client.kind() {
        form.push(("client_secret", secret.expose()));
    }
    form
}
