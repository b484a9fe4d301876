//! The real grpcurl, as an operator calls it.

use std::{net::SocketAddr, process::Output};

use serde_json::Value;
use tokio::process::Command;

use super::tool;

/// grpcurl with an address and a key.
pub(crate) struct Grpcurl {
    addr: SocketAddr,
    key: String,
}

/// What grpcurl says about a refused call.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Such as `NotFound`.
    pub(crate) code: String,
    /// Everything it printed.
    pub(crate) text: String,
}

impl Grpcurl {
    /// Calls will go to `addr` with `key`.
    pub(crate) fn new(addr: SocketAddr, key: &str) -> Self {
        Self {
            addr,
            key: key.to_owned(),
        }
    }

    /// `grpcurl list`, or `grpcurl list SERVICE`.
    pub(crate) async fn list(&self, service: Option<&str>) -> Result<Vec<String>, Refused> {
        let mut command = self.command();
        command.arg(self.addr.to_string()).arg("list").args(service);
        let text = finish(command).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// `grpcurl describe SYMBOL`.
    pub(crate) async fn describe(&self, symbol: &str) -> Result<String, Refused> {
        let mut command = self.command();
        command
            .arg(self.addr.to_string())
            .args(["describe", symbol]);
        finish(command).await
    }

    /// Calls a method of package `posthorn.v1`, such as `EventService/EmitEvent`, and returns the answer.
    pub(crate) async fn call(&self, method: &str, request: Value) -> Result<Value, Refused> {
        let mut command = self.command();
        command
            .args(["-emit-defaults", "-d", &request.to_string()])
            .arg(self.addr.to_string())
            .arg(format!("posthorn.v1.{method}"));
        let text = finish(command).await?;
        Ok(serde_json::from_str(&text).expect("grpcurl prints one JSON text"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(tool("grpcurl"));
        command.kill_on_drop(true).arg("-plaintext");
        if !self.key.is_empty() {
            command.args(["-H", &format!("authorization: Bearer {}", self.key)]);
        }
        command
    }
}

async fn finish(mut command: Command) -> Result<String, Refused> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.expect("grpcurl can be run");
    if status.success() {
        return Ok(String::from_utf8(stdout).expect("grpcurl prints UTF-8"));
    }
    let text = String::from_utf8_lossy(&stderr).into_owned();
    let code = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Code: "))
        .unwrap_or_default();
    Err(Refused {
        code: code.to_owned(),
        text,
    })
}
