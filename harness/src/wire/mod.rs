//! Bytes to frames, sans-IO: SSE, NDJSON, pages and long-polls, each with its lint.
