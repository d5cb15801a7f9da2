use std::{
    sync::{self, Arc},
    time::{Duration, Instant},
};

use ::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::MultiplexedConnection, cmd, from_redis_value, pipe,
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    call::Call,
    sentinel::{Address, Sentinels},
    server::Server,
};
use crate::store::{
    external::{ASSUMED_ALIVE, PING_TIMEOUT},
    to_millis,
};

/// How long the time of the server is known after it was read. The server removes records by its clock
/// in any case; this time only determines the remaining lifetime that a load returns.
const TIME_VALID: Duration = Duration::from_secs(1);

/// How often the sentinels are asked whether the server is still the master. One that is cut off from them
/// accepts writes for a while after another has replaced it.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(1);

/// A connection to a server that is opened on demand and replaced after any error. A server that
/// loads its data, became a replica or rejected a password may accept the next connection.
pub(super) struct Node {
    target: Target,
    current: Arc<Mutex<Current>>,
    /// The time of the server in milliseconds, and when it was read.
    server_time: sync::Mutex<Option<(Instant, i64)>>,
}

/// What a node connects to.
pub(super) enum Target {
    Server(Box<Server>),
    /// The server that is the master when the connection is opened.
    Sentinels(Arc<Sentinels>),
}

#[derive(Default)]
struct Current {
    connection: Option<(MultiplexedConnection, Instant)>,
    /// The number of connections opened so far, so that an error discards only the connection on
    /// which it occurred.
    number: u64,
    /// The master that the sentinels named, and when they were asked.
    named: Option<(Address, Instant)>,
}

impl Current {
    fn discard(&mut self, number: u64) {
        if self.number == number {
            self.connection = None;
        }
    }
}

/// Error returned when a node does not execute a call.
pub(super) enum CallError {
    /// The node has not executed the call, which can be repeated.
    NotExecuted(RedisError),
    /// The node may have executed the call, so it must not be repeated.
    Unknown(RedisError),
}

impl Node {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            current: Arc::default(),
            server_time: sync::Mutex::default(),
        }
    }

    /// Returns the server, unless sentinels name it.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.target {
            Target::Server(server) => Some(server),
            Target::Sentinels(_) => None,
        }
    }

    /// Executes a command that has no key.
    pub(super) async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        let (mut connection, number) = self.acquire().await?;
        let result = command.query_async(&mut connection).await;
        self.discard_on_error(number, &result).await;
        result
    }

    /// Executes a call. Returns its result, and for [`Call::get`] the time of the server in
    /// milliseconds, which is read at most once per [`TIME_VALID`].
    pub(super) async fn execute(
        &self,
        call: &Call,
        asking: bool,
    ) -> Result<(Value, i64), CallError> {
        let acquired = self.acquire().await;
        let (mut connection, number) = acquired.map_err(CallError::NotExecuted)?;
        let result = self.execute_on(&mut connection, call, asking).await;
        let result = match result {
            // Another program has written a value of another type, which counts as absent.
            Err(error) if error.code() == Some("WRONGTYPE") => Ok((Value::Nil, 0)),
            result => result,
        };
        self.discard_on_error(number, &result).await;
        result.map_err(|error| match error.kind() {
            ErrorKind::Server(
                ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading,
            ) => CallError::NotExecuted(error),
            _ => CallError::Unknown(error),
        })
    }

    async fn execute_on(
        &self,
        connection: &mut MultiplexedConnection,
        call: &Call,
        asking: bool,
    ) -> RedisResult<(Value, i64)> {
        if asking {
            return self.read_time_after(call.asking(), connection).await;
        }
        let Some(script) = call.script else {
            let known = *self.server_time();
            if let Some((read_at, time)) = known.filter(|(at, _)| at.elapsed() < TIME_VALID) {
                let now = time.saturating_add(to_millis(read_at.elapsed()));
                return Ok((call.command.query_async(connection).await?, now));
            }
            let mut pipeline = pipe();
            pipeline.add_command(call.command.clone());
            return self.read_time_after(pipeline, connection).await;
        };
        let mut result = call.command.query_async(connection).await;
        let is_missing =
            |error: &RedisError| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript);
        if result.as_ref().is_err_and(is_missing) {
            let _: String = script.load().query_async(connection).await?;
            result = call.command.query_async(connection).await;
        }
        Ok((result?, 0))
    }

    async fn read_time_after(
        &self,
        mut pipeline: Pipeline,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<(Value, i64)> {
        pipeline.cmd("TIME").ignore_errors();
        let results: Vec<RedisResult<Value>> = pipeline.query_async(connection).await?;
        // The first error says most, such as where the key is.
        let mut results = results.into_iter().collect::<RedisResult<Vec<_>>>()?;
        let (time, value) = (results.pop(), results.pop());
        let (seconds, micros): (i64, i64) = from_redis_value(time.unwrap_or(Value::Nil))?;
        let now = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        *self.server_time() = Some((Instant::now(), now));
        Ok((value.unwrap_or(Value::Nil), now))
    }

    fn server_time(&self) -> sync::MutexGuard<'_, Option<(Instant, i64)>> {
        self.server_time
            .lock()
            .unwrap_or_else(sync::PoisonError::into_inner)
    }

    async fn acquire(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut current = self.current.lock().await;
        if let Some((mut connection, used_at)) = current.connection.take()
            && (used_at.elapsed() < ASSUMED_ALIVE || is_alive(&mut connection).await)
        {
            current.connection = Some((connection.clone(), Instant::now()));
            self.confirm(&mut current);
            return Ok((connection, current.number));
        }
        // Boxed, so that the many calls that open no connection stay small.
        let connection = match &self.target {
            Target::Server(server) => Box::pin(server.connect()).await?,
            Target::Sentinels(sentinels) => {
                let (connection, address) = Box::pin(sentinels.connect()).await?;
                current.named = Some((address, Instant::now()));
                connection
            }
        };
        current.connection = Some((connection.clone(), Instant::now()));
        current.number += 1;
        *self.server_time() = None;
        Ok((connection, current.number))
    }

    /// Asks the sentinels in the background, and discards the connection if they name another master.
    fn confirm(&self, current: &mut Current) {
        let Target::Sentinels(sentinels) = &self.target else {
            return;
        };
        let Some((address, asked_at)) = &mut current.named else {
            return;
        };
        if asked_at.elapsed() < CONFIRM_INTERVAL {
            return;
        }
        *asked_at = Instant::now();
        let (sentinels, current_later) = (Arc::clone(sentinels), Arc::clone(&self.current));
        let (address, number) = (address.clone(), current.number);
        tokio::spawn(async move {
            if sentinels.named().await.is_ok_and(|named| named != address) {
                current_later.lock().await.discard(number);
            }
        });
    }

    /// Discards the connection after an error, unless the node only says that another one has the key.
    async fn discard_on_error<T>(&self, number: u64, result: &RedisResult<T>) {
        if let Err(error) = result
            && error.redirect_node().is_none()
        {
            self.current.lock().await.discard(number);
        }
    }
}

async fn is_alive(connection: &mut MultiplexedConnection) -> bool {
    let ping = cmd("PING");
    let response = timeout(PING_TIMEOUT, ping.exec_async(connection)).await;
    matches!(response, Ok(Ok(())))
}
