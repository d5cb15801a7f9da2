use serde::{Deserialize, de::Error};

/// Parses a received JSON object. A byte order mark before it is ignored (RFC 8259 section 8.1).
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    object(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json))
}

/// Parses a JSON object. Serde would also read a struct from an array with the values of its members.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    if json.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(json)
    } else {
        Err(serde_json::Error::custom("it is not an object"))
    }
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

    #[derive(Deserialize)]
    struct Members {
        a: u8,
    }

    #[test]
    fn a_fraction_that_is_read_and_written_stays_the_same() {
        for number in ["0.1", "2.53e+35", "123456.78901234567"] {
            let read: serde_json::Value = serde_json::from_str(number).unwrap();
            assert_eq!(read.to_string(), number);
        }
    }

    #[test]
    fn p3_one_byte_order_mark_is_ignored() {
        for (json, parsed) in [
            (&b" {\"a\":1}"[..], true),
            (b"\xef\xbb\xbf{\"a\":1}", true),
            (b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":1}", false),
            (b"{\xef\xbb\xbf\"a\":1}", false),
            (b"\xef\xbb{\"a\":1}", false),
        ] {
            let members = parse::<Members>(json).ok();
            assert_eq!(
                members.map(|members| members.a),
                parsed.then_some(1),
                "{json:?}"
            );
        }
    }

    #[test]
    fn b1_an_array_is_not_an_object() {
        for json in [
            &b"[1]"[..],
            b" [1]",
            b"\xef\xbb\xbf[1]",
            b"",
            b"1",
            b"\"{\"",
        ] {
            assert!(parse::<Members>(json).is_err(), "{json:?}");
        }
    }
}
