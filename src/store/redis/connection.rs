use std::time::{Duration, Instant};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError,
    RedisResult, ScriptInvocation, aio::MultiplexedConnection, cmd, io::tcp::TcpSettings,
};
use tokio::{sync::Mutex, time::timeout};

use crate::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection that was used less than this ago counts as alive; another one is tried first.
const FRESH: Duration = Duration::from_secs(1);

/// The connection to the server, made when it is needed and made anew after any error: also a
/// server that is still loading, has become a replica or refuses a password may soon do better.
///
/// No command is sent twice. Whether one that failed was carried out is unknown.
pub(super) struct Connection {
    client: Client,
    config: AsyncConnectionConfig,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<(MultiplexedConnection, Instant)>,
    /// Counts the connections: an error of an old one says nothing about the present one.
    number: u64,
}

impl Connection {
    /// Takes the address; connects nowhere yet.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let address = |error: RedisError| StoreError::Address(error.into());
        let info = url
            .into_connection_info()
            .map_err(address)?
            // Requests are small and share a connection: none waits for the answer to another.
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(address)?;
        choose_cryptography();
        Ok(Self {
            client,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(ANSWER_TIMEOUT)),
            current: Mutex::default(),
        })
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (mut connection, number) = self.get().await.map_err(failed)?;
        let answer = command.query_async(&mut connection).await;
        self.judge(number, answer).await
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let (mut connection, number) = self.get().await.map_err(failed)?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(number, answer).await
    }

    async fn get(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut current = self.current.lock().await;
        if let Some((mut connection, used_at)) = current.connection.take()
            && (used_at.elapsed() < FRESH || is_alive(&mut connection).await)
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
        Ok((connection, current.number))
    }

    async fn judge<T>(&self, number: u64, answer: RedisResult<T>) -> Result<T, StoreError> {
        if answer.is_err() {
            let mut current = self.current.lock().await;
            if current.number == number {
                current.connection = None;
            }
        }
        answer.map_err(failed)
    }
}

async fn is_alive(connection: &mut MultiplexedConnection) -> bool {
    let ping = cmd("PING");
    let answer = timeout(PING_TIMEOUT, ping.exec_async(connection)).await;
    matches!(answer, Ok(Ok(())))
}

/// The driver takes the process's default cryptography and panics when two are built in and none
/// is chosen. An app that has chosen keeps its choice.
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails when somebody else was faster, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

fn failed(error: RedisError) -> StoreError {
    if error.is_timeout() {
        StoreError::TimedOut
    } else {
        StoreError::Backend(error.into())
    }
}
