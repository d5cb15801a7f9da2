//! Promise B5 and what operators see beyond it: each event and each metric of the tables happens, and
//! no other; the tables in the documentation are those of the code.

mod audit;
mod life;
mod metrics;
mod tables;
