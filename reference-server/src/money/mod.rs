//! Accounts of streams that are paid by the item: who may spend what, and what was spent.
//!
//! [`Account`] is the sans-IO core: vouchers, charges, top-ups and the close are methods that either change the account or
//! say why not. [`Book`] keeps accounts by name and makes every change durable before anybody sees it. [`scheme`] is the
//! identity behind the numbers: keys, signatures, names of channels, challenges that need no memory.

mod account;
mod book;
pub mod scheme;

pub use account::{Account, Refused, Short};
pub use book::{Book, BookError};
