use std::{
    sync::{self, Arc},
    time::{Duration, Instant},
};

use ::redis::{ErrorKind, RedisError, RedisResult, Value, cmd, from_redis_value};
use futures_util::future::{select_ok, try_join_all};
use tokio::sync::Mutex;

use super::{
    node::{Node, Target},
    server::{Server, split_address},
};

/// The number of slots into which the keys of a cluster are divided.
const SLOTS: u16 = 16_384;

/// The map of the slots is read at most once in this time.
const MIN_MAP_AGE: Duration = Duration::from_millis(80);

/// The nodes of a cluster. Each has a connection of its own, so the failure of one node concerns only
/// its keys.
pub(super) struct Cluster {
    /// The nodes of the URL.
    seeds: Vec<Arc<Node>>,
    map: sync::Mutex<Arc<SlotMap>>,
    /// When the map was read.
    read_at: Mutex<Option<Instant>>,
}

/// The masters and the slots that they have.
#[derive(Default)]
pub(super) struct SlotMap(Vec<SlotRange>);

struct SlotRange {
    first: u16,
    last: u16,
    master: Arc<Node>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Server>) -> Self {
        let node = |server| Arc::new(Node::new(Target::Server(Box::new(server))));
        Self {
            seeds: seeds.into_iter().map(node).collect(),
            map: sync::Mutex::default(),
            read_at: Mutex::default(),
        }
    }

    pub(super) fn map(&self) -> Arc<SlotMap> {
        let map = self.map.lock();
        Arc::clone(&map.unwrap_or_else(sync::PoisonError::into_inner))
    }

    /// Returns the master that has a key. Reads the map if it is incomplete.
    pub(super) async fn master(&self, key: &str) -> RedisResult<Arc<Node>> {
        let slot = slot(key.as_bytes());
        let map = self.map();
        if let Some(master) = map.master(slot) {
            return Ok(master);
        }
        self.read_map(&map).await?;
        self.map().master(slot).ok_or_else(|| {
            RedisError::from((
                ErrorKind::Client,
                "no node of the cluster has the slot of a key",
                slot.to_string(),
            ))
        })
    }

    /// Returns the node at the address to which another node has redirected a call.
    pub(super) fn redirected(&self, address: &str, from: &Node) -> Option<Arc<Node>> {
        let (host, port) = split_address(address)?;
        self.node(host, port, from.server()?)
    }

    /// Returns the known node at this address, or a new one.
    fn node(&self, host: &str, port: u16, from: &Server) -> Option<Arc<Node>> {
        // A node that does not know its own address leaves it out.
        let host = if host.is_empty() {
            from.address().0
        } else {
            host
        };
        if host == "?" || port == 0 {
            return None;
        }
        let is_it = |node: &Arc<Node>| node.server().map(Server::address) == Some((host, port));
        let known = self.nodes().into_iter().find(is_it);
        Some(
            known.unwrap_or_else(|| {
                Arc::new(Node::new(Target::Server(Box::new(from.at(host, port)))))
            }),
        )
    }

    /// Returns the masters in the map, and the nodes of the URL.
    fn nodes(&self) -> Vec<Arc<Node>> {
        let mut nodes = self.map().masters();
        add_new(&mut nodes, &self.seeds);
        nodes
    }

    /// Checks that a node answers, and each master that it names.
    pub(super) async fn check(&self) -> RedisResult<()> {
        self.read_map(&self.map()).await?;
        let ping = cmd("PING");
        let masters = self.map().masters();
        try_join_all(masters.iter().map(|node| Box::pin(node.query(&ping)))).await?;
        Ok(())
    }

    /// Reads the map from the first node that answers, unless it is no longer the one that the caller
    /// has seen.
    pub(super) async fn read_map(&self, seen: &Arc<SlotMap>) -> RedisResult<()> {
        let mut read_at = self.read_at.lock().await;
        let is_new = read_at.is_some_and(|at| at.elapsed() < MIN_MAP_AGE);
        if is_new || !Arc::ptr_eq(seen, &self.map()) {
            return Ok(());
        }
        let nodes = self.nodes();
        let answers = nodes.iter().map(|node| Box::pin(self.ask(node)));
        let result = select_ok(answers).await;
        *read_at = Some(Instant::now());
        let (map, _) = result?;
        let current = self.map.lock();
        *current.unwrap_or_else(sync::PoisonError::into_inner) = Arc::new(map);
        Ok(())
    }

    async fn ask(&self, node: &Node) -> RedisResult<SlotMap> {
        let mut ask = cmd("CLUSTER");
        ask.arg("SLOTS");
        let rows: Vec<Vec<Value>> = from_redis_value(node.query(&ask).await?)?;
        let ranges = rows.into_iter().filter_map(|row| self.range(row, node));
        let map = SlotMap(ranges.collect());
        if map.0.is_empty() {
            return Err(RedisError::from((
                ErrorKind::Client,
                "the node belongs to no cluster",
            )));
        }
        Ok(map)
    }

    /// Parses the first and the last slot, and the master, which is followed by its replicas.
    fn range(&self, row: Vec<Value>, from: &Node) -> Option<SlotRange> {
        let mut row = row.into_iter();
        let mut slot = || from_redis_value(row.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        let master: Vec<Value> = from_redis_value(row.next()?).ok()?;
        let mut master = master.into_iter();
        let host: Option<String> = from_redis_value(master.next()?).ok()?;
        let port = from_redis_value(master.next()?).ok()?;
        let master = self.node(&host.unwrap_or_default(), port, from.server()?)?;
        Some(SlotRange {
            first,
            last,
            master,
        })
    }
}

impl SlotMap {
    fn masters(&self) -> Vec<Arc<Node>> {
        let mut masters = Vec::new();
        add_new(&mut masters, self.0.iter().map(|range| &range.master));
        masters
    }

    fn master(&self, slot: u16) -> Option<Arc<Node>> {
        let mut ranges = self.0.iter();
        let range = ranges.find(|range| (range.first..=range.last).contains(&slot))?;
        Some(Arc::clone(&range.master))
    }
}

/// Adds the nodes that are not in the list yet.
fn add_new<'a>(list: &mut Vec<Arc<Node>>, nodes: impl IntoIterator<Item = &'a Arc<Node>>) {
    for node in nodes {
        if !list.iter().any(|known| Arc::ptr_eq(known, node)) {
            list.push(Arc::clone(node));
        }
    }
}

/// Returns the slot of a key: the CRC-16/XMODEM of the key, or of its part in braces.
fn slot(key: &[u8]) -> u16 {
    let position = |bytes: &[u8], brace| bytes.iter().position(|byte| *byte == brace);
    let tag = position(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        position(rest, b'}').map(|close| &rest[..close])
    });
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the algorithm, and slots that `CLUSTER KEYSLOT` returns.
    #[test]
    fn keys_have_the_slots_that_the_cluster_specification_defines() {
        for (key, expected) in [
            ("123456789", 0x31c3),
            ("", 0),
            ("foo", 12_182),
            ("{user1000}.following", 3_443),
            ("a{user1000}b{c}", 3_443),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }
}
