//! What a server process has used, from `/proc`: the figures beside which every report of load stands.

use std::fs;

/// Usage of a process up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, in ns.
    pub cpu_ns: u64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// Of several processes together; `None` of none. `Err` says which file could not be read.
    pub fn of_all(pids: &[u32]) -> Result<Option<Self>, String> {
        let mut sum = None;
        for &pid in pids {
            let Self { cpu_ns, rss_bytes } = Self::of(pid)?;
            let so_far = sum.get_or_insert(Self { cpu_ns: 0, rss_bytes: 0 });
            so_far.cpu_ns += cpu_ns;
            so_far.rss_bytes += rss_bytes;
        }
        Ok(sum)
    }

    /// `Err` says which file could not be read.
    pub fn of(pid: u32) -> Result<Self, String> {
        let tasks = format!("/proc/{pid}/task");
        let entries = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
        let mut cpu_ns = 0;
        for entry in entries.flatten() {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            cpu_ns += first_number(&text).ok_or_else(|| format!("{tasks}: schedstat is not a number"))?;
        }
        let status = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&status).map_err(|error| format!("{status}: {error}"))?;
        let rss = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(first_number);
        let rss = rss.ok_or_else(|| format!("{status}: no VmRSS"))?;
        Ok(Self { cpu_ns, rss_bytes: rss * 1024 })
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let before = Usage::of(std::process::id()).expect("our own");
        let mut sum = 0_u64;
        while Usage::of(std::process::id()).expect("our own").cpu_ns < before.cpu_ns + 20_000_000 {
            sum = (0..100_000_u64).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(before.rss_bytes > 1 << 20, "{before:?}");
        assert!(Usage::of(u32::MAX).is_err());
    }
}
