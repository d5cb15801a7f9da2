//! Forms that a sign-in interrupts: they are kept, shown to their user after the sign-in, and sent again
//! with a click.
//!
//! The browser sends an empty form to the path of the first one, with the ID of the kept form at the end of
//! the query. The layer that has interrupted the first request puts the kept form in place of the empty one,
//! once it admits the request.
//!
//! A cookie with a secret of the browser and the subject of the user decide on who sees and sends a form. The ID
//! in the URL only tells several forms apart.

use std::{
    any::Any,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use askama::Template;
use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, header};
use tokio::{runtime::Handle, time::timeout};
use url::form_urlencoded;

use super::{
    context::{RequestContext, RequestKind},
    error::{DEADLINE, Error},
    form::is_form,
    page::Page,
    rejection::ErrorResponse,
    response::{account_of, redirect, show_with},
};
use crate::{
    audit::{EventKind, TARGET},
    config::route,
    error::with_causes,
    secret::Secret,
    session::{FormName, KeptForm, NoForm, ReturnTo, TakenForm, User},
    store::StoreError,
    text,
};

/// The parameter with the ID of the kept form, the last one of the query.
const PARAMETER: &str = "oten_form=";

/// The maximum size of a form that is kept.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The maximum number of fields that the page shows, and of characters of a name and a value.
const MAX_FIELDS: usize = 20;
const MAX_NAME_CHARS: usize = 60;
const MAX_VALUE_CHARS: usize = 300;

/// A kept form in place of a request. Copies of the request share it.
#[derive(Clone)]
struct Sending {
    sent: Arc<SentForm>,
    /// The number of layers that this copy of the request has passed.
    passed: usize,
}

/// A form that is put back when its request is dropped, unless a handler may have got it.
struct SentForm {
    form: RequestForm,
    /// The number of layers that the request has passed, of its copies the highest, or [`HELD`].
    passed: AtomicUsize,
}

/// A layer checks the request, and no other copy of it exists.
const HELD: usize = 0;

/// A form and the request that sends it.
#[derive(Clone)]
struct RequestForm {
    context: RequestContext,
    user: User,
    taken: TakenForm,
}

/// Returns the ID of the kept form that a request names, unless it is a form itself: the page that a handler
/// returns for a kept form may contain a form without `action`, which the browser sends to the same address.
pub(super) async fn id_of<B: 'static>(request: &mut Request<B>) -> Option<String> {
    request.uri().query()?;
    let (_, id) = split(request.uri().path_and_query()?.as_str())?;
    let id = id.to_owned();
    if is_empty(axum_body(request.body_mut())?).await {
        return Some(id);
    }
    remove_id(request);
    None
}

/// Whether a body is empty. Otherwise nothing of it is lost.
async fn is_empty(body: &mut Body) -> bool {
    if body.is_end_stream() || body.size_hint().lower() > 0 {
        return body.is_end_stream();
    }
    let mut rest = mem::take(body).into_data_stream();
    // Nothing of a body that does not begin in time would reach a handler.
    let Ok(Some(first)) = timeout(DEADLINE, rest.next()).await else {
        return true;
    };
    *body = Body::from_stream(stream::iter([first]).chain(rest));
    false
}

/// Separates the ID of a kept form from a path and its query.
fn split(path: &str) -> Option<(&str, &str)> {
    let (rest, id) = path.rsplit_once(PARAMETER)?;
    let rest = rest.strip_suffix(['?', '&'])?;
    (with_id(rest, id) == path && !id.contains('&')).then_some((rest, id))
}

fn with_id(path: &str, id: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{PARAMETER}{id}")
}

/// Returns the path and query to which a form is sent, without the ID of a kept form.
fn target(context: &RequestContext) -> Option<ReturnTo> {
    let path = context.uri.path_and_query()?.as_str();
    let path = split(path).map_or(path, |(rest, _)| rest);
    ReturnTo::parse(&context.seen_path(path))
}

/// Returns the path of the page on which the user sends or discards a form.
fn page_path(context: &RequestContext, id: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("id", id)
        .finish();
    format!("{}?{query}", context.state.path(route::KEPT_FORM))
}

/// Redirects to the page of a kept form a browser that opens the address to which the form is sent.
pub(super) fn redirect_to_page(context: &RequestContext, id: &str) -> Response {
    redirect(&page_path(context, id))
}

