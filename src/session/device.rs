use std::{fmt::Write as _, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::user::Text;

/// The maximum length of a stored `User-Agent` in bytes. Those of browsers have about 120.
const MAX_USER_AGENT_BYTES: usize = 256;

/// The device of a sign-in, as its browser describes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(super) user_agent: Text,
    /// `None` unless the configuration asks for it.
    pub(super) address: Option<IpAddr>,
}

impl Device {
    /// Returns the device of a request with this `User-Agent`, which can contain anything.
    pub(crate) fn new(user_agent: &[u8], address: Option<IpAddr>) -> Self {
        let part = &user_agent[..user_agent.len().min(MAX_USER_AGENT_BYTES)];
        let mut text = String::new();
        for c in String::from_utf8_lossy(part).chars() {
            let is_shown = !c.is_control() && c != char::REPLACEMENT_CHARACTER;
            if is_shown && text.len() + c.len_utf8() <= MAX_USER_AGENT_BYTES {
                text.push(c);
            }
        }
        Self {
            user_agent: text.into(),
            address,
        }
    }
}

/// The products of browsers in the order of their search: most browsers also name those that they
/// descend from.
const BROWSERS: [(&str, &str); 13] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: [(&str, &str); 8] = [
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("Linux", "Linux"),
];

/// Returns the families of the browser and the system that a `User-Agent` names, such as "Firefox
/// (Windows)".
pub(super) fn device_name(user_agent: &str) -> Option<String> {
    let find = |families: &[(&str, &'static str)]| {
        let named = families.iter().find(|(part, _)| user_agent.contains(part));
        named.map(|(_, family)| *family)
    };
    let (browser, system) = (find(&BROWSERS), find(&SYSTEMS));
    let mut name = browser.or(system)?.to_owned();
    if let Some(system) = system.filter(|_| browser.is_some()) {
        // Writing to a string does not fail.
        let _ = write!(name, " ({system})");
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_a_user_agent_names_browser_and_system() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36",
                "Chrome (Windows)",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge (Windows)",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox (Linux)",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) Version/18.5 Safari/605.1.15",
                "Safari (macOS)",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari (iPhone)",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1",
                "Chrome (iPad)",
            ),
            (
                "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
                "Firefox (Android)",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                 SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet (Android)",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36",
                "Chrome (ChromeOS)",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/124.0.0.0",
                "Opera (macOS)",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 HeadlessChrome/142.0.0.0 Safari/537.36",
                "Chrome (Linux)",
            ),
            ("Mozilla/5.0 (Windows NT 10.0) Something/1.0", "Windows"),
            ("curl/8.14.1", "curl"),
        ] {
            assert_eq!(device_name(user_agent).as_deref(), Some(expected));
        }
        for unknown in ["", "Mozilla/5.0", "<script>alert(1)</script>"] {
            assert_eq!(device_name(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn x4_a_stored_user_agent_is_short_text_without_control_characters() {
        let stored = |user_agent: &[u8]| Device::new(user_agent, None).user_agent.to_string();
        assert_eq!(stored(b"a\x00b\x1b[31m\r\nc\x7f\xff"), "ab[31mc");
        assert_eq!(stored("Bräuser/1".as_bytes()), "Bräuser/1");
        assert_eq!(stored(&vec![b'x'; 64 * 1024]).len(), MAX_USER_AGENT_BYTES);
        // A character is not cut in the middle.
        let odd = format!("x{}", "ä".repeat(1_000));
        assert_eq!(stored(odd.as_bytes()).len(), MAX_USER_AGENT_BYTES - 1);
    }
}
