use std::{
    sync,
    time::{Duration, Instant},
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError,
    RedisResult, ScriptInvocation, aio::MultiplexedConnection, cmd, io::tcp::TcpSettings, pipe,
};
use tokio::{sync::Mutex, time::timeout};

use crate::store::{
    StoreError,
    external::{ASSUMED_ALIVE, PING_TIMEOUT, with_timeout},
    to_millis,
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the time of the server is known after it was read. The server removes records by its clock
/// in any case; this time only determines the remaining lifetime that a load returns.
const TIME_VALID: Duration = Duration::from_secs(1);

/// A connection to the server that is opened on demand and replaced after any error. A server that
/// loads its data, became a replica or rejected a password may accept the next connection.
///
/// Commands are never repeated, because a command that failed may have been executed.
pub(super) struct Connection {
    client: Client,
    config: AsyncConnectionConfig,
    current: Mutex<Current>,
    /// The time of the server in milliseconds, and when it was read.
    server_time: sync::Mutex<Option<(Instant, i64)>>,
}

#[derive(Default)]
struct Current {
    connection: Option<(MultiplexedConnection, Instant)>,
    /// The number of connections opened so far, so that an error discards only the connection on
    /// which it occurred.
    number: u64,
}

impl Connection {
    /// Parses the URL, without connecting.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let invalid = |error: RedisError| StoreError::Address(error.into());
        let info = url
            .into_connection_info()
            .map_err(invalid)?
            // Disables Nagle's algorithm, which would delay a small request until earlier data is
            // acknowledged.
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(invalid)?;
        install_crypto_provider();
        Ok(Self {
            client,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT)),
            current: Mutex::default(),
            server_time: sync::Mutex::default(),
        })
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.run(async |connection| command.query_async(connection).await)
            .await
    }

    /// Returns the value of a key and the time of the server in milliseconds, which is read at most
    /// once per [`TIME_VALID`]. A value of another type than a string is absent.
    pub(super) async fn get(&self, key: &str) -> Result<(Option<Vec<u8>>, i64), StoreError> {
        let known = *self.server_time();
        if let Some((read_at, time)) = known.filter(|(at, _)| at.elapsed() < TIME_VALID) {
            let now = time.saturating_add(to_millis(read_at.elapsed()));
            let mut get = cmd("GET");
            get.arg(key);
            let get = async |connection: &mut _| of_string(get.query_async(connection).await);
            return Ok((self.run(get).await?, now));
        }
        let mut pipeline = pipe();
        pipeline.get(key).cmd("TIME").ignore_errors();
        let get = async |connection: &mut _| {
            let (value, time): (_, RedisResult<(i64, i64)>) =
                pipeline.query_async(connection).await?;
            let (seconds, micros) = time?;
            Ok((
                of_string(value)?,
                seconds.saturating_mul(1_000).saturating_add(micros / 1_000),
            ))
        };
        let (value, now) = self.run(get).await?;
        *self.server_time() = Some((Instant::now(), now));
        Ok((value, now))
    }

    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.run(async |connection| script.invoke_async(connection).await)
            .await
    }

    async fn run<T>(
        &self,
        operation: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        with_timeout(async {
            let (mut connection, number) = self.acquire().await.map_err(backend)?;
            let result = operation(&mut connection).await;
            self.discard_on_error(number, result).await
        })
        .await
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
            return Ok((connection, current.number));
        }
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await?;
        current.connection = Some((connection.clone(), Instant::now()));
        current.number += 1;
        *self.server_time() = None;
        Ok((connection, current.number))
    }

    async fn discard_on_error<T>(
        &self,
        number: u64,
        result: RedisResult<T>,
    ) -> Result<T, StoreError> {
        if result.is_err() {
            let mut current = self.current.lock().await;
            if current.number == number {
                current.connection = None;
            }
        }
        result.map_err(backend)
    }
}

/// Returns `None` for a value of another type, which another program has written.
fn of_string(value: RedisResult<Option<Vec<u8>>>) -> RedisResult<Option<Vec<u8>>> {
    match value {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        value => value,
    }
}

async fn is_alive(connection: &mut MultiplexedConnection) -> bool {
    let ping = cmd("PING");
    let response = timeout(PING_TIMEOUT, ping.exec_async(connection)).await;
    matches!(response, Ok(Ok(())))
}

/// Installs a default provider for rustls unless the app has installed one. The driver uses the
/// default provider, and panics if two are compiled in and none is installed.
fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails if another thread has installed a provider, which serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

fn backend(error: RedisError) -> StoreError {
    if error.is_timeout() {
        StoreError::TimedOut
    } else {
        StoreError::backend(error)
    }
}
