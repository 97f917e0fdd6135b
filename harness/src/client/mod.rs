//! A reader's state, sans-IO: cursor, chain of connections, reconnect decisions.
