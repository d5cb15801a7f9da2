use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// Returns a free port below the range of ephemeral ports, which other sockets could take.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = std::process::id() % 8_000;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (u16::try_from(from).unwrap() + offset) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
