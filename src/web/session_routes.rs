//! The routes that list and end sessions: those of the signed-in user, and those of all users for
//! operators.

use askama::Template;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    context::{RequestContext, RequestKind},
    error::{DEADLINE, Error},
    form::read_form,
    logout::UserSession,
    page::Page,
    rejection::ErrorResponse,
    response::{JSON, redirect, show_with, uncached_json},
};
use crate::{
    config::route,
    iter::exactly_one,
    session::{ActiveSession, Operator, SessionHandle, SessionPage},
    text::{self, Language, Text},
};

/// The number of sessions in a page.
const PAGE_SIZE: usize = 50;

/// The maximum size of a form in bytes.
const MAX_FORM_BYTES: usize = 4 * 1024;

/// The path below the list that ends sessions.
pub(super) const END: &str = "/end";

/// `GET` of the account routes: lists the user's sessions.
pub(super) async fn list_own(context: RequestContext, session: UserSession) -> Response {
    let sessions = match session.list().await {
        Ok(sessions) => sessions,
        Err(error) => return error.into_response(),
    };
    let has_others = sessions.iter().any(|session| !session.is_current());
    let page = cut(sessions, &context);
    let list = List {
        title: text::YOUR_SESSIONS,
        text: text::YOUR_SESSIONS_TEXT,
        search: None,
        ends_all: has_others.then_some(text::END_OTHER_SESSIONS),
    };
    list.respond(&context, &page)
}

/// `POST` of the account routes: ends one of the user's sessions, or all others.
pub(super) async fn end_own(
    context: RequestContext,
    session: UserSession,
    request: Request<Body>,
) -> Response {
    let ended = match read_target(request).await {
        Some(Target::One { session: one, .. }) => session.end(one).await.map(usize::from),
        Some(Target::Others) => session.end_others().await,
        _ => Err(ErrorResponse::new(&context, Error::SessionRequest)),
    };
    ended.map_or_else(ErrorResponse::into_response, |ended| {
        respond_ended(&context, Some(ended))
    })
}

/// `GET` of the operator routes: lists the sessions of all users, or of one.
pub(super) async fn list_all(context: RequestContext) -> Response {
    let subject = context.query_parameter("subject").unwrap_or_default();
    let subject = subject.trim();
    let page = async {
        let signed_in = context.signed_in().await?;
        let current = signed_in.map(|signed_in| context.session.handle(&signed_in));
        let sessions = &context.state.sessions;
        Ok(if subject.is_empty() {
            let next = context.query_parameter("next");
            sessions.page(next.as_deref(), PAGE_SIZE, current).await?
        } else {
            cut(sessions.of_subject(subject, current).await?, &context)
        })
    };
    let page = match page.await {
        Ok(page) => page,
        Err(error) => return ErrorResponse::new(&context, error).into_response(),
    };
    let (title, ends_all) = if subject.is_empty() {
        (text::SESSIONS_OF_ALL_USERS, text::END_ALL_SESSIONS)
    } else {
        (text::SESSIONS_OF_A_USER, text::END_SESSIONS_OF_USER)
    };
    let list = List {
        title,
        text: text::SESSIONS_TEXT,
        search: Some(subject),
        ends_all: (!page.sessions.is_empty()).then_some(ends_all),
    };
    list.respond(&context, &page)
}

/// `GET` of the operator routes: the page on which an operator confirms that several sessions end.
pub(super) async fn confirm(context: RequestContext) -> Response {
    let subject = context.query_parameter("subject").unwrap_or_default();
    let subject = subject.trim();
    let (title, text) = if subject.is_empty() {
        (text::END_ALL_SESSIONS_QUESTION, text::END_ALL_SESSIONS_TEXT)
    } else {
        (
            text::END_THESE_SESSIONS_QUESTION,
            text::END_THESE_SESSIONS_TEXT,
        )
    };
    let page = Page::new(context.language(), title, text);
    let main = ConfirmContent {
        page: &page,
        paths: Paths::of(&context),
        subject,
    };
    show_with(&context, &page, &main)
}

/// `POST` of the operator routes: ends a session, the sessions of a user or all sessions.
pub(super) async fn end_any(context: RequestContext, request: Request<Body>) -> Response {
    let end = async {
        let target = read_target(request).await.ok_or(Error::SessionRequest)?;
        let signed_in = context.signed_in().await?;
        let operator = Operator {
            origin: context.session.origin().clone(),
            user: signed_in.map(|signed_in| signed_in.user().clone()),
        };
        let sessions = &context.state.sessions;
        let ended = async {
            Ok(match target {
                Target::One { session, subject } => {
                    let ended = sessions.end_one_as(&subject, session, operator);
                    usize::from(ended.await?)
                }
                Target::Subject(subject) => sessions.end_subject(&subject, operator).await?,
                Target::All => sessions.end_site(operator).await?,
                Target::Others => return Err(Error::SessionRequest),
            })
        };
        // What takes longer completes without this request.
        timeout(DEADLINE, ended).await.ok().transpose()
    };
    match end.await {
        Ok(ended) => respond_ended(&context, ended),
        Err(error) => ErrorResponse::new(&context, error).into_response(),
    }
}