/// Whether a form can be kept and sent: a page of this site has submitted it, and the browser shows the
/// response as a page.
fn is_submitted_here(context: &RequestContext, method: &Method) -> bool {
    context.kind == RequestKind::Form
        && *method == Method::POST
        && context.require_same_origin().is_ok()
}

/// Returns the body, if it is axum's as in every router.
fn axum_body<B: 'static>(body: &mut B) -> Option<&mut Body> {
    (body as &mut dyn Any).downcast_mut()
}

/// Keeps the form of a request that `error` interrupts, if it can be kept, and returns the response.
pub(super) async fn interrupt<B: 'static>(
    context: &RequestContext,
    request: &mut Request<B>,
    user: &User,
    error: Error,
) -> Response {
    let response = ErrorResponse::new(context, error);
    let kept = timeout(DEADLINE, keep(context, request, user)).await;
    let Some(name) = kept.ok().flatten() else {
        return response.into_response();
    };
    let mut response = response
        .of_kept_form(&page_path(context, &name.id))
        .into_response();
    let cookie = context.state.cookies.form(&name.browser);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

async fn keep<B: 'static>(
    context: &RequestContext,
    request: &mut Request<B>,
    user: &User,
) -> Option<FormName> {
    let headers = request.headers();
    if !is_submitted_here(context, request.method())
        || !is_form(headers)
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        return None;
    }
    let content_type = headers[header::CONTENT_TYPE].to_str().ok()?.to_owned();
    let browser = context.state.cookies.form_browser(headers);
    let target = target(context)?;
    let body = axum_body(request.body_mut())?;
    // From `Content-Length`.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return None;
    }
    let body = to_bytes(mem::take(body), MAX_BODY_BYTES).await.ok()?;
    let form = KeptForm {
        subject: user.subject().to_owned(),
        target,
        content_type,
        // Browsers send ASCII.
        body: String::from_utf8(body.into()).ok()?.into(),
    };
    let browser = browser.unwrap_or_else(Secret::random);
    match context.state.forms.keep(&browser, form).await {
        Ok(name) => {
            record(context, EventKind::FormKept, user);
            Some(name)
        }
        Err(error) => {
            tracing::warn!(
                target: TARGET,
                error = with_causes(&error),
                "failed to keep the form that a sign-in interrupts"
            );
            None
        }
    }
}

/// Returns the response to a request that sends a kept form, and that `error` interrupts again: the form
/// stays.
pub(super) async fn interrupt_again(
    context: &RequestContext,
    headers: &HeaderMap,
    id: &str,
    error: Error,
) -> ErrorResponse {
    if context.kind != RequestKind::Form || !error.requires_sign_in() {
        return ErrorResponse::new(context, error);
    }
    match find(context, headers, id, None).await {
        Ok(_) => ErrorResponse::new(context, error).of_kept_form(&page_path(context, id)),
        Err(error) => ErrorResponse::new(context, error),
    }
}

/// Returns the response to a request that `error` interrupts. If an outer layer has put a kept form in its place,
/// no handler gets the form, and it stays.
pub(super) async fn deny(
    context: &RequestContext,
    extensions: &mut Extensions,
    error: Error,
) -> ErrorResponse {
    let sending = extensions.remove::<Sending>();
    let Some(mut sent) = sending.and_then(|sending| Arc::into_inner(sending.sent)) else {
        return ErrorResponse::new(context, error);
    };
    let can_return = sent.put_back().await && error.requires_sign_in();
    let response = ErrorResponse::new(context, error);
    if can_return {
        response.of_kept_form(&page_path(context, &sent.form.taken.name.id))
    } else {
        response
    }
}

/// Whether an outer layer has put a kept form in place of a request.
pub(super) fn is_sending(extensions: &Extensions) -> bool {
    extensions.get::<Sending>().is_some()
}

/// Begins the check of a layer: if the request is dropped before [`hand_over`], its kept form is put back.
pub(super) fn hold(extensions: &mut Extensions) {
    // What has another copy of the request may be a handler, which calls this layer.
    if let Some(Sending { sent, passed }) = extensions.get_mut()
        && let Some(sent) = Arc::get_mut(sent)
    {
        let highest = sent.passed.get_mut();
        // A copy that has passed this layer may have reached a handler.
        if highest == passed {
            *highest = HELD;
        }
    }
}

