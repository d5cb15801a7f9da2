use super::refusal::{Refusal, refuse};

/// `VSCHAR` of RFC 6749 appendix A, less the space.
pub(super) fn visible_ascii(text: &str) -> Result<String, Refusal> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(
            "holds a space or a character that is not ASCII",
            "Copy it again from Oten's developer portal.",
        );
    }
    Ok(text.to_owned())
}