/// The sessions that a form names.
enum Target {
    One {
        session: SessionHandle,
        subject: String,
    },
    Subject(String),
    Others,
    All,
}

async fn read_target(request: Request<Body>) -> Option<Target> {
    let body = read_form(request, MAX_FORM_BYTES).await.ok()?;
    let field = |name: &str| {
        let named = form_urlencoded::parse(&body).filter(|(key, _)| key == name);
        exactly_one(named).map(|(_, value)| value.into_owned())
    };
    let subject = field("subject").unwrap_or_default();
    match (field("end")?.as_str(), field("session")) {
        ("one", Some(session)) => Some(Target::One {
            session: session.parse().ok()?,
            subject,
        }),
        ("subject", None) if !subject.is_empty() => Some(Target::Subject(subject)),
        ("others", None) => Some(Target::Others),
        ("all", None) if subject.is_empty() => Some(Target::All),
        _ => None,
    }
}

/// Returns the browser to the list, and the number of sessions that ended to a program. `None` if they are
/// still being ended.
fn respond_ended(context: &RequestContext, ended: Option<usize>) -> Response {
    if context.kind != RequestKind::Api {
        return redirect(&Paths::of(context).list);
    }
    let status = match ended {
        Some(_) => StatusCode::OK,
        None => StatusCode::ACCEPTED,
    };
    (status, uncached_json(JSON, &json!({ "ended": ended }))).into_response()
}

/// The paths of the routes as the browser sees them, wherever the app has nested them.
struct Paths {
    list: String,
    end: String,
}

impl Paths {
    fn of(context: &RequestContext) -> Self {
        let path = context.path();
        let path = path.as_ref().map_or("", |path| path.as_str());
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let list = path.strip_suffix(END).unwrap_or(path);
        Self {
            list: if list.is_empty() { "/" } else { list }.to_owned(),
            end: format!("{}{END}", list.trim_end_matches('/')),
        }
    }
}

/// Returns the part of a user's sessions that the query asks for.
fn cut(mut sessions: Vec<ActiveSession>, context: &RequestContext) -> SessionPage {
    let next = context.query_parameter("next");
    let from = next.and_then(|next| next.parse().ok()).unwrap_or(0);
    sessions.drain(..sessions.len().min(from));
    let is_last = sessions.len() <= PAGE_SIZE;
    sessions.truncate(PAGE_SIZE);
    SessionPage {
        sessions,
        next: (!is_last).then(|| (from + PAGE_SIZE).to_string()),
    }
}

/// What the list of sessions shows besides the sessions.
struct List<'a> {
    title: Text,
    text: Text,
    /// The subject that an operator searches for. `None` in the list of a user's own sessions.
    search: Option<&'a str>,
    /// The button that ends several sessions.
    ends_all: Option<Text>,
}

impl List<'_> {
    fn respond(self, context: &RequestContext, page: &SessionPage) -> Response {
        if context.kind == RequestKind::Api {
            return uncached_json(JSON, page);
        }
        let next = page.next.as_ref().map(|next| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            if let Some(subject) = self.search.filter(|subject| !subject.is_empty()) {
                query.append_pair("subject", subject);
            }
            query.append_pair("next", next).finish()
        });
        let language = context.language();
        let rows = page
            .sessions
            .iter()
            .map(|session| Row::new(session, language));
        let page = Page::new(language, self.title, self.text);
        let main = SessionsContent {
            page: &page,
            list: self,
            rows: rows.collect(),
            paths: Paths::of(context),
            next,
            logout_path: context.state.path(route::LOGOUT),
            home: context.state.config.home(),
        };
        show_with(context, &page, &main)
    }
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsContent<'a> {
    page: &'a Page,
    list: List<'a>,
    rows: Vec<Row<'a>>,
    paths: Paths,
    /// The query of the next page.
    next: Option<String>,
    logout_path: String,
    home: &'a str,
}

struct Row<'a> {
    session: &'a ActiveSession,
    device: String,
    /// What the button of this session does, for those who do not see which row it is in.
    label: String,
    started: String,
    last_used: String,
}

impl<'a> Row<'a> {
    fn new(session: &'a ActiveSession, language: Language) -> Self {
        let unknown = || text::UNKNOWN_BROWSER.get(language).to_owned();
        let device = session.device().unwrap_or_else(unknown);
        let started = utc(session.started_at());
        let values = [("device", &*device), ("time", &*started)];
        Self {
            session,
            label: text::END_SESSION_LABEL.fill(language, &values),
            device,
            started,
            last_used: utc(session.last_used_at()),
        }
    }
}

fn utc(at: OffsetDateTime) -> String {
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmContent<'a> {
    page: &'a Page,
    paths: Paths,
    /// The user, or empty for all users.
    subject: &'a str,
}
