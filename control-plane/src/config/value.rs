//! Values of flags.

use std::{fmt, num::ParseIntError, path::Path, str::FromStr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use crate::model::id::SourceId;

/// How long a deployment may let a payload be, in bytes.
const PAYLOAD_BYTES_MAX: usize = 1_024 * 1_024;
const DAYS_MAX: u16 = 3_650;
/// Room for the longest body, and some more.
const FORWARD_BYTES_MIN: usize = 32 * 1_024 * 1_024;
const BODY_SECONDS_MAX: u64 = 300;
/// The longest time that a limit may be: a year.
const TIME_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;
/// The most that a limit may be.
const COUNT_MAX: u32 = 1 << 30;
const POSTGRES_PORT: u16 = 5_432;
const PUBLIC_URL_BYTES_MAX: usize = 1_024;

/// The URL of a database. It may hold a password, so it is printed without what follows its scheme.
#[derive(Clone)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    text: SecretString,
}

/// Which database a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatabaseKind {
    Postgres,
    Sqlite,
}

/// Text that is no database's URL. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be sqlite:PATH or postgres://...")]
pub struct DatabaseUrlError;

/// Where providers reach the edge: a URL without a slash at its end. Empty when nobody said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Text that is no public URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL without user name, query and fragment")]
pub struct PublicUrlError;

impl PublicUrl {
    /// Where a source's provider posts.
    pub(crate) fn of_source(&self, id: SourceId) -> String {
        format!("{}/in/{id}", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = text.parse::<http::Uri>().map_err(|_| PublicUrlError)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let host = url.authority().map(http::uri::Authority::as_str);
        let has_host = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
        if !is_http || !has_host || text.contains(['?', '#']) || text.len() > PUBLIC_URL_BYTES_MAX {
            return Err(PublicUrlError);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl DatabaseUrl {
    /// The embedded database in a file.
    pub fn sqlite(path: &Path) -> Self {
        Self {
            kind: DatabaseKind::Sqlite,
            text: format!("sqlite:{}", path.display()).into(),
        }
    }

    /// Whether it is the embedded database.
    pub fn is_sqlite(&self) -> bool {
        self.kind == DatabaseKind::Sqlite
    }

    /// Where the database's server is, if it is one: nothing may be delivered there. IPv6 without brackets.
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        let uri = self.expose().parse::<http::Uri>().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']);
        let host = (!host.is_empty()).then(|| host.to_owned())?;
        Some((host, uri.port_u16().unwrap_or(POSTGRES_PORT)))
    }

    /// The URL with everything in it.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let kind = match text.split_once(':') {
            Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
                DatabaseKind::Sqlite
            }
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                DatabaseKind::Postgres
            }
            _ => return Err(DatabaseUrlError),
        };
        Ok(Self {
            kind,
            text: text.into(),
        })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DatabaseKind::Postgres => f.write_str("postgres:.."),
            DatabaseKind::Sqlite => f.write_str(self.expose()),
        }
    }
}

pub(super) fn parse_payload_bytes(text: &str) -> Result<usize, String> {
    let bytes = text
        .parse()
        .map_err(|error: ParseIntError| error.to_string())?;
    if (1..=PAYLOAD_BYTES_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("must be from 1 to {PAYLOAD_BYTES_MAX}"))
    }
}

pub(super) fn parse_days(text: &str) -> Result<u16, String> {
    let days = text
        .parse()
        .map_err(|error: ParseIntError| error.to_string())?;
    if (1..=DAYS_MAX).contains(&days) {
        Ok(days)
    } else {
        Err(format!("must be from 1 to {DAYS_MAX}"))
    }
}

pub(super) fn parse_forward_bytes(text: &str) -> Result<usize, String> {
    let bytes = text
        .parse()
        .map_err(|error: ParseIntError| error.to_string())?;
    if bytes >= FORWARD_BYTES_MIN {
        Ok(bytes)
    } else {
        Err(format!("must be at least {FORWARD_BYTES_MIN}"))
    }
}

pub(super) fn parse_body_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .map_err(|error: ParseIntError| error.to_string())?;
    if (1..=BODY_SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("must be from 1 to {BODY_SECONDS_MAX}"))
    }
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_secs)
}

/// Whole seconds or parts of them, more than none.
pub(super) fn parse_time(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().map_err(|_| "must be a number of seconds")?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| "must be a time")?;
    if time.is_zero() || time.as_secs() > TIME_SECONDS_MAX {
        return Err("must be more than 0 and at most a year of seconds");
    }
    Ok(time)
}

pub(super) fn parse_at_least_1(text: &str) -> Result<usize, String> {
    let number = text.parse::<u32>();
    let number = number.map_err(|error| error.to_string())?;
    if number == 0 || number > COUNT_MAX {
        return Err(format!("must be from 1 to {COUNT_MAX}"));
    }
    Ok(number as usize)
}
