use url::Url;

use super::{
    Rejection, core::Core, grant::Grant, parameters::AuthorizationRequest, session::SignedIn,
};
use crate::secret::Secret;

/// How long a login or consent page waits for the person, in seconds.
const LIFETIME: i64 = 10 * 60;

/// A request that waits for a person.
#[derive(Clone)]
pub(super) struct Interaction {
    pub(super) request: AuthorizationRequest,
    /// Who is asked for consent; `None` while the question is who it is.
    pub(super) person: Option<SignedIn>,
}

/// What happens next to a request.
pub(super) enum Step {
    /// A page asks the person; this is the interaction's id.
    Ask(String),
    /// The browser goes back to the client with a code.
    Done(Url),
}

/// Decides what to ask. `just_now` says that the person signed in for this very request.
pub(super) fn next(
    core: &Core,
    request: AuthorizationRequest,
    person: Option<SignedIn>,
    just_now: bool,
) -> Result<Step, Rejection> {
    let is_silent = request.prompts("none");
    let age = |person: &SignedIn| core.now() - person.auth_time;
    let person = person.filter(|person| {
        let again = request.prompts("login") || request.prompts("select_account");
        let too_old = request.max_age.is_some_and(|max| age(person) > max);
        just_now || !again && !too_old
    });
    let Some(signed_in) = person else {
        if is_silent {
            let description = "The person has to sign in";
            return Err(request
                .callback
                .refusal(core, "login_required", description));
        }
        return Ok(Step::Ask(ask(core, request, None)));
    };
    let known =
        core.state()
            .sessions
            .has_consent(signed_in.user, &request.client_id, &request.scope);
    if known && !request.prompts("consent") {
        return approve(core, &request, signed_in).map(Step::Done);
    }
    if is_silent {
        let description = "The person has to agree";
        return Err(request
            .callback
            .refusal(core, "consent_required", description));
    }
    Ok(Step::Ask(ask(core, request, Some(signed_in))))
}

/// The client's callback URL with a new code.
pub(super) fn approve(
    core: &Core,
    request: &AuthorizationRequest,
    person: SignedIn,
) -> Result<Url, Rejection> {
    let grant = Grant::new(request, person);
    let fresh = core.state().grants.new_code(grant, request, core.now());
    // A registered redirect URI always parses; should it not, the person learns of it.
    request.callback.with_code(core, &fresh).ok_or_else(|| {
        request
            .callback
            .refusal(core, "server_error", "The redirect_uri cannot be used")
    })
}

/// The refusal of a person who does not want to.
pub(super) fn deny(core: &Core, request: &AuthorizationRequest) -> Rejection {
    request
        .callback
        .refusal(core, "access_denied", "The person did not agree")
}

/// An interaction that still waits.
pub(super) fn find(core: &Core, id: &str) -> Option<Interaction> {
    core.state().interactions.get(id, core.now()).cloned()
}

/// Takes an interaction, once.
pub(super) fn take(core: &Core, id: &str) -> Option<Interaction> {
    core.state().interactions.remove(id, core.now())
}

fn ask(core: &Core, request: AuthorizationRequest, person: Option<SignedIn>) -> String {
    let id = Secret::random().expose().to_owned();
    let now = core.now();
    let interaction = Interaction { request, person };
    core.state()
        .interactions
        .insert(id.clone(), interaction, now + LIFETIME, now);
    id
}
