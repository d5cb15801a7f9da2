use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Connection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// A connection that was used less than this ago counts as alive; another one is tried first.
const FRESH: Duration = Duration::from_secs(1);

/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(600);

const PING_TIMEOUT: Duration = Duration::from_millis(300);

/// A few connections to a database, made when they are needed.
///
/// The driver's own pool waits without a limit for the answer of each connection that is given
/// back: a server that vanishes from the network keeps all places of such a pool taken for minutes
/// after it is back. Here a connection comes back only from an operation that went well, and is
/// dropped otherwise, also when nobody waits for the operation any more.
pub(super) struct Pool<C: Connection> {
    options: C::Options,
    idle: Mutex<Vec<(C, Instant)>>,
    places: Semaphore,
}

/// A connection for one operation.
pub(super) struct Lease<'a, C: Connection> {
    connection: C,
    pool: &'a Pool<C>,
    _place: SemaphorePermit<'a>,
}

impl<C> Pool<C>
where
    C: Connection,
    C::Options: ConnectOptions<Connection = C>,
{
    /// A pool of at most `size` connections. Connects nowhere yet.
    pub(super) fn new(options: C::Options, size: usize) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            places: Semaphore::new(size),
        }
    }

    /// A connection that is alive, as far as one can know. Callers are served in order.
    pub(super) async fn get(&self) -> Result<Lease<'_, C>, sqlx::Error> {
        let place = self.places.acquire().await;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.reuse().await {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Lease {
            connection,
            pool: self,
            _place: place,
        })
    }

    async fn reuse(&self) -> Option<C> {
        let (mut connection, used_at) = {
            let mut idle = self.idle();
            idle.retain(|(_, used_at)| used_at.elapsed() < IDLE);
            idle.pop()?
        };
        let is_alive = used_at.elapsed() < FRESH
            || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())));
        if is_alive {
            return Some(connection);
        }
        // The others were used before this one: they are no better.
        self.idle().clear();
        None
    }
}

impl<C: Connection> Pool<C> {
    fn idle(&self) -> MutexGuard<'_, Vec<(C, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connection> Lease<'_, C> {
    /// Gives the connection back after an operation that went well.
    pub(super) fn keep(self) {
        self.pool.idle().push((self.connection, Instant::now()));
    }
}

impl<C: Connection> Deref for Lease<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Connection> DerefMut for Lease<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}
