use clap::ValueEnum;
use toml::{Table, Value};

/// The ways a client can be registered, each with a ready configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// Confidential; signs its requests with its secret
    #[default]
    Hs256,
    /// Confidential; signs its requests with an Ed25519 key
    Eddsa,
    /// Public; has no secret and signs nothing
    Public,
}

impl ClientKind {
    /// The ready configuration.
    pub(crate) fn toml(self) -> &'static str {
        match self {
            Self::Hs256 => include_str!("../../../config/demo.toml"),
            Self::Eddsa => include_str!("../../../config/demo-eddsa.toml"),
            Self::Public => include_str!("../../../config/demo-public.toml"),
        }
    }

    /// The kind of client a configuration is for, which decides what credentials it needs. What is
    /// wrong with the configuration is not found here.
    pub(crate) fn of(toml: &str) -> Self {
        let table: Table = toml.parse().unwrap_or_default();
        let setting = |name| table.get(name).and_then(Value::as_str);
        match (setting("client_type"), setting("jar")) {
            (Some("public"), _) => Self::Public,
            (_, Some("EdDSA")) => Self::Eddsa,
            _ => Self::Hs256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ready_configuration_is_of_its_kind() {
        for kind in ClientKind::value_variants() {
            assert_eq!(ClientKind::of(kind.toml()), *kind);
        }
        assert_eq!(ClientKind::of("not = toml = at all"), ClientKind::Hs256);
    }
}
