use http::{HeaderMap, header};

/// A longer token is rejected unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Returns the token in `Authorization` (RFC 6750 section 2.1). The other places of section 2, the
/// form and the query, end up in logs and are not read. An error says what is wrong with the header.
pub(in crate::web) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("it is given more than once");
    }
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err("it has no scheme and credentials");
    };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    let token = token.trim_matches(' ');
    if token.len() > MAX_TOKEN_BYTES {
        return Err("its token is longer than 16 KiB");
    }
    let characters = token.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if characters.is_empty() || !characters.bytes().all(is_allowed) {
        return Err("its token has characters of no token");
    }
    Ok(Some(token))
}
