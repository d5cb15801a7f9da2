//! What the rooms say. Without the feature all of it is nothing.

use std::time::Duration;

use super::{
    label::{By, Endpoint, Fetch, Login, Outcome, Refresh, StoreFailure},
    table::Metric,
};
use crate::audit::{Event, EventKind};

/// Tells a recorder the names and meanings, and sets what has a known beginning to it.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    sink::describe();
    set(Metric::GraceInUse, 0);
}

/// What is counted of that which is told in the log: the two cannot disagree.
pub(crate) fn of_event(event: &Event) {
    match event.kind() {
        EventKind::SignedIn => login(Login::SignedIn),
        EventKind::SignedOut => sign_outs(By::User, 1),
        EventKind::BackChannelLogout => {
            sign_outs(By::Provider, event.sessions().unwrap_or_default());
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
        EventKind::FreshStart | EventKind::RevocationFailed | EventKind::UnsealedRecord => {}
    }
}

/// A browser was sent to the provider.
pub(crate) fn login_started() {
    add(Metric::LoginAttempts, &[], 1);
}

/// A sign-in came to an end.
pub(crate) fn login(outcome: Login) {
    add(Metric::Logins, &[outcome.name()], 1);
}

/// The provider was called once.
pub(crate) fn provider_called(endpoint: Endpoint, outcome: Outcome, took: Duration) {
    let labels = [endpoint.name(), outcome.name()];
    measure(Metric::ProviderRequestDuration, &labels, took);
}

/// The keys were fetched while some were known.
pub(crate) fn jwks_fetched_again(outcome: Fetch) {
    add(Metric::JwksRefetches, &[outcome.name()], 1);
}

/// A request went on although tokens could not be renewed.
pub(crate) fn grace_used() {
    add(Metric::GraceRequests, &[], 1);
    set(Metric::GraceInUse, 1);
}

/// This process may make so many token requests at once now.
pub(crate) fn token_budget_left(requests: u32) {
    set(Metric::TokenBudgetLeft, requests);
}

/// A call to the store did not go well.
pub(crate) fn store_failed(cause: StoreFailure) {
    add(Metric::StoreFailures, &[cause.name()], 1);
}

fn refresh(outcome: Refresh) {
    add(Metric::Refreshes, &[outcome.name()], 1);
}

fn sign_outs(by: By, sessions: usize) {
    add(Metric::SignOuts, &[by.name()], sessions as u64);
}

#[cfg(feature = "metrics")]
use sink::{add, measure, set};

#[cfg(feature = "metrics")]
mod sink {
    use std::time::Duration;

    use crate::metric::{Metric, MetricKind};

    pub(super) fn add(metric: Metric, labels: &[&'static str], count: u64) {
        metrics::counter!(metric.name(), labelled(metric, labels)).increment(count);
    }

    pub(super) fn set(metric: Metric, value: u32) {
        metrics::gauge!(metric.name()).set(value);
    }

    pub(super) fn measure(metric: Metric, labels: &[&'static str], took: Duration) {
        metrics::histogram!(metric.name(), labelled(metric, labels)).record(took);
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
                    begin(metric);
                }
                MetricKind::Gauge => metrics::describe_gauge!(name, description),
                MetricKind::Histogram => {
                    metrics::describe_histogram!(name, metrics::Unit::Seconds, description);
                }
            }
        }
    }

    /// A counter that is not there until its first event hides that one: what grows from nothing to
    /// one has not grown.
    fn begin(metric: Metric) {
        match metric.labels() {
            [] => add(metric, &[], 0),
            [label] => label
                .values()
                .iter()
                .for_each(|value| add(metric, &[value], 0)),
            // There is none.
            _ => {}
        }
    }
}

#[cfg(not(feature = "metrics"))]
fn add(_: Metric, _: &[&'static str], _: u64) {}

#[cfg(not(feature = "metrics"))]
fn set(_: Metric, _: u32) {}

#[cfg(not(feature = "metrics"))]
fn measure(_: Metric, _: &[&'static str], _: Duration) {}
