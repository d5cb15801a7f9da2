//! Promises S1 to S5 and S7 to S9: signing in. What a lying provider achieves (S6) is in `lies`.

mod attempts;
mod errors;
mod order;
mod replay;
mod requests;
mod return_to;
mod sessions;
