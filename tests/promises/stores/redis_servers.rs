//! Redis servers that belong together: a cluster, and a master with a replica and sentinels.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::servers::Server;
use crate::common::free_port;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the server of Valkey that is shared by all tests.
pub(super) fn valkey() -> &'static Server {
    static VALKEY: OnceLock<Server> = OnceLock::new();
    VALKEY.get_or_init(|| {
        let mut server = Server::redis_with(&valkey_program(), &[]);
        server.start();
        server
    })
}

fn valkey_program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/foreign/valkey/valkey-server");
    assert!(program.exists(), "run tests/foreign/install");
    program
}

/// A cluster of three masters.
pub(super) struct RedisCluster {
    /// The masters, followed by their replicas.
    pub(super) nodes: Vec<Server>,
}

impl RedisCluster {
    /// Returns the cluster without replicas that is shared by all tests that stop no node.
    pub(super) fn shared() -> &'static Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::start(Path::new("redis-server"), 0))
    }

    pub(super) fn shared_of_valkey() -> &'static Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::start(&valkey_program(), 0))
    }

    pub(super) fn start(program: &Path, replicas_per_master: usize) -> Self {
        let nodes = (0..3 * (1 + replicas_per_master)).map(|_| {
            let bus = free_port().to_string();
            let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus]
                .into_iter()
                .chain(["--cluster-node-timeout", "1000", "--appendfsync", "no"])
                .chain(["--cluster-require-full-coverage", "no"])
                .collect::<Vec<_>>();
            let mut node = Server::redis_with(program, &arguments);
            node.start();
            node
        });
        let cluster = Self {
            nodes: nodes.collect(),
        };
        let mut create = Command::new("redis-cli");
        create
            .args(["--cluster", "create"])
            .args(cluster.nodes.iter().map(|node| node.address().to_string()))
            .args(["--cluster-replicas", &replicas_per_master.to_string()])
            .arg("--cluster-yes");
        let created = create.output().unwrap();
        assert!(created.status.success(), "{created:?}");
        for node in &cluster.nodes {
            until("the cluster is complete", || {
                let info = redis_cli(node.port(), &["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{}\r", cluster.nodes.len());
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        cluster
    }

    /// Returns the URL, which names two of the nodes.
    pub(super) fn url(&self) -> String {
        let [one, two] = [&self.nodes[0], &self.nodes[1]].map(Server::address);
        format!("redis+cluster://{one},{two}")
    }
}

/// A master with a replica, and three sentinels that watch them.
pub(super) struct RedisSentinels {
    pub(super) master: Server,
    pub(super) replica: Server,
    pub(super) sentinels: Vec<Server>,
}

impl RedisSentinels {
    pub(super) const SERVICE: &str = "site sessions";

    /// Returns the servers that are shared by all tests that stop none of them.
    pub(super) fn shared() -> &'static Self {
        static SENTINELS: OnceLock<RedisSentinels> = OnceLock::new();
        SENTINELS.get_or_init(Self::start)
    }

    pub(super) fn start() -> Self {
        let program = Path::new("redis-server");
        let mut master = Server::redis_with(program, &["--repl-diskless-sync-delay", "0"]);
        master.start();
        let port = master.port().to_string();
        let mut replica = Server::redis_with(program, &["--replicaof", "127.0.0.1", &port]);
        replica.start();
        let sentinels: Vec<_> = (0..3)
            .map(|_| {
                let mut sentinel = Server::redis_with(program, &[]);
                let file = sentinel.dir().join("sentinel.conf");
                let service = Self::SERVICE;
                let text = format!(
                    "bind 127.0.0.1\nport {}\ndir {}\n\
                     sentinel monitor \"{service}\" 127.0.0.1 {port} 2\n\
                     sentinel down-after-milliseconds \"{service}\" 1000\n\
                     sentinel failover-timeout \"{service}\" 4000\n",
                    sentinel.port(),
                    sentinel.dir().display(),
                );
                fs::write(&file, text).unwrap();
                sentinel.argue(&[file.to_str().unwrap(), "--sentinel"]);
                sentinel.start();
                sentinel
            })
            .collect();
        for sentinel in &sentinels {
            until("the sentinels know each other and the replica", || {
                let info = redis_cli(sentinel.port(), &["INFO", "sentinel"]);
                info.contains("status=ok") && info.contains("slaves=1,sentinels=3")
            });
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    pub(super) fn url(&self) -> String {
        let sentinels = self.sentinels.iter();
        let addresses: Vec<_> = sentinels.map(|one| one.address().to_string()).collect();
        let service = Self::SERVICE.replace(' ', "%20");
        format!("redis+sentinel://{}/{service}", addresses.join(","))
    }
}

/// Runs a command on the server at a port, and returns its output.
pub(super) fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).args(arguments);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Waits until a replica of the master at this port has all of its data.
pub(super) fn replicated(master: u16) {
    until("the replica has all data", || {
        let info = redis_cli(master, &["INFO", "replication"]);
        let offset = info
            .lines()
            .find_map(|line| line.strip_prefix("master_repl_offset:"));
        info.contains(&format!(
            "state=online,offset={},",
            offset.unwrap_or("?").trim()
        ))
    });
}

fn until(state: &str, mut is_reached: impl FnMut() -> bool) {
    let limit = Instant::now() + START_TIMEOUT;
    while !is_reached() {
        assert!(Instant::now() < limit, "{state}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
