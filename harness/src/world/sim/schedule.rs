//! Schedules: which of the things that can happen next does happen next.
//!
//! A schedule is the list of choices that were made where there was more than one, and nothing else: names, epochs and
//! times follow from it. Choice 0 is always "what has been waiting longest" (or, of a fault, "the mildest"), so that a
//! schedule of zeros is the calm one, a list may be cut short anywhere, and shrinking means making choices smaller.

use std::collections::BTreeMap;

/// The choices of one run. What lies behind its end is calm.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Schedule(pub Vec<u16>);

impl Schedule {
    /// Without the zeros at its end, which say nothing.
    #[must_use]
    pub fn trimmed(mut self) -> Schedule {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    /// How many choices differ from the calm schedule.
    pub fn deviations(&self) -> usize {
        self.0.iter().filter(|choice| **choice != 0).count()
    }
}

impl std::fmt::Display for Schedule {
    /// The choices that are not 0, each with its place: `69:1.77:2`; `-` for the calm schedule.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut between = "";
        for (at, choice) in self.0.iter().enumerate().filter(|(_, choice)| **choice != 0) {
            write!(f, "{between}{at}:{choice}")?;
            between = ".";
        }
        if between.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

impl std::str::FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let mut schedule = Schedule::default();
        for part in text.split('.').filter(|_| text != "-") {
            let wrong = || format!("`{part}` is no choice; a schedule is places and choices, such as 69:1.77:2, or - for the calm one");
            let (at, choice) = part.split_once(':').ok_or_else(wrong)?;
            let (at, choice) = (at.parse::<u32>().map_err(|_| wrong())? as usize, choice.parse().map_err(|_| wrong())?);
            if at < schedule.0.len() || at >= LONGEST {
                return Err(format!("`{part}` is out of place; the places of a schedule ascend, and end below {LONGEST}"));
            }
            schedule.0.resize(at, 0);
            schedule.0.push(choice);
        }
        Ok(schedule)
    }
}

/// No schedule that is written down has more choices.
const LONGEST: usize = 10_000_000;

/// The generator of all random choices (splitmix64): the same numbers in every version and on every machine.
#[derive(Clone, Debug)]
pub struct Generator(u64);

impl Generator {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Generator {
        Generator(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of a multiplication is below one in 2^48 for the few alternatives that there ever are.
        ((u128::from(self.number()) * n as u128) >> 64) as usize
    }
}

/// Who acts: of the alternatives of one actor only the oldest is ever enabled, so that actors can have priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The server's writer.
    Writer,
    /// The server's process.
    Process,
    /// An operation on its way.
    Exchange(u32),
    /// The server's end of a stream.
    Stream(u32),
    /// The network of a stream, towards its reader.
    Network(u32),
}

/// How choices are made.
#[derive(Clone, Debug)]
pub enum Chooser {
    /// By a list; behind its end calm.
    Fixed(Schedule),
    /// At random. In half of the seeds the oldest alternative is three times likelier than all others, because some bugs
    /// need much to go right before one thing goes wrong.
    Random {
        /// The numbers.
        generator: Generator,
        /// Whether this seed is one of that half.
        mostly_calm: bool,
    },
    /// Probabilistic concurrency testing: every actor has a random priority, the highest acts, and at a few random points
    /// the one that would act is put behind all others. It finds a bug that needs `d` orderings among `n` actors and `k`
    /// steps with a probability of at least 1/(n·k^(d-1)) (Burckhardt et al., ASPLOS 2010).
    Pct {
        /// The numbers.
        generator: Generator,
        /// Priorities by actor, higher first.
        priorities: BTreeMap<Actor, u64>,
        /// The steps at which a priority is lowered, ascending.
        points: Vec<u64>,
        /// The next lowered priority.
        lowest: u64,
    },
}

/// The steps over which the points of PCT are spread.
const PCT_STEPS: usize = 400;
/// Priorities below this are given at change points.
const LOWERED: u64 = 1 << 20;

impl Chooser {
    /// Random choices of a seed.
    pub fn random(seed: u64) -> Chooser {
        let mut generator = Generator::new(seed);
        let mostly_calm = generator.number() & 1 == 1;
        Chooser::Random { generator, mostly_calm }
    }

    /// PCT with `depth` - 1 change points.
    pub fn pct(seed: u64, depth: u32) -> Chooser {
        let mut generator = Generator::new(seed);
        let mut points: Vec<u64> = (1..depth.max(1)).map(|_| generator.below(PCT_STEPS) as u64).collect();
        points.sort_unstable();
        Chooser::Pct { generator, priorities: BTreeMap::new(), points, lowest: LOWERED }
    }
}

