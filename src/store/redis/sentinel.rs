use std::{collections::HashMap, time::Duration};

use ::redis::{
    ErrorKind, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value,
};
use futures_util::{StreamExt, future::select_ok, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::server::Server;

/// How much longer than the first sentinel the others may take for their answers.
const OTHERS_TIMEOUT: Duration = Duration::from_millis(200);

/// Sentinels, which watch a master and its replicas, and promote a replica when the master fails.
pub(super) struct Sentinels {
    pub(super) servers: Vec<Server>,
    pub(super) service: String,
    /// The settings of the master.
    pub(super) master: Server,
}

/// The host and the port of a server.
pub(super) type Address = (String, u16);

/// What a sentinel knows about the master.
struct Answer {
    address: Address,
    /// Whether it replaces this master and has not promoted another server yet.
    is_replacing: bool,
    /// Each failover has a higher number.
    epoch: u64,
}

impl Sentinels {
    /// Connects to the master of the newest failover that a sentinel knows.
    pub(super) async fn connect(&self) -> RedisResult<(MultiplexedConnection, Address)> {
        let answers = self.servers.iter().map(|one| Box::pin(self.ask(one)));
        let (mut newest, others) = select_ok(answers).await?;
        let mut others: FuturesUnordered<_> = others.into_iter().collect();
        let limit = Instant::now() + OTHERS_TIMEOUT;
        while let Ok(Some(answer)) = timeout_at(limit, others.next()).await {
            if let Ok(answer) = answer
                && (answer.is_replacing, answer.epoch) > (newest.is_replacing, newest.epoch)
            {
                newest = answer;
            }
        }
        if newest.is_replacing {
            // It would accept writes that are lost when it becomes a replica.
            return Err(no_master("the sentinels are replacing the master"));
        }
        let (host, port) = &newest.address;
        let mut connection = self.master.at(host, *port).connect().await?;
        // A sentinel that was away may name a server that is a replica by now.
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        let role = role.into_iter().next().map(from_redis_value::<String>);
        match role.transpose()?.as_deref() {
            Some("master") => Ok((connection, newest.address)),
            _ => Err(no_master(
                "the server that the sentinels name is not a master",
            )),
        }
    }

    /// Returns the master that the first sentinel to answer names.
    pub(super) async fn named(&self) -> RedisResult<Address> {
        let answers = self.servers.iter().map(|one| Box::pin(self.ask(one)));
        Ok(select_ok(answers).await?.0.address)
    }

    async fn ask(&self, sentinel: &Server) -> RedisResult<Answer> {
        let mut connection = sentinel.connect().await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let address: Option<Address> = ask.query_async(&mut connection).await?;
        let address = address.ok_or_else(|| {
            RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "the sentinels know no service of this name",
                self.service.clone(),
            ))
        })?;
        let mut ask = cmd("SENTINEL");
        ask.arg("MASTER").arg(&self.service);
        let state: HashMap<String, String> = ask.query_async(&mut connection).await?;
        let state = |name| state.get(name).map_or("", String::as_str);
        // From the promotion on, the address is that of the new master, and the state that of the previous one.
        let is_promoted = (state("ip"), state("port")) != (&address.0, &address.1.to_string());
        Ok(Answer {
            is_replacing: state("flags").contains("failover_in_progress") && !is_promoted,
            epoch: state("config-epoch").parse().unwrap_or_default(),
            address,
        })
    }
}

fn no_master(problem: &'static str) -> RedisError {
    RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, problem))
}
