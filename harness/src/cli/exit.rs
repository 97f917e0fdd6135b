//! Exit codes: one table.

use super::tell;
use crate::report::visible;
use crate::run::suite::SuiteError;

/// Everything required passed, or failed as it is known to.
pub(super) const OK: u8 = 0;
/// A requirement is violated.
pub(super) const VIOLATED: u8 = 1;
/// The command line, or a file, is wrong.
pub(super) const USAGE: u8 = 2;
/// The target could not be tested.
pub(super) const COULD_NOT_TEST: u8 = 3;
/// No scenario was run.
pub(super) const NOTHING_RAN: u8 = 4;
/// Something that should have been judged was not.
pub(super) const INCONCLUSIVE: u8 = 5;
/// A failure that is listed as known did not happen.
pub(super) const STALE: u8 = 6;
/// A defect of streamspec itself.
pub(super) const OUR_BUG: u8 = 70;
/// Interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// The table, for the help text.
pub(super) const TABLE: &str = "\
Exit codes:
  0    every required promise was kept, or broken as it is known to be
  1    a requirement is violated
  2    the command line or a file is wrong
  3    the target could not be tested
  4    no scenario was run
  5    inconclusive: something that should have been judged was not
  6    a failure that is listed as known did not happen
  70   a defect of streamspec itself
  130  interrupted
When several hold: 2, 70, 1, 3, 6, 5, 4.";

/// What a run ended with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) our_bug: bool,
    pub(super) violated: bool,
    pub(super) could_not_test: bool,
    pub(super) stale: bool,
    pub(super) inconclusive: bool,
    pub(super) nothing_ran: bool,
    pub(super) interrupted: bool,
}

impl Ended {
    /// The exit code: the first that holds, in the order of the table's last line. An interrupt says that the rest of
    /// the run is missing, so it comes before everything that only a whole run can say.
    pub(super) fn code(self) -> u8 {
        if self.our_bug {
            OUR_BUG
        } else if self.violated {
            VIOLATED
        } else if self.interrupted {
            INTERRUPTED
        } else if self.could_not_test {
            COULD_NOT_TEST
        } else if self.stale {
            STALE
        } else if self.inconclusive {
            INCONCLUSIVE
        } else if self.nothing_ran {
            NOTHING_RAN
        } else {
            OK
        }
    }
}

impl Ended {
    /// Says on standard error what kept a suite from running to its end, and takes note of it.
    pub(super) fn hear(&mut self, ran: &Result<(), SuiteError>) {
        match ran {
            Ok(()) => {}
            Err(SuiteError::Server(error)) => {
                tell(&format!("error: {}", visible(&error.to_string())));
                self.could_not_test = true;
            }
            Err(SuiteError::Bug(why)) => {
                tell(&format!("error: a defect of streamspec: {why}"));
                self.our_bug = true;
            }
        }
    }
}

/// The code that decides, of several runs; [`OK`] when there are none.
pub(super) fn worst(codes: &[u8]) -> u8 {
    let order = [USAGE, OUR_BUG, VIOLATED, INTERRUPTED, COULD_NOT_TEST, STALE, INCONCLUSIVE, NOTHING_RAN];
    order.into_iter().find(|code| codes.contains(code)).unwrap_or(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_reason_decides() {
        let mut ended = Ended::default();
        assert_eq!(ended.code(), OK);
        ended.nothing_ran = true;
        assert_eq!(ended.code(), NOTHING_RAN);
        ended.inconclusive = true;
        assert_eq!(ended.code(), INCONCLUSIVE);
        ended.stale = true;
        assert_eq!(ended.code(), STALE);
        ended.could_not_test = true;
        assert_eq!(ended.code(), COULD_NOT_TEST);
        ended.violated = true;
        assert_eq!(ended.code(), VIOLATED);
        ended.our_bug = true;
        assert_eq!(ended.code(), OUR_BUG);
    }
}
