use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Connection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::external::{ASSUMED_ALIVE, PING_TIMEOUT};

/// A connection that was not used for this time is closed.
const MAX_IDLE: Duration = Duration::from_secs(600);

/// A pool of database connections that are opened on demand.
///
/// The pool of sqlx waits without a limit for a response on each connection that is returned to it.
/// When a server disappears from the network, its permits stay taken for minutes after the server is
/// back. This pool takes back a connection only after a successful operation, and drops it
/// otherwise, also when the operation is cancelled.
pub(super) struct Pool<C: Connection> {
    options: C::Options,
    idle: Mutex<Vec<(C, Instant)>>,
    permits: Semaphore,
    max_wait: Duration,
}

/// A connection for one operation.
pub(super) struct PooledConnection<'a, C: Connection> {
    pub(super) connection: C,
    pool: &'a Pool<C>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Pool<C>
where
    C: Connection,
    C::Options: ConnectOptions<Connection = C>,
{
    /// Creates a pool of at most `size` connections, without connecting. Callers wait for a connection
    /// in use for `max_wait` at most.
    pub(super) fn new(options: C::Options, size: usize, max_wait: Duration) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            permits: Semaphore::new(size),
            max_wait,
        }
    }

    /// Returns a connection, or [`sqlx::Error::PoolTimedOut`]. Callers are served in order.
    pub(super) async fn acquire(&self) -> Result<PooledConnection<'_, C>, sqlx::Error> {
        let permit = timeout(self.max_wait, self.permits.acquire()).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.reuse().await {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(PooledConnection {
            connection,
            pool: self,
            _permit: permit,
        })
    }

    async fn reuse(&self) -> Option<C> {
        let (mut connection, used_at) = {
            let mut idle = self.idle();
            idle.retain(|(_, used_at)| used_at.elapsed() < MAX_IDLE);
            idle.pop()?
        };
        let is_alive = used_at.elapsed() < ASSUMED_ALIVE
            || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())));
        if is_alive {
            return Some(connection);
        }
        // The other connections were idle for longer than this one.
        self.idle().clear();
        None
    }
}

impl<C: Connection> Pool<C> {
    fn idle(&self) -> MutexGuard<'_, Vec<(C, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connection> PooledConnection<'_, C> {
    /// Returns the connection to the pool after a successful operation.
    pub(super) fn release(self) {
        self.pool.idle().push((self.connection, Instant::now()));
    }
}
