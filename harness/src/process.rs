//! A running program: its output line by line, its signals, its end.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{sync::watch, time::timeout};

use crate::wait::eventually;

/// How long a program may take to say that it is ready.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How long a program may take to end when it is asked to.
const END_DEADLINE: Duration = Duration::from_mins(1);

/// A running program, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts `command`, whose output is collected and whose input is empty until something is written.
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Self {
            name,
            child,
            stdout,
            stderr,
        }
    }

    /// Writes a line to its input, and waits until it has printed the line `answer` so often in all.
    pub(crate) async fn ask(&mut self, line: &str, answer: &str, times: usize) {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{line}").expect("it reads its input");
        let mut output = self.stdout.clone();
        let answered = output.wait_for(|text| {
            let answers = text.lines.iter().filter(|printed| *printed == answer);
            answers.count() >= times || text.ended
        });
        let answered = timeout(START_DEADLINE, answered).await;
        assert!(answered.is_ok(), "{} does not answer `{line}`", self.name);
    }

    /// Writes to its input.
    pub(crate) fn write(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        input
            .write_all(text.as_bytes())
            .expect("it reads its input");
    }

    /// What it printed so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.borrow().lines.clone()
    }

    /// Waits for a line on stdout that begins with `start`, and returns what follows it.
    pub(crate) async fn stdout_line(&self, start: &str) -> String {
        match first_line(&self.stdout, |line| line.starts_with(start)).await {
            Some(line) => line[start.len()..].trim().to_owned(),
            None => panic!(
                "{} never printed `{start}`; its log:\n{}",
                self.name,
                self.logs()
            ),
        }
    }

    /// What followed `start` on the first line of stdout so far that begins with it.
    pub(crate) fn stdout_so_far(&self, start: &str) -> Option<String> {
        let text = self.stdout.borrow();
        let line = text
            .lines
            .iter()
            .find_map(|line| line.strip_prefix(start))?;
        Some(line.trim().to_owned())
    }

    /// Waits for a line on stderr that contains `part`. False when the program ended without one.
    pub(crate) async fn logged(&self, part: &str) -> bool {
        first_line(&self.stderr, |line| line.contains(part))
            .await
            .is_some()
    }

    /// Everything that the program wrote on stderr so far.
    pub(crate) fn logs(&self) -> String {
        self.stderr.borrow().lines.join("\n")
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, unless the program has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.child.try_wait() {
            kill_process(Pid::from_child(&self.child), signal)
                .expect("one's own child can be signalled");
        }
    }

    /// Ends the program at once, as a crash would (SIGKILL). No error when it has ended.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Waits for the program's end without a deadline, blocking the thread.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child
            .wait()
            .expect("one's own child can be waited for")
    }

    /// Asks the program to end (SIGTERM), and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exited().await
    }

    /// Waits for the program to end by itself.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let mut status = None;
        eventually(&what, END_DEADLINE, async || {
            status = self
                .child
                .try_wait()
                .expect("one's own child can be waited for");
            status.is_some()
        })
        .await;
        status.expect("the condition above")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type Output = watch::Receiver<Text>;

#[derive(Debug, Default)]
struct Text {
    lines: Vec<String>,
    ended: bool,
}

/// Collects lines on a thread of their own, so that no runtime has to live as long as the program.
fn collect(pipe: impl Read + Send + 'static) -> Output {
    let (sender, receiver) = watch::channel(Text::default());
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            sender.send_modify(|output| output.lines.push(text));
            line.clear();
        }
        sender.send_modify(|output| output.ended = true);
    });
    receiver
}

async fn first_line(output: &Output, matches: impl Fn(&str) -> bool) -> Option<String> {
    let mut output = output.clone();
    let found = |text: &Text| text.lines.iter().find(|line| matches(line)).cloned();
    let text = timeout(
        START_DEADLINE,
        output.wait_for(|text| text.ended || found(text).is_some()),
    )
    .await
    .ok()?
    .ok()?;
    found(&text)
}
