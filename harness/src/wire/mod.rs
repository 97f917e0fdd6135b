//! Bytes to frames, sans-IO: SSE, NDJSON lines, and the ordinary client's opinion of the same bytes.

pub mod ndjson;
pub mod opinion;
pub mod sse;

/// How much of a stream may be held back because it is not finished yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one unfinished frame (or line).
    pub frame: usize,
}

impl Default for Limits {
    /// 64 MiB: far above any payload in use, far below what a hostile server could make a harness swallow.
    fn default() -> Self {
        Limits { frame: 64 << 20 }
    }
}

/// A frame grew beyond its limit; the decoder takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The limit in bytes.
    pub limit: usize,
    /// Offset in the stream at which the frame began.
    pub offset: u64,
}

impl std::fmt::Display for Oversize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a frame that began at byte {} of the body is longer than {} bytes", self.offset, self.limit)
    }
}

impl std::error::Error for Oversize {}
