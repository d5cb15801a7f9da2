//! Promise B5 and the metrics: the documented events and metrics occur, and no others.

mod audit;
mod metrics;
mod scenario;
mod tables;
