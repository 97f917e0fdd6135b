//! Retention: what is kept of a log, by number, bytes and age.

/// Milliseconds since the Unix epoch, from whatever clock the caller has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// Bounds of a log. A bound that is absent does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events kept.
    pub records: Option<u64>,
    /// Bytes of payload kept.
    pub bytes: Option<u64>,
    /// Age in milliseconds; an event exactly that old is kept.
    pub age_ms: Option<u64>,
}

impl Retention {
    /// Bounds as a client asked for them, over the server's own.
    ///
    /// # Errors
    /// When a bound is no positive whole number; the text says which.
    pub fn asked(records: Option<f64>, bytes: Option<f64>, age_ms: Option<f64>, default: Retention) -> Result<Retention, String> {
        let bound = |name: &str, asked: Option<f64>, default: Option<u64>| match asked {
            None => Ok(default),
            Some(n) if n >= 1.0 && n.fract() == 0.0 && n <= 9e15 => Ok(Some(n as u64)),
            Some(n) => Err(format!("retain.{name} must be a whole number from 1, not {n}")),
        };
        Ok(Retention {
            records: bound("records", records, default.records)?,
            bytes: bound("bytes", bytes, default.bytes)?,
            age_ms: bound("age_ms", age_ms, default.age_ms)?,
        })
    }
}
