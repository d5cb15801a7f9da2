use serde::Deserialize;

/// Parses received JSON. A byte order mark before it is ignored (RFC 8259 section 8.1).
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json))
}

/// Reads and writes a JSON object as text, for records that are not JSON: `#[serde(with = "as_text")]`.
pub(crate) mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::{Map, Value};

    pub(crate) fn serialize<S: Serializer>(
        object: &Map<String, Value>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(object).map_err(ser::Error::custom)?;
        text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Map<String, Value>, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_one_byte_order_mark_is_ignored() {
        for (json, parsed) in [
            (&b"[1]"[..], true),
            (b"\xef\xbb\xbf[1]", true),
            (b"\xef\xbb\xbf\xef\xbb\xbf[1]", false),
            (b"[\xef\xbb\xbf1]", false),
            (b"\xef\xbb[1]", false),
        ] {
            assert_eq!(parse::<[u8; 1]>(json).is_ok(), parsed, "{json:?}");
        }
    }
}
