use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who wants the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody at a terminal, with Ctrl-C: nothing else has to hear of it first.
    Terminal,
    /// A supervisor, with SIGTERM: others may still send requests here.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix has a signal of its own for it")
    )]
    Supervisor,
}

/// The signal to stop: Ctrl-C, or SIGTERM from a supervisor. Heard from its making on, so that
/// none is lost.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Stop {
    /// Begins to listen.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ends at the next signal, and says whose it is.
    pub(crate) async fn signalled(&mut self) -> Sender {
        tokio::select! {
            _ = self.interrupt.recv() => Sender::Terminal,
            _ = self.terminate.recv() => Sender::Supervisor,
        }
    }
}

/// The signal to stop: Ctrl-C.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Stop;

#[cfg(not(unix))]
impl Stop {
    /// Begins to listen.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Ends at the next signal. Without a way to hear one, the system ends the program itself.
    pub(crate) async fn signalled(&mut self) -> Sender {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Sender::Terminal,
            Err(_) => std::future::pending().await,
        }
    }
}
