//! Redis servers that belong together: a cluster, and a master with a replica and sentinels.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::servers::{ADMIN_PASSWORD, Server};
use crate::common::{TestCa, free_port};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The password of the user `site` on protected servers, and as it is written in URLs.
const PASSWORD: &str = "p@ss/word+1";
pub(super) const PASSWORD_IN_URL: &str = "p%40ss%2Fword%2B1";

/// Returns the rules that the guide gives the user of Redis: those of the lines with one of these
/// comments.
pub(super) fn guide_rules(comments: &[&str]) -> Vec<String> {
    let guide = include_str!("../../../src/guide/sessions.md");
    let lines = guide
        .lines()
        .filter_map(|line| line.strip_prefix("ACL SETUSER site "))
        .map(|line| line.split_once('#').unwrap_or((line, "")))
        .filter(|(_, comment)| comments.contains(&comment.trim()));
    let rules: Vec<_> = lines
        .flat_map(|(rules, _)| rules.split_whitespace())
        .map(|rule| rule.replace("PASSWORD", PASSWORD))
        .collect();
    assert!(rules.len() > comments.len(), "the guide has no such lines");
    rules
}

/// Returns the rules for a node of a cluster.
pub(super) fn cluster_rules() -> Vec<String> {
    guide_rules(&["", "on the nodes of a cluster"])
}

/// Returns the rules for a server behind sentinels.
pub(super) fn master_rules() -> Vec<String> {
    guide_rules(&["", "on servers behind sentinels"])
}

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
    is_protected: bool,
}

