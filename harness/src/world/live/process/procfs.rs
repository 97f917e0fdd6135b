//! What `/proc` knows of processes: who descends from whom, who listens on a port, what they use.
//!
//! Every reading is a snapshot: a process may be gone by the time the answer is used, so a process is named by pid *and* start time.
//! Elsewhere than on Linux there is no `/proc`; then trees are empty and the rest is `None`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One process, distinct from any later one that gets the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match command_of(self.pid) {
            Some(command) => write!(f, "{} ({command})", self.pid),
            None => write!(f, "{}", self.pid),
        }
    }
}

/// What a target's processes hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in bytes; what processes share is counted for each.
    pub rss_bytes: u64,
    /// Processes that were counted.
    pub processes: u64,
}

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{command_of, descendants, listeners, resources, stands_still};
#[cfg(target_os = "linux")]
pub(super) use linux::{command_of, descendants, listeners, resources, stands_still};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use super::super::listening;
    use super::{ProcessId, Resources};

    struct Stat {
        parent: u32,
        zombie: bool,
        stopped: bool,
        threads: u64,
        started: u64,
        rss_pages: u64,
    }

    /// Reads `/proc/PID/stat`. The command in it may contain blanks and parentheses, so fields count from the last `)`.
    fn stat(pid: u32) -> Option<Stat> {
        parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Stat> {
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // proc(5) numbers fields from 1 and `state`, the first here, is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            parent: u32::try_from(number(4)?).ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            stopped: matches!(*fields.first()?, "T" | "t"),
            threads: number(20)?,
            started: number(22)?,
            rss_pages: number(24)?,
        })
    }

    fn pids() -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// Every living process below `root`, `root` itself and zombies left out.
    pub(in super::super) fn descendants(root: u32) -> Vec<ProcessId> {
        let mut children: BTreeMap<u32, Vec<(u32, Stat)>> = BTreeMap::new();
        for pid in pids() {
            if let Some(stat) = stat(pid) {
                children.entry(stat.parent).or_default().push((pid, stat));
            }
        }
        let mut found = Vec::new();
        let mut parents = vec![root];
        while let Some(parent) = parents.pop() {
            for (pid, stat) in children.remove(&parent).unwrap_or_default() {
                parents.push(pid);
                if !stat.zombie {
                    found.push(ProcessId { pid, started: stat.started });
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Whether every thread of this process stands still: a stop signal reaches one thread, which stops the others in turn.
    pub(in super::super) fn stands_still(process: &ProcessId) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", process.pid)) else { return true };
        let mut stats = threads.filter_map(|thread| parse(&fs::read(thread.ok()?.path().join("stat")).ok()?));
        stats.all(|thread| thread.stopped || thread.zombie)
    }

    pub(in super::super) fn command_of(pid: u32) -> Option<String> {
        let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ");
        (!text.is_empty()).then(|| text.chars().take(120).collect())
    }

    /// The processes that hold a listening TCP socket on `port`, on any address. A socket whose owner cannot be seen
    /// (another user's process, another pid namespace) is in the second number.
    pub(in super::super) fn listeners(port: u16) -> Option<(Vec<ProcessId>, usize)> {
        let mut inodes = listening::inodes(port)?;
        let mut owners = Vec::new();
        let mut seen = BTreeSet::new();
        if inodes.is_empty() {
            return Some((owners, 0));
        }
        for pid in pids() {
            let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                continue;
            };
            let held: BTreeSet<u32> = descriptors
                .filter_map(|entry| {
                    let link = fs::read_link(entry.ok()?.path()).ok()?;
                    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
                    inodes.contains(&inode).then_some(inode)
                })
                .collect();
            if let (false, Some(stat)) = (held.is_empty(), stat(pid)) {
                owners.push(ProcessId { pid, started: stat.started });
                seen.extend(held);
            }
        }
        inodes.retain(|inode| !seen.contains(inode));
        owners.sort_unstable();
        Some((owners, inodes.len()))
    }

    /// What these processes hold now; those that are gone count nothing.
    pub(in super::super) fn resources(processes: &[ProcessId]) -> Option<Resources> {
        // SAFETY: sysconf reads a constant of the system.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let mut sum = Resources::default();
        for process in processes {
            let Some(stat) = stat(process.pid).filter(|stat| stat.started == process.started) else {
                continue;
            };
            let descriptors = fs::read_dir(format!("/proc/{}/fd", process.pid)).map_or(0, Iterator::count);
            sum.descriptors += descriptors as u64;
            sum.threads += stat.threads;
            sum.rss_bytes += stat.rss_pages * page;
            sum.processes += 1;
        }
        Some(sum)
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{ProcessId, Resources};

    pub(in super::super) fn descendants(_root: u32) -> Vec<ProcessId> {
        Vec::new()
    }

    pub(in super::super) fn command_of(_pid: u32) -> Option<String> {
        None
    }

    pub(in super::super) fn stands_still(_process: &ProcessId) -> bool {
        true
    }

    pub(in super::super) fn listeners(_port: u16) -> Option<(Vec<ProcessId>, usize)> {
        None
    }

    pub(in super::super) fn resources(_processes: &[ProcessId]) -> Option<Resources> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (owners, hidden) = listeners(port).expect("/proc is readable");
        // A child that another test is starting holds our descriptors too, from its fork to its exec.
        assert!(owners.iter().any(|owner| owner.pid == std::process::id()), "{owners:?}");
        assert_eq!(hidden, 0);
        drop(listener);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while listeners(port) != Some((Vec::new(), 0)) {
            assert!(std::time::Instant::now() < deadline, "still there: {:?}", listeners(port));
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_counts_until_it_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let tree = descendants(std::process::id());
        let process = *tree.iter().find(|process| process.pid == child.id()).expect("the child is a descendant");
        // For a moment around its exec a child has no resident pages and still the descriptors of its parent.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let held = resources(&[process]).expect("/proc is readable");
            if held.descriptors >= 3 && held.threads == 1 && held.rss_bytes > 0 && held.processes == 1 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{held:?}");
            std::thread::yield_now();
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!(resources(&[process]).expect("/proc is readable"), Resources::default());
    }
}