/// Ends the check of a layer that calls the inner service next, without an `await`: it may be the handler.
pub(super) fn hand_over(extensions: &mut Extensions) {
    if let Some(Sending { sent, passed }) = extensions.get_mut() {
        *passed += 1;
        sent.passed.fetch_max(*passed, Ordering::Relaxed);
    }
}

impl SentForm {
    /// Puts the form back unless a handler may have got it, and returns whether it waits to be sent again. If the
    /// store fails, `drop` tries again.
    async fn put_back(&mut self) -> bool {
        if *self.passed.get_mut() != HELD {
            return false;
        }
        let Ok(is_put_back) = self.form.taken.put_back().await else {
            return false;
        };
        *self.passed.get_mut() = usize::MAX;
        if is_put_back {
            self.form.record(EventKind::FormKept);
        }
        is_put_back
    }
}

impl Drop for SentForm {
    fn drop(&mut self) {
        // After the end of the runtime, the form counts as sent.
        if *self.passed.get_mut() == HELD
            && let Ok(runtime) = Handle::try_current()
        {
            let form = self.form.clone();
            let tasks = &self.form.context.state.tasks;
            tasks.spawn_on(async move { form.put_back_when_possible().await }, &runtime);
        }
    }
}

impl RequestForm {
    async fn mark_as_sent(&self) -> Result<bool, StoreError> {
        let is_first = self.taken.mark_as_sent().await?;
        if is_first {
            self.record(EventKind::FormSent);
        }
        Ok(is_first)
    }

    async fn put_back_when_possible(&self) {
        match self.taken.put_back_when_possible().await {
            Ok(true) => self.record(EventKind::FormKept),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                target: TARGET,
                correlation_id = self.context.correlation_id(),
                error = with_causes(&error),
                "failed to put back a kept form that no handler got"
            ),
        }
    }

    fn record(&self, kind: EventKind) {
        record(&self.context, kind, &self.user);
    }
}