impl RedisCluster {
    /// Returns the cluster without replicas that is shared by all tests that stop no node. It has TLS and
    /// a user with the rules of the guide, and its nodes announce `localhost`.
    pub(super) fn shared() -> &'static Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| {
            let ca = TestCa::new();
            let node = || {
                let mut node = Server::protected(&ca, &cluster_rules());
                node.argue(&["--cluster-announce-hostname", "localhost"]);
                node.argue(&["--cluster-preferred-endpoint-type", "hostname"]);
                node
            };
            Self::create((0..3).map(|_| node()), 0, true)
        })
    }

    pub(super) fn shared_of_valkey() -> &'static Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::start(&valkey_program(), 0))
    }

    pub(super) fn start(program: &Path, replicas_per_master: usize) -> Self {
        let count = 3 * (1 + replicas_per_master);
        let nodes = (0..count).map(|_| Server::redis_with(program, &[]));
        Self::create(nodes, replicas_per_master, false)
    }

    /// Starts the nodes and makes them a cluster.
    fn create(
        nodes: impl Iterator<Item = Server>,
        replicas_per_master: usize,
        is_protected: bool,
    ) -> Self {
        let nodes = nodes.map(|mut node| {
            let bus = free_port().to_string();
            node.argue(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
            node.argue(&["--cluster-node-timeout", "1000", "--appendfsync", "no"]);
            node.argue(&["--cluster-require-full-coverage", "no"]);
            node.start();
            node
        });
        let cluster = Self {
            nodes: nodes.collect(),
            is_protected,
        };
        let mut create = cluster.nodes[0].cli();
        create
            .args(["--cluster", "create"])
            .args(cluster.nodes.iter().map(|node| node.address().to_string()))
            .args(["--cluster-replicas", &replicas_per_master.to_string()])
            .arg("--cluster-yes");
        let created = create.output().unwrap();
        assert!(created.status.success(), "{created:?}");
        for node in &cluster.nodes {
            until("the cluster is complete", || {
                let info = node.execute(&["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{}\r", cluster.nodes.len());
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        cluster
    }

    /// Returns the URL, which names two of the nodes.
    pub(super) fn url(&self) -> String {
        let [one, two] = [&self.nodes[0], &self.nodes[1]].map(Server::port);
        if self.is_protected {
            let ca = self.nodes[0].ca_file();
            let hosts = format!("localhost:{one},localhost:{two}");
            return format!(
                "rediss+cluster://site:{PASSWORD_IN_URL}@{hosts}?sslrootcert={}",
                ca.display()
            );
        }
        format!("redis+cluster://127.0.0.1:{one},127.0.0.1:{two}")
    }
}

/// A master with a replica, and three sentinels that watch them.
pub(super) struct RedisSentinels {
    pub(super) master: Server,
    pub(super) replica: Server,
    pub(super) sentinels: Vec<Server>,
    is_protected: bool,
}

impl RedisSentinels {
    pub(super) const SERVICE: &str = "site sessions";

    /// Returns the protected servers that are shared by all tests that stop none of them.
    pub(super) fn shared() -> &'static Self {
        static SENTINELS: OnceLock<RedisSentinels> = OnceLock::new();
        SENTINELS.get_or_init(Self::start_protected)
    }

    pub(super) fn start() -> Self {
        let server = || Server::redis_with(Path::new("redis-server"), &[]);
        Self::create(server, server, "127.0.0.1")
    }

    /// Starts servers with TLS and users with the rules of the guide, which announce `localhost`.
    pub(super) fn start_protected() -> Self {
        let ca = TestCa::new();
        let server = || Server::protected(&ca, &master_rules());
        let sentinel = || Server::protected(&ca, &guide_rules(&["on the sentinels"]));
        Self::create(server, sentinel, "localhost")
    }

    fn create(server: impl Fn() -> Server, sentinel: impl Fn() -> Server, host: &str) -> Self {
        let is_protected = host == "localhost";
        let mut master = server();
        master.argue(&["--repl-diskless-sync-delay", "0"]);
        master.argue(&["--replica-announce-ip", host]);
        master.start();
        let port = master.port().to_string();
        let mut replica = server();
        replica.argue(&["--replicaof", host, &port, "--replica-announce-ip", host]);
        replica.start();
        let sentinels: Vec<_> = (0..3)
            .map(|_| {
                let mut sentinel = sentinel();
                let service = Self::SERVICE;
                let passwords = if is_protected {
                    format!(
                        "sentinel auth-pass \"{service}\" {ADMIN_PASSWORD}\n\
                         sentinel sentinel-pass {ADMIN_PASSWORD}\n"
                    )
                } else {
                    String::new()
                };
                let text = format!(
                    "bind 127.0.0.1\nport {}\ndir {}\n\
                     sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
                     sentinel monitor \"{service}\" {host} {port} 2\n\
                     sentinel down-after-milliseconds \"{service}\" 1000\n\
                     sentinel failover-timeout \"{service}\" 4000\n{passwords}",
                    sentinel.port(),
                    sentinel.dir().display(),
                );
                sentinel.become_sentinel(&text);
                sentinel.start();
                sentinel
            })
            .collect();
        for sentinel in &sentinels {
            until("the sentinels know each other and the replica", || {
                let info = sentinel.execute(&["INFO", "sentinel"]);
                info.contains("status=ok") && info.contains("slaves=1,sentinels=3")
            });
        }
        Self {
            master,
            replica,
            sentinels,
            is_protected,
        }
    }

    pub(super) fn url(&self) -> String {
        self.url_of(&Self::SERVICE.replace(' ', "%20"))
    }

    pub(super) fn url_of(&self, service: &str) -> String {
        let host = if self.is_protected {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let sentinels = self.sentinels.iter();
        let hosts: Vec<_> = sentinels
            .map(|one| format!("{host}:{}", one.port()))
            .collect();
        let hosts = hosts.join(",");
        if self.is_protected {
            let ca = self.master.ca_file();
            return format!(
                "rediss+sentinel://site:{PASSWORD_IN_URL}@{hosts}/{service}?sentinel_username=site\
                 &sentinel_password={PASSWORD_IN_URL}&sslrootcert={}",
                ca.display()
            );
        }
        format!("redis+sentinel://{hosts}/{service}")
    }
}

/// Waits until a replica of the master has all of its data.
pub(super) fn replicated(master: &Server) {
    until("the replica has all data", || {
        let info = master.execute(&["INFO", "replication"]);
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
