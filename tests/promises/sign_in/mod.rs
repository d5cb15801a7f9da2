//! Promises S1 to S5 and S7 to S12: signing in. For S6 see `id_token`.

mod attempts;
mod errors;
mod options;
mod order;
mod replay;
mod requests;
mod return_to;
mod sessions;
