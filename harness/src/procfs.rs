//! What the kernel counts about a process, read from `/proc`.

use std::{fs, time::Duration};

/// The CPU time that a process has used, its ended and awaited children included, to 10 ms. Zero when there is no such
/// process.
pub fn cpu_time(pid: u32) -> Duration {
    ticks(pid, WITH_ENDED_CHILDREN)
}

/// The CPU time that a process and all its children have used, living and ended, to 10 ms.
pub fn tree_cpu_time(pid: u32) -> Duration {
    let children: Duration = children(pid).into_iter().map(tree_cpu_time).sum();
    cpu_time(pid) + children
}

/// The CPU time that all processes of the machine have used since it was started, to 10 ms. Without interrupts, which
/// are nobody's.
pub fn machine_cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/stat").expect("/proc is mounted");
    let total = stat.lines().next().unwrap_or_default();
    // The columns user, nice and system, after the label.
    let columns = total.split_whitespace().skip(1).take(3);
    from_ticks(columns.filter_map(|text| text.parse::<u64>().ok()).sum())
}

/// The memory that a process holds now, in bytes. Zero when there is no such process.
pub fn rss_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// The most memory that a process has held so far, in bytes. Zero when there is no such process.
pub fn peak_rss_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// The living children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|candidate| {
            stat(*candidate).is_some_and(|stat| stat.parent == pid && stat.is_running)
        })
        .collect()
}

/// Whether a process exists and has not ended; one that ended and was not awaited does not count.
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.is_running)
}

/// The columns utime, stime, cutime and cstime of `/proc/<pid>/stat`, counted from the one after the command's name.
const WITH_ENDED_CHILDREN: std::ops::Range<usize> = 11..15;

fn ticks(pid: u32, columns: std::ops::Range<usize>) -> Duration {
    let Some(stat) = stat(pid) else {
        return Duration::ZERO;
    };
    let ticks: u64 = columns
        .filter_map(|column| stat.columns.get(column))
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    from_ticks(ticks)
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

struct Stat {
    parent: u32,
    is_running: bool,
    columns: Vec<String>,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may itself hold blanks and parentheses.
    let (_, after_name) = text.rsplit_once(')')?;
    let columns: Vec<String> = after_name.split_whitespace().map(str::to_owned).collect();
    Some(Stat {
        parent: columns.get(1)?.parse().ok()?,
        is_running: !matches!(columns.first()?.as_str(), "Z" | "X"),
        columns,
    })
}

fn status_bytes(pid: u32, label: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| {
        line.strip_prefix(label)?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kibibytes.unwrap_or_default() * 1024
}
