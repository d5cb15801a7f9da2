use std::{sync::Arc, time::Duration};

use ::redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value};
use tokio::time::sleep;

use super::{
    call::Call,
    cluster::Cluster,
    node::{CallError, Node, Target},
    sentinel::Sentinels,
    server::Server,
};
use crate::{
    config::redis_url::{RedisKind, RedisUrl},
    store::{
        StoreError,
        external::{backend, with_timeout},
    },
};

/// How often a call is sent that a node of a cluster or a server behind sentinels has not executed.
const ATTEMPTS: usize = 6;

/// The time between attempts, unless the cluster has named another node.
const PAUSE: Duration = Duration::from_millis(100);

/// The server or the servers that hold the records.
///
/// A call that may have been executed is never repeated. A call that was not executed is repeated only
/// where another server can take over.
pub(super) enum Connection {
    Server(Arc<Node>),
    Sentinels(Arc<Node>),
    Cluster(Cluster),
}

impl Connection {
    /// Parses the URL, without connecting.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let url = RedisUrl::parse(url).map_err(|error| StoreError::Address(error.into()))?;
        let mut servers = Server::all(&url)?;
        let node = |target| Arc::new(Node::new(target));
        Ok(match &url.kind {
            RedisKind::Server => Self::Server(node(Target::Server(servers.remove(0).into()))),
            RedisKind::Cluster => Self::Cluster(Cluster::new(servers)),
            RedisKind::Sentinel { service } => {
                let sentinels = Sentinels {
                    servers: servers.iter().map(|one| one.sentinel(&url)).collect(),
                    service: service.clone(),
                    master: servers.remove(0),
                };
                Self::Sentinels(node(Target::Sentinels(sentinels.into())))
            }
        })
    }

    /// Checks that the servers answer. Those of a cluster may announce addresses that this machine cannot
    /// reach.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        with_timeout(async {
            let answer = match self {
                Self::Server(node) | Self::Sentinels(node) => {
                    node.query(&cmd("PING")).await.map(drop)
                }
                Self::Cluster(cluster) => cluster.check().await,
            };
            answer.map_err(failed)
        })
        .await
    }

    /// Executes a call. Returns its result, and for [`Call::get`] the time of the server in
    /// milliseconds.
    pub(super) async fn execute<T: FromRedisValue>(
        &self,
        call: &Call,
    ) -> Result<(T, i64), StoreError> {
        with_timeout(async {
            let (value, now) = self.attempt(call).await.map_err(failed)?;
            let value = from_redis_value(value).map_err(|error| failed(error.into()))?;
            Ok((value, now))
        })
        .await
    }

    async fn attempt(&self, call: &Call) -> RedisResult<(Value, i64)> {
        let attempts = match self {
            Self::Server(_) => 1,
            Self::Sentinels(_) | Self::Cluster(_) => ATTEMPTS,
        };
        let mut redirect = None;
        let mut attempt = 1;
        loop {
            let target = match redirect.take() {
                Some(redirect) => Ok(redirect),
                None => self.node(&call.key).await.map(|node| (node, false)),
            };
            let error = match target {
                Ok((node, asking)) => match node.execute(call, asking).await {
                    Ok(result) => return Ok(result),
                    Err(CallError::Unknown(error)) => return Err(error),
                    Err(CallError::NotExecuted(error)) => {
                        redirect = self.redirect(&error, &node).await;
                        error
                    }
                },
                Err(error) => error,
            };
            if attempt == attempts {
                return Err(error);
            }
            attempt += 1;
            if redirect.is_none() {
                sleep(PAUSE).await;
            }
        }
    }

    async fn node(&self, key: &str) -> RedisResult<Arc<Node>> {
        match self {
            Self::Server(node) | Self::Sentinels(node) => Ok(Arc::clone(node)),
            Self::Cluster(cluster) => cluster.master(key).await,
        }
    }

    /// Returns the node of a cluster that has a key according to another node, and whether the key is
    /// still being moved there.
    async fn redirect(&self, error: &RedisError, from: &Node) -> Option<(Arc<Node>, bool)> {
        let Self::Cluster(cluster) = self else {
            return None;
        };
        let is_moving = error.code() == Some("ASK");
        if !is_moving {
            // If no node answers now, the next attempt asks again.
            let _ = cluster.read_map(&cluster.map()).await;
        }
        let (address, _) = error.redirect_node()?;
        Some((cluster.redirected(address, from)?, is_moving))
    }
}

fn failed(error: RedisError) -> StoreError {
    if error.is_timeout() {
        return StoreError::TimedOut;
    }
    let Some((problem, help)) = access_problem(&error) else {
        return backend(error);
    };
    StoreError::Misconfigured {
        problem,
        help,
        source: error.into(),
    }
}

/// Returns the problem and the help if a server rejects the user, the password or a command.
fn access_problem(error: &RedisError) -> Option<(&'static str, &'static str)> {
    // Redis gives the errors of scripts no code of their own.
    let is_denied = [
        "has no permissions to",
        "The user executing the script can't",
    ]
    .iter()
    .any(|text| error.detail().is_some_and(|detail| detail.contains(text)));
    match error.code() {
        _ if is_denied => Some((
            "the session store's server denies its user a command or a key",
            "give the user the permissions in the guide, under `Redis`",
        )),
        Some("NOAUTH") => Some((
            "the session store's server requires a password",
            "write it in `session_store`, like `redis://USER:PASSWORD@HOST` or \
             `redis://:PASSWORD@HOST`, and that of sentinels as `sentinel_password` in the query",
        )),
        code if code == Some("WRONGPASS") || error.kind() == ErrorKind::AuthenticationFailed => {
            Some((
                "the session store's server rejects the user or the password",
                "correct them in `session_store`, where characters such as `/`, `@` and `+` are \
                 percent-encoded; those of sentinels are `sentinel_username` and \
                 `sentinel_password` in the query",
            ))
        }
        _ => None,
    }
}