/// Puts the kept form in place of the request that sends it. The request is then as the browser has sent it
/// first, apart from headers that do not concern the form.
pub(super) async fn restore<B: 'static>(
    context: &RequestContext,
    request: &mut Request<B>,
    id: &str,
    user: &User,
) -> Result<(), Error> {
    context.require_same_origin()?;
    let is_supported = axum_body(request.body_mut()).is_some();
    if !is_supported || !is_submitted_here(context, request.method()) {
        return Err(NoForm::Unknown.into());
    }
    let name = name(context, request.headers(), id)?;
    let target = target(context).ok_or(NoForm::Unknown)?;
    let forms = &context.state.forms;
    let taken = forms.find_to_send(&name, user.subject(), &target).await??;
    let sent = Arc::new(SentForm {
        form: RequestForm {
            context: context.clone(),
            user: user.clone(),
            taken,
        },
        passed: AtomicUsize::new(HELD),
    });
    let marking = Arc::clone(&sent);
    // In a task: a write that the end of the request interrupts could take effect after the form is put back.
    let marked = context
        .state
        .tasks
        .spawn(async move { marking.form.mark_as_sent().await });
    let is_first = marked
        .await
        .unwrap_or_else(|error| Err(StoreError::backend(error)))?;
    if !is_first {
        return Err(NoForm::Sent.into());
    }

    let form = &sent.form.taken.form;
    let length = form.body.expose().len();
    if let Some(body) = axum_body(request.body_mut()) {
        *body = form.body.expose().to_owned().into();
    }
    let headers = request.headers_mut();
    headers.remove(header::TRANSFER_ENCODING);
    headers.insert(header::CONTENT_LENGTH, length.into());
    if let Ok(content_type) = HeaderValue::try_from(&form.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    remove_id(request);
    let sending = Sending { sent, passed: 0 };
    request.extensions_mut().insert(sending);
    Ok(())
}

fn remove_id<B>(request: &mut Request<B>) {
    remove_id_from(request.uri_mut());
    if let Some(OriginalUri(uri)) = request.extensions_mut().get_mut() {
        remove_id_from(uri);
    }
}

fn remove_id_from(uri: &mut Uri) {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let Some(Ok(rest)) = split(path).map(|(rest, _)| rest.parse()) else {
        return;
    };
    let mut parts = mem::take(uri).into_parts();
    parts.path_and_query = Some(rest);
    *uri = Uri::from_parts(parts).expect("only the query has changed");
}

fn record(context: &RequestContext, kind: EventKind, user: &User) {
    let subject = context.state.trail.pseudonym(user.issuer(), user.subject());
    context.record(&context.event(kind).with_subject(subject));
}

fn name(context: &RequestContext, headers: &HeaderMap, id: &str) -> Result<FormName, NoForm> {
    let browser = context.state.cookies.form_browser(headers);
    Ok(FormName {
        browser: browser.ok_or(NoForm::Unknown)?,
        id: id.to_owned(),
    })
}

async fn find(
    context: &RequestContext,
    headers: &HeaderMap,
    id: &str,
    subject: Option<&str>,
) -> Result<KeptForm, Error> {
    let name = name(context, headers, id)?;
    Ok(context.state.forms.find(&name, subject).await??)
}

/// `GET` of the page on which the user sends or discards a form.
pub(super) async fn show(context: RequestContext, headers: HeaderMap) -> Response {
    let page = show_form(&context, &headers).await;
    page.unwrap_or_else(|error| ErrorResponse::new(&context, error).into_response())
}

async fn show_form(context: &RequestContext, headers: &HeaderMap) -> Result<Response, Error> {
    let id = context.query_parameter("id").unwrap_or_default();
    // What became of a form needs no sign-in.
    find(context, headers, &id, None).await?;
    let signed_in = context.require_user().await?;
    let user = signed_in.user();
    let form = find(context, headers, &id, Some(user.subject())).await?;

    let language = context.language();
    let target = form.target.as_str();
    let mut page = Page::new(language, text::FORM_NOT_SENT_YET, text::CHECK_FORM)
        .form(text::SEND_AGAIN, with_id(target, &id))
        .form(text::DISCARD, page_path(context, &id))
        .link(text::BACK_TO_SITE, context.state.config.home());
    page.account = Some(account_of(user));
    let (fields, hidden_fields) = fields(form.body.expose());
    let more = (hidden_fields > 0).then(|| {
        let count = hidden_fields.to_string();
        text::MORE_FIELDS.fill(language, &[("count", &count)])
    });
    let main = FormContent {
        page: &page,
        target: cut(target, MAX_VALUE_CHARS),
        fields,
        more,
    };
    Ok(show_with(context, &page, &main))
}

/// `POST` of the page: discards the form.
pub(super) async fn discard(context: RequestContext, headers: HeaderMap) -> Response {
    let id = context.query_parameter("id").unwrap_or_default();
    let discard = async {
        context.require_same_origin()?;
        let name = name(&context, &headers, &id)?;
        context.state.forms.discard(&name).await?;
        Ok::<_, Error>(())
    };
    match discard.await {
        Ok(()) => redirect_to_page(&context, &id),
        Err(error) => ErrorResponse::new(&context, error).into_response(),
    }
}

#[derive(Template)]
#[template(path = "kept_form.html")]
struct FormContent<'a> {
    page: &'a Page,
    target: String,
    fields: Vec<Field>,
    /// How many more fields the form has.
    more: Option<String>,
}

struct Field {
    name: String,
    /// `None` if the value may be a secret.
    value: Option<String>,
}

/// Returns the fields that the page shows, and the number of those that it does not.
fn fields(body: &str) -> (Vec<Field>, usize) {
    let mut all = form_urlencoded::parse(body.as_bytes());
    let shown = all.by_ref().take(MAX_FIELDS).map(|(name, value)| Field {
        value: (!is_secret(&name)).then(|| cut(&value, MAX_VALUE_CHARS)),
        name: cut(&name, MAX_NAME_CHARS),
    });
    (shown.collect(), all.count())
}

/// Returns a text on one line and not too long.
fn cut(text: &str, max_chars: usize) -> String {
    let mut chars = text.chars();
    let visible = chars.by_ref().take(max_chars);
    let mut cut: String = visible
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Whether a field's name suggests that its value is a secret, in English or German.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 11] = [
        "pass",
        "kennwort",
        "secret",
        "geheim",
        "token",
        "csrf",
        "xsrf",
        "credential",
        "apikey",
        "iban",
        "ssn",
    ];
    const WORDS: [&str; 11] = [
        "pwd", "pin", "tan", "otp", "totp", "mfa", "cvc", "cvv", "key", "code", "card",
    ];
    let compact: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let compact = compact.to_lowercase();
    // The words of `new_pin`, `newPin` and `user[pin]`.
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    let mut words = spaced.split(|c: char| !c.is_alphabetic());
    PARTS.iter().any(|part| compact.contains(part)) || words.any(|word| WORDS.contains(&word))
}
