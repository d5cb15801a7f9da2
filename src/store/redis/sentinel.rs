use ::redis::{
    ErrorKind, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value,
};
use futures_util::future::select_ok;

use super::server::Server;

/// Sentinels, which watch a master and its replicas, and promote a replica when the master fails.
pub(super) struct Sentinels {
    pub(super) servers: Vec<Server>,
    pub(super) service: String,
    /// The settings of the master.
    pub(super) master: Server,
}

impl Sentinels {
    /// Connects to the master that the first sentinel to answer names.
    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let answers = self.servers.iter().map(|one| Box::pin(self.ask(one)));
        let ((host, port), _) = select_ok(answers).await?;
        let mut connection = self.master.at(&host, port).connect().await?;
        // A sentinel that was away may name a server that is a replica by now.
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        let role = role.into_iter().next().map(from_redis_value::<String>);
        match role.transpose()?.as_deref() {
            Some("master") => Ok(connection),
            _ => Err(RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "the server that the sentinels name is not a master",
            ))),
        }
    }

    async fn ask(&self, sentinel: &Server) -> RedisResult<(String, u16)> {
        let mut connection = sentinel.connect().await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let address: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        address.ok_or_else(|| {
            RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "the sentinels know no service of this name",
                self.service.clone(),
            ))
        })
    }
}
