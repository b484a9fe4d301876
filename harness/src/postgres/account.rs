//! The account that `PostgreSQL` runs under when we are root, which it refuses to be.

use std::{fs, os::unix::fs::chown, path::Path};

/// A user and group of the system, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Account {
    /// The account to run under, or none when we are not root and can use our own.
    pub(super) fn needed() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
        let account = find(&passwd, "postgres").or_else(|| find(&passwd, "nobody"));
        Some(account.expect("there is an account `postgres` or `nobody`"))
    }

    /// Makes the account the owner of a folder.
    pub(super) fn give(self, folder: &Path) {
        chown(folder, Some(self.user), Some(self.group)).expect("root can give a folder away");
    }
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some(Account {
        user: numbers.next()?.ok()?,
        group: numbers.next()?.ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/:/bin/sh\n";
        assert_eq!(
            find(passwd, "postgres"),
            Some(Account {
                user: 101,
                group: 104
            })
        );
        assert_eq!(find(passwd, "nobody"), None);
    }
}
