//! What may be asked: the contract and the target as a choice of themes, each with a weight.

use crate::contract::{CursorAnswer, Profile, RetainKind};
use crate::history::CursorClass;
use crate::scenario::{Capabilities, Need, Scenario, applicable};

/// What a stretch of a scenario is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Theme {
    /// Readers and publishes, without faults.
    Stream,
    /// Cuts and resumes.
    Cut,
    /// Publishing while a reader goes from replay to live.
    Seam,
    /// Overlapping connections, several readers, late delivery.
    Overlap,
    /// Starting from cursors of every kind.
    Cursor,
    /// Retention and eviction.
    Retention,
    /// Closing sessions, and what follows.
    Terminal,
    /// Keys, lost answers, retries.
    Retry,
    /// Live-only events.
    Ephemeral,
    /// Hostile payloads.
    Hostile,
    /// History pages and snapshots.
    Pages,
    /// Concurrent and background writers.
    Writers,
    /// Readers that stop reading.
    Slow,
    /// Streams on which nothing happens until a heartbeat comes.
    Idle,
    /// Two sessions, deleted and reborn ones, probes.
    Sessions,
    /// Kills and graceful restarts.
    Restart,
    /// SIGSTOP and SIGCONT.
    Pause,
}

impl Theme {
    /// All of them, with their words.
    pub const ALL: &'static [(Theme, &'static str)] = &[
        (Theme::Stream, "stream"),
        (Theme::Cut, "cut"),
        (Theme::Seam, "seam"),
        (Theme::Overlap, "overlap"),
        (Theme::Cursor, "cursor"),
        (Theme::Retention, "retention"),
        (Theme::Terminal, "terminal"),
        (Theme::Retry, "retry"),
        (Theme::Ephemeral, "ephemeral"),
        (Theme::Hostile, "hostile"),
        (Theme::Pages, "pages"),
        (Theme::Writers, "writers"),
        (Theme::Slow, "slow"),
        (Theme::Idle, "idle"),
        (Theme::Sessions, "sessions"),
        (Theme::Restart, "restart"),
        (Theme::Pause, "pause"),
    ];

    /// The theme of this word.
    ///
    /// # Errors
    /// When there is none; the error lists them.
    pub fn from_word(word: &str) -> Result<Theme, String> {
        let found = Theme::ALL.iter().find(|(_, name)| *name == word).map(|(theme, _)| *theme);
        found.ok_or_else(|| {
            let all: Vec<&str> = Theme::ALL.iter().map(|(_, name)| *name).collect();
            format!("there is no theme `{word}`; there are: {}", all.join(", "))
        })
    }

    /// True when its cases need a process of their own.
    pub fn touches_the_process(self) -> bool {
        matches!(self, Theme::Restart | Theme::Pause)
    }
}

/// How much more a preferred theme weighs.
const PREFERRED: u32 = 6;

/// What may be asked of a contract on a target.
#[derive(Clone, Debug)]
pub struct Palette {
    profile: std::sync::Arc<Profile>,
    capabilities: Capabilities,
    prefer: Vec<Theme>,
    avoid: Vec<Theme>,
}

impl Palette {
    /// What `profile` promises and the target lets be done to it; themes in `prefer` come more often.
    pub fn new(profile: std::sync::Arc<Profile>, capabilities: Capabilities, prefer: &[Theme]) -> Palette {
        Palette { profile, capabilities, prefer: prefer.to_vec(), avoid: Vec::new() }
    }

    /// The same without these themes; without restarts or pauses, the process is never restarted or paused.
    pub fn avoiding(mut self, themes: &[Theme]) -> Palette {
        self.capabilities.restart &= !themes.contains(&Theme::Restart);
        self.capabilities.pause &= !themes.contains(&Theme::Pause);
        self.avoid = themes.to_vec();
        self
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// True when the profile and the target have what `need` stands for.
    pub fn has(&self, need: Need) -> bool {
        let asks = Scenario {
            name: String::new(),
            says: String::new(),
            needs: vec![need],
            judges: Vec::new(),
            steps: Vec::new(),
            audit: true,
            transcript: Default::default(),
            sweep_limit: None,
        };
        applicable(&asks, &self.profile, &self.capabilities).is_ok()
    }

    /// Whether a scenario may be run; `Err` says why not.
    ///
    /// # Errors
    /// When the profile or the target lacks something that it needs.
    pub fn allows(&self, scenario: &Scenario) -> Result<(), String> {
        applicable(scenario, &self.profile, &self.capabilities)
    }

    /// True when the contract says what a cursor of this class is answered with.
    pub fn answers(&self, class: CursorClass) -> Option<&CursorAnswer> {
        self.profile.contract.answers.get(&class)
    }

    /// The bounds that a session can be opened with.
    pub fn settable(&self, kind: RetainKind) -> bool {
        self.profile.binding.open.is_some() && self.profile.contract.retention.as_ref().is_some_and(|r| r.settable.contains(&kind))
    }

    /// The themes that a case may be about, with their weights: those that leave the process alone, or all.
    pub fn themes(&self, with_process: bool) -> Vec<(u32, Theme)> {
        let weigh = |theme: Theme, weight: u32| {
            let times = if self.prefer.contains(&theme) { PREFERRED } else { 1 };
            (weight * times, theme)
        };
        let mut all = Vec::new();
        let mut add = |theme: Theme, weight: u32, there: bool| {
            if there && !self.avoid.contains(&theme) {
                all.push(weigh(theme, weight));
            }
        };
        let (resume, proxy) = (self.has(Need::Resume), self.has(Need::Proxy));
        add(Theme::Stream, 16, true);
        add(Theme::Cut, 24, resume);
        add(Theme::Seam, 16, true);
        add(Theme::Overlap, 16, resume);
        add(Theme::Cursor, 20, resume);
        add(Theme::Retention, 16, self.settable(RetainKind::Records) || self.settable(RetainKind::Bytes) || self.settable(RetainKind::Age));
        add(Theme::Terminal, 16, self.has(Need::Close));
        add(Theme::Retry, 12, self.has(Need::Idempotency));
        add(Theme::Ephemeral, 12, self.has(Need::Ephemeral));
        add(Theme::Hostile, 8, self.has(Need::Text));
        add(Theme::Pages, 12, self.has(Need::History) || self.has(Need::Snapshot));
        add(Theme::Writers, 12, true);
        add(Theme::Slow, 8, proxy);
        // Seldom: such a case takes as long as the contract's interval, and a few of them say all there is to say.
        add(Theme::Idle, 1, self.profile.contract.liveness.heartbeat_wait().is_some());
        add(Theme::Sessions, 8, true);
        add(Theme::Restart, 48, with_process && self.restarts());
        add(Theme::Pause, 4, with_process && self.has(Need::Pause));
        all
    }

    /// True when the target may be restarted and the contract says what survives it.
    pub fn restarts(&self) -> bool {
        (self.has(Need::Kill) && self.has(Need::SurvivesKill)) || (self.has(Need::Restart) && self.has(Need::SurvivesRestart))
    }

    /// True when the process may be touched at all.
    pub fn touches_the_process(&self) -> bool {
        self.restarts() || self.has(Need::Pause)
    }
}
