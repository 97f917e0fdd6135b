//! Whether the machine had too little to give: then what was late proves nothing of the server.

use std::time::Instant;

/// The kernel's count of the time in which something waited for a processor.
const CPU: &str = "/proc/pressure/cpu";

/// A moment, and what the machine owed by then.
pub(crate) struct Pressure {
    since: Instant,
    /// Microseconds; none where the kernel does not count them.
    stalled: Option<u64>,
}

impl Pressure {
    /// As it is now.
    pub(crate) fn now() -> Pressure {
        let text = std::fs::read_to_string(CPU).ok();
        Pressure { since: Instant::now(), stalled: text.as_deref().and_then(stalled) }
    }

    /// True when for more than half of the time since then something waited for a processor. False where nobody knows.
    pub(crate) fn was_high_since(&self) -> bool {
        self.high_by(&Pressure::now()) == Some(true)
    }

    /// True when that was not so. False where nobody knows.
    pub(crate) fn was_low_since(&self) -> bool {
        self.high_by(&Pressure::now()) == Some(false)
    }

    fn high_by(&self, now: &Pressure) -> Option<bool> {
        let stalled = now.stalled?.saturating_sub(self.stalled?);
        Some(u128::from(stalled) * 2 > now.since.duration_since(self.since).as_micros())
    }
}

/// The `total` of the line `some`.
fn stalled(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_total_is_that_of_some_who_waited() {
        let text = "some avg10=99.40 avg60=98.28 avg300=92.72 total=10455084198\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(stalled(text), Some(10_455_084_198));
        assert_eq!((stalled(""), stalled("some avg10=0.00"), stalled("some total=x")), (None, None, None));
    }

    #[test]
    fn more_than_half_of_the_time_is_high() {
        let Some(now) = Pressure::now().stalled else { return };
        let ago = |stalled: u64| Pressure { since: Instant::now() - Duration::from_secs(3_600), stalled: Some(stalled) };
        let hour = 3_600_000_000;
        assert!(ago(0).was_high_since() == (now > hour / 2));
        assert!(!ago(now).was_high_since() && ago(now).was_low_since());
    }

    #[test]
    fn what_nobody_counts_is_neither_high_nor_low() {
        let since = Instant::now();
        let at = |seconds: u64, stalled: Option<u64>| Pressure { since: since + Duration::from_secs(seconds), stalled };
        assert_eq!(at(0, Some(0)).high_by(&at(2, Some(1_000_001))), Some(true));
        assert_eq!(at(0, Some(0)).high_by(&at(2, Some(1_000_000))), Some(false));
        assert_eq!(at(0, None).high_by(&at(2, Some(0))), None);
        assert_eq!(at(0, Some(0)).high_by(&at(2, None)), None);
    }
}
