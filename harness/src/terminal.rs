//! A terminal in a network of its own, into which commands are pasted as a person would.

use std::{path::Path, process::Command};

use crate::{Network, process::Process};

/// What reads the commands. As an interactive shell reads them: comments and history are not what they are in a script.
#[derive(Clone, Copy, Debug)]
pub enum Shell {
    /// `bash`, without anybody's settings.
    Bash,
    /// `zsh`, without anybody's settings.
    Zsh,
}

/// A terminal. What runs in it ends when this is dropped, in the background too.
#[derive(Debug)]
pub struct Terminal {
    process: Process,
    pastes: usize,
}

impl Shell {
    const fn command(self) -> &'static [&'static str] {
        match self {
            Self::Bash => &["bash", "--norc", "-i"],
            // Without marks where a line had no end.
            Self::Zsh => &["zsh", "-f", "-i", "+o", "promptsp"],
        }
    }

    /// Whether it is installed.
    pub fn is_there(self) -> bool {
        let mut asked = Command::new(self.command()[0]);
        asked
            .args(["-c", ":"])
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Terminal {
    /// Opens one in a folder, with these variables.
    pub fn open(
        shell: Shell,
        network: &Network,
        folder: &Path,
        variables: &[(&str, String)],
    ) -> Self {
        // A name space of processes, so that the shell's end ends all of them; errors where the output is.
        let mut program = Command::new("unshare");
        program.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        program.args(["sh", "-c", r#"exec "$0" "$@" 2>&1"#]);
        program.args(shell.command());
        let mut command = network.run_inside(&program, None);
        command.current_dir(folder);
        command
            .env_remove("HISTFILE")
            .envs([("PS1", ""), ("PS2", "")]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Self {
            process: Process::spawn("a terminal", command),
            pastes: 0,
        }
    }

    /// Pastes commands and waits until they are done. Returns the status of the last one, and how many lines stood before.
    pub async fn paste(&mut self, commands: &str) -> (String, usize) {
        let before = self.lines().len();
        self.pastes += 1;
        let done = format!("pasted {}", self.pastes);
        self.type_in(commands);
        let tell = format!("printf '\\nstatus %s\\n{done}\\n' $?");
        self.process.ask(&tell, &done, 1).await;
        let lines = self.lines();
        let end = lines
            .iter()
            .rposition(|line| *line == done)
            .unwrap_or_default();
        let status = lines[..end].last().cloned().unwrap_or_default();
        (status, before)
    }

    /// Types commands and does not wait: something that goes on.
    pub fn type_in(&mut self, commands: &str) {
        self.process.write(commands);
        self.process.write("\n");
    }

    /// What was printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.process.stdout()
    }
}
