use std::sync::Arc;

use axum_oten::{Oten, Rule, User, emulator::Emulator};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    activity::Activity,
    headers::Policies,
    layout::{Group, ICON, Layout, Link},
};

// The site's own paths, besides the root and the library's routes.
pub(super) const PROFILE: &str = "/profile";
pub(super) const ME: &str = "/api/me";
pub(super) const HEALTHZ: &str = "/healthz";
pub(super) const READYZ: &str = "/readyz";
pub(super) const DASHBOARD: &str = "/dashboard";
pub(super) const AUDIT: &str = "/audit";
pub(super) const FEED: &str = "/feed";
pub(super) const FEED_EVENTS: &str = "/feed/events";
pub(super) const USERS: &str = "/users";
pub(super) const SETTINGS: &str = "/settings";
pub(super) const CLEAR: &str = "/settings/clear";
/// The library's routes for the user's own sessions, and for those of all users.
pub(super) const OWN_SESSIONS: &str = "/account/sessions";
pub(super) const ALL_SESSIONS: &str = "/sessions";

/// The pages for users: path, name and icon.
const OWN: [(&str, &str, &str); 2] = [
    (
        PROFILE,
        "Profile",
        "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c0-4 3.6-6 8-6s8 2 8 6",
    ),
    (
        OWN_SESSIONS,
        "Your sessions",
        "M3 5h13v10H3zM7 19h5M9.500 15v4M17 9h4v10h-5",
    ),
];

/// The pages for operators.
const OPERATOR: [(&str, &str, &str); 5] = [
    (DASHBOARD, "Dashboard", "M4 20V10M10 20V4M16 20v-8M21 20H3"),
    (AUDIT, "Audit log", "M5 4h14v16H5zM9 9h6M9 13h6M9 17h3"),
    (ALL_SESSIONS, "Sessions", "M4 5h16v11H4zM8 20h8M12 16v4"),
    (FEED, "Live feed", "M3 12h4l3-8 4 16 3-8h4"),
    (
        SETTINGS,
        "Settings",
        "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
    ),
];

const USERS_LINK: (&str, &str, &str) = (
    USERS,
    "Users",
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM3 20c0-3.500 2.500-5.500 6-5.500s6 2 6 5.500M16 4.500a3.500 3.500 0 0 1 0 6M18 15c2 .8 3 2.600 3 5",
);

const CONTROL_ICON: &str = "M13 3 5 14h6l-1 7 8-11h-6z";

/// The site: the library's handle, and what its pages show.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) oten: Oten,
    pub(super) activity: Activity,
    pub(super) stylesheet: String,
    pub(super) policies: Arc<Policies>,
    /// Which users may open the pages for operators. `None` if the site has none.
    pub(super) operators: Option<Rule>,
    /// The provider of the demo.
    pub(super) provider: Option<DemoProvider>,
    /// Cancelled when the site stops.
    pub(super) stopping: CancellationToken,
}

/// The emulator that runs beside the site.
#[derive(Debug)]
pub(crate) struct DemoProvider {
    pub(crate) emulator: Emulator,
    /// The path of the page that controls it.
    pub(crate) control: String,
}

impl Site {
    /// The URL of the home page.
    pub(crate) fn url(&self) -> Url {
        let mut url = self.oten.config().redirect_uri().clone();
        url.set_path(&self.path("/"));
        url.set_query(None);
        url
    }

    /// A path of the site as the browser requests it.
    pub(crate) fn path(&self, path: &str) -> String {
        match (self.oten.config().base_path(), path) {
            // A router nested at `/app` has a route for `/app`, but not for `/app/`.
            (base, "/") if !base.is_empty() => base.to_owned(),
            (base, path) => format!("{base}{path}"),
        }
    }

    /// The frame of the page at this path, or at one below it.
    pub(super) fn layout(&self, user: Option<&User>, current: &str) -> Layout {
        let link = |&(path, text, icon): &(&str, &'static str, &'static str)| Link {
            url: self.path(path),
            text,
            icon,
            is_current: is_within(current, path),
        };
        let mut nav = Vec::new();
        if let Some(user) = user {
            if self.is_operator(user) {
                let mut links: Vec<_> = OPERATOR.iter().map(link).collect();
                if self.provider.is_some() {
                    links.insert(1, link(&USERS_LINK));
                }
                nav.push(Group {
                    title: "Operate",
                    links,
                });
            }
            let links = OWN.iter().map(link).collect();
            nav.push(Group {
                title: "Account",
                links,
            });
            if let Some(provider) = &self.provider {
                let links = vec![Link {
                    url: provider.control.clone(),
                    text: "Emulated Oten",
                    icon: CONTROL_ICON,
                    is_current: false,
                }];
                nav.push(Group {
                    title: "Provider",
                    links,
                });
            }
        }
        Layout {
            nav,
            user: user.map(|user| (name_of(user), self.oten.logout_path())),
            login: Some(self.oten.login_path()),
            ..self.plain_layout()
        }
    }

    /// The frame of a page that does not depend on the user.
    pub(super) fn plain_layout(&self) -> Layout {
        Layout {
            lang: "en",
            brand: "Oten demo site",
            home: self.path("/"),
            stylesheet: self.path(&self.stylesheet),
            icon: self.path(ICON),
            nav: Vec::new(),
            user: None,
            login: None,
        }
    }

    pub(super) fn is_operator(&self, user: &User) -> bool {
        let rule = self.operators.as_ref();
        rule.is_some_and(|rule| rule.allows(user))
    }
}

/// Whether a path is `parent` or below it.
pub(crate) fn is_within(path: &str, parent: &str) -> bool {
    let below = path.strip_prefix(parent);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn name_of(user: &User) -> String {
    user.name().unwrap_or(user.subject()).to_owned()
}