/// Makes the choices of a run and keeps them.
#[derive(Debug)]
pub(super) struct Scheduler {
    chooser: Chooser,
    /// Each choice, and among how many alternatives, for exhaustive search.
    made: Vec<(u16, u16)>,
    steps: u64,
}

impl Scheduler {
    /// A scheduler that goes on after `steps` in which there was nothing to choose.
    pub(super) fn new(chooser: Chooser, steps: u64) -> Scheduler {
        Scheduler { chooser, made: Vec::with_capacity(256), steps }
    }

    /// One of `n` alternatives that are nobody's, of which 0 is the mildest.
    pub(super) fn choose(&mut self, n: usize) -> usize {
        if n <= 1 {
            return 0;
        }
        let choice = match &mut self.chooser {
            Chooser::Fixed(schedule) => schedule.0.get(self.made.len()).map_or(0, |c| usize::from(*c).min(n - 1)),
            Chooser::Random { generator, .. } | Chooser::Pct { generator, .. } => generator.below(n),
        };
        self.keep(choice, n)
    }

    /// Which of the actors that could act does, the one who has waited longest being first.
    pub(super) fn pick(&mut self, n: usize, actor: impl Fn(usize) -> Actor) -> usize {
        self.steps += 1;
        if n <= 1 {
            return 0;
        }
        let choice = match &mut self.chooser {
            Chooser::Fixed(schedule) => schedule.0.get(self.made.len()).map_or(0, |c| usize::from(*c).min(n - 1)),
            Chooser::Random { generator, mostly_calm } => {
                if *mostly_calm && generator.below(4) != 0 {
                    0
                } else {
                    generator.below(n)
                }
            }
            Chooser::Pct { generator, priorities, points, lowest } => {
                for at in 0..n {
                    priorities.entry(actor(at)).or_insert_with(|| LOWERED + 1 + (generator.number() >> 1));
                }
                let highest = |priorities: &BTreeMap<Actor, u64>| (0..n).max_by_key(|at| (priorities[&actor(*at)], std::cmp::Reverse(*at)));
                let mut chosen = highest(priorities).unwrap_or(0);
                while points.first().is_some_and(|point| *point <= self.steps) {
                    points.remove(0);
                    *lowest -= 1;
                    priorities.insert(actor(chosen), *lowest);
                    chosen = highest(priorities).unwrap_or(0);
                }
                chosen
            }
        };
        self.keep(choice, n)
    }

    fn keep(&mut self, choice: usize, n: usize) -> usize {
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        self.made.push((short(choice), short(n)));
        choice
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// How many choices were made.
    pub(super) fn choices(&self) -> usize {
        self.made.len()
    }

    /// The choices, and how many alternatives each of them had.
    pub(super) fn schedule(&mut self) -> (Schedule, Vec<u16>) {
        let (choices, widths) = std::mem::take(&mut self.made).into_iter().unzip();
        (Schedule(choices), widths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_survives_its_text() {
        for (choices, text) in [(vec![], "-"), (vec![0, 3, 1], "1:3.2:1"), (vec![7], "0:7")] {
            let schedule = Schedule(choices);
            assert_eq!(schedule.to_string(), text);
            assert_eq!(text.parse(), Ok(schedule));
        }
        for (bad, said) in [("1:1.x", "`x`"), ("", "``"), ("3:1.2:1", "ascend"), ("99999999:1", "below")] {
            assert!(bad.parse::<Schedule>().unwrap_err().contains(said), "{bad}");
        }
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // The reference implementation's first outputs for seed 1234567.
        let mut generator = Generator::new(1_234_567);
        assert_eq!([generator.number(), generator.number()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_fixed_schedule_is_calm_behind_its_end_and_never_out_of_range() {
        let mut scheduler = Scheduler::new(Chooser::Fixed(Schedule(vec![5, 1])), 0);
        assert_eq!((0..4).map(|_| scheduler.choose(3)).collect::<Vec<_>>(), [2, 1, 0, 0]);
        assert_eq!(scheduler.schedule().0, Schedule(vec![2, 1, 0, 0]));
    }

    #[test]
    fn with_priorities_one_actor_goes_on_until_a_point_lowers_it() {
        let actor = |at: usize| Actor::Stream(at as u32);
        for seed in 0..50 {
            let mut scheduler = Scheduler::new(Chooser::pct(seed, 1), 0);
            let first = scheduler.pick(3, actor);
            assert!((0..20).all(|_| scheduler.pick(3, actor) == first), "depth 1 has no change point");
            let mut scheduler = Scheduler::new(Chooser::pct(seed, 2), 0);
            let picks: Vec<usize> = (0..PCT_STEPS + 1).map(|_| scheduler.pick(3, actor)).collect();
            assert!(picks.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 1);
            assert_ne!(picks[0], picks[PCT_STEPS], "depth 2 has one");
        }
    }
}
