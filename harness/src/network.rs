//! A network of one's own, whose cable can be pulled.

use std::{
    net::Ipv4Addr,
    process::{self, Command},
    sync::atomic::{AtomicU16, Ordering},
};

/// A network namespace with one link to ours. Both end when this is dropped.
#[derive(Debug)]
pub struct Network {
    /// Of the namespace and of our end of the link.
    name: String,
    ours: Ipv4Addr,
    inside: Ipv4Addr,
}

impl Network {
    /// Makes one. None, and a loud word about it, where we may not: it takes root and `ip` of iproute2.
    pub fn make() -> Option<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = process::id();
        // A net of four addresses for each, in the range that is for links between carriers.
        let third = u8::try_from(pid % 256).unwrap_or_default();
        let fourth = u8::try_from(number % 64).unwrap_or_default() * 4;
        let second = 64 + u8::try_from(pid / 256 % 64).unwrap_or_default();
        let network = Self {
            name: format!("ph{pid}n{number}"),
            ours: Ipv4Addr::new(100, second, third, fourth + 1),
            inside: Ipv4Addr::new(100, second, third, fourth + 2),
        };
        let Self { name, ours, inside } = &network;
        let peer = format!("{name}p");
        let made = [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name {peer} netns {name}"),
            format!("addr add {ours}/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} addr add {inside}/30 dev {peer}"),
            format!("-n {name} link set {peer} up"),
            format!("-n {name} link set lo up"),
        ]
        .iter()
        .try_for_each(|words| ip(words));
        match made {
            Ok(()) => Some(network),
            Err(refused) => {
                eprintln!(
                    "SKIPPED: a network cannot be made here, which takes root and `ip`: {refused}"
                );
                None
            }
        }
    }

    /// The address of what runs inside, as we see it.
    pub fn inside(&self) -> Ipv4Addr {
        self.inside
    }

    /// Our own address, as it is seen from inside.
    pub fn ours(&self) -> Ipv4Addr {
        self.ours
    }

    /// Takes the link down at its far end. Ours stays up, so that what is sent meanwhile goes into this link and nowhere
    /// else.
    pub fn cut(&self) {
        self.far_end("down");
    }

    /// Puts it up again.
    pub fn mend(&self) {
        self.far_end("up");
    }

    /// Lets everything that is sent from inside vanish. Nobody outside is told, so each waits for answers until it gives up.
    pub fn swallow(&self) {
        self.route("add");
    }

    /// Lets it come out again.
    pub fn disgorge(&self) {
        self.route("del");
    }

    fn route(&self, change: &str) {
        let Self { name, ours, .. } = self;
        let changed = ip(&format!("-n {name} route {change} blackhole {ours}/32"));
        changed.expect("our own network can be changed");
    }

    fn far_end(&self, state: &str) {
        let Self { name, .. } = self;
        let changed = ip(&format!("-n {name} link set {name}p {state}"));
        changed.expect("our own link can be changed");
    }

    /// The same program, to be run inside; arguments can still be added. As a user and group if they are given.
    pub(crate) fn run_inside(&self, program: &Command, account: Option<(u32, u32)>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name));
        if let Some((user, group)) = account {
            command.args(["-S", &user.to_string(), "-G", &group.to_string()]);
        }
        command.arg("--").arg(program.get_program());
        command.args(program.get_args());
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link goes with our end of it.
        let _ = ip(&format!("link del {}", self.name));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {words}: {log}"))
}
