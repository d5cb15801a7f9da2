//! Functions that record values. Without the feature `metrics` they do nothing.

use std::time::Duration;

use super::table::{Endpoint, Fetch, Login, Metric, Outcome, Refresh, SignOut, StoreFailure};
use crate::audit::{Event, EventKind};

/// Registers names and descriptions with the recorder, and sets initial values.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    recorder::describe();
    set(Metric::GraceInUse, 0);
}

/// Counts an audit event, so that metrics and log always agree.
pub(crate) fn count_event(event: &Event) {
    match event.kind() {
        EventKind::SignedIn => login(Login::SignedIn),
        EventKind::SignedOut => sign_outs(SignOut::User, 1),
        EventKind::BackChannelLogout => {
            sign_outs(SignOut::Provider, event.sessions().unwrap_or_default());
        }
        EventKind::Refused => {
            if let Some(reason) = event.reason() {
                add(Metric::Refusals, &[reason.code()], 1);
            }
        }
        EventKind::Refreshed => {
            refresh(Refresh::Refreshed);
            set(Metric::GraceInUse, 0);
        }
        EventKind::RefreshFailed => refresh(Refresh::Failed),
        EventKind::SignInEnded => refresh(Refresh::Ended),
        EventKind::RefreshLost => refresh(Refresh::Lost),
        // Each session has an event of its own.
        EventKind::SessionsEnded
        | EventKind::LoginRestarted
        | EventKind::FormKept
        | EventKind::FormSent
        | EventKind::RevocationFailed
        | EventKind::UnsealedRecord => {}
    }
}

/// Records that a browser was redirected to the provider.
pub(crate) fn login_started() {
    add(Metric::LoginAttempts, &[], 1);
}

/// Records that a login attempt was completed.
pub(crate) fn login(outcome: Login) {
    add(Metric::Logins, &[outcome.name()], 1);
}

/// Records one request to the provider.
pub(crate) fn provider_called(endpoint: Endpoint, outcome: Outcome, duration: Duration) {
    let labels = [endpoint.name(), outcome.name()];
    observe(Metric::ProviderRequestDuration, &labels, duration);
}

/// Records that the key set was fetched while another one was cached.
pub(crate) fn jwks_refetched(outcome: Fetch) {
    add(Metric::JwksRefetches, &[outcome.name()], 1);
}

/// Records that a request was allowed although its tokens could not be refreshed.
pub(crate) fn grace_used() {
    add(Metric::GraceRequests, &[], 1);
    set(Metric::GraceInUse, 1);
}

/// Records how many token requests this process may send at once.
pub(crate) fn token_budget_left(requests: u32) {
    set(Metric::TokenBudgetLeft, requests);
}

/// Records that a call to the store failed.
pub(crate) fn store_failed(cause: StoreFailure) {
    add(Metric::StoreFailures, &[cause.name()], 1);
}

fn refresh(outcome: Refresh) {
    add(Metric::Refreshes, &[outcome.name()], 1);
}

fn sign_outs(by: SignOut, sessions: usize) {
    add(Metric::SignOuts, &[by.name()], sessions as u64);
}

#[cfg(feature = "metrics")]
use recorder::{add, observe, set};

#[cfg(feature = "metrics")]
mod recorder {
    use std::time::Duration;

    use crate::metric::{Metric, MetricKind};

    pub(super) fn add(metric: Metric, labels: &[&'static str], count: u64) {
        metrics::counter!(metric.name(), labelled(metric, labels)).increment(count);
    }

    pub(super) fn set(metric: Metric, value: u32) {
        metrics::gauge!(metric.name()).set(value);
    }

    pub(super) fn observe(metric: Metric, labels: &[&'static str], duration: Duration) {
        metrics::histogram!(metric.name(), labelled(metric, labels)).record(duration);
    }

    fn labelled(metric: Metric, values: &[&'static str]) -> Vec<metrics::Label> {
        let labels = metric.labels().iter().zip(values);
        let labels = labels.map(|(label, value)| metrics::Label::new(label.name(), *value));
        labels.collect()
    }

    pub(super) fn describe() {
        for &metric in Metric::all() {
            let (name, description) = (metric.name(), metric.description());
            match metric.kind() {
                MetricKind::Counter => {
                    metrics::describe_counter!(name, description);
                    initialize(metric);
                }
                MetricKind::Gauge => metrics::describe_gauge!(name, description),
                MetricKind::Histogram => {
                    metrics::describe_histogram!(name, metrics::Unit::Seconds, description);
                }
            }
        }
    }

    /// Sets a counter to zero for each value of its label. A series that first appears with its first
    /// event hides this event from `rate`.
    fn initialize(metric: Metric) {
        match metric.labels() {
            [] => add(metric, &[], 0),
            [label] => label
                .values()
                .iter()
                .for_each(|value| add(metric, &[value], 0)),
            // No counter has more than one.
            _ => {}
        }
    }
}

#[cfg(not(feature = "metrics"))]
fn add(_: Metric, _: &[&'static str], _: u64) {}

#[cfg(not(feature = "metrics"))]
fn set(_: Metric, _: u32) {}

#[cfg(not(feature = "metrics"))]
fn observe(_: Metric, _: &[&'static str], _: Duration) {}
