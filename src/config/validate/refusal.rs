/// What is wrong with one value and what to do about it. Neither quotes the value, which may be a
/// password in the wrong line.
#[derive(Debug)]
pub(super) struct Refusal {
    /// To be read after the setting's name: "must not end with a slash".
    pub(super) message: String,
    /// A sentence.
    pub(super) help: String,
}

/// The answer of a rule to a value it does not let through.
pub(super) fn refuse<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        message: message.into(),
        help: help.into(),
    })
}
