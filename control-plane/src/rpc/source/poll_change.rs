//! What a change of a source means for its polling: where it goes on, and what becomes of the secret that it sends.
//!
//! Who cannot read a secret must not be able to have it sent to a place of their choice, so a poll secret does not
//! outlive the scheme, host and port that it was given for.

use secrecy::SecretString;

use super::{Sources, settings::Draft};
use crate::{
    error::Error,
    model::{
        id::SourceId,
        secret::Purpose,
        source::{PollSettings, Source},
    },
    store::Tx,
};

/// What is to be written beside the settings.
#[derive(Debug)]
pub(super) struct PollChange {
    schedule: Schedule,
    secret: SecretChange,
}

/// What becomes of the row that says where polling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schedule {
    /// Nothing.
    Keep,
    /// The next pull is due, with the cursor that is there.
    Due,
    /// Another list is pulled, from its beginning.
    Anew,
    /// Nothing is pulled.
    Stop,
}

/// What becomes of the poll secret.
#[derive(Debug)]
enum SecretChange {
    Keep,
    Replace(SecretString),
    Drop,
}

impl PollChange {
    /// Compares what was with what shall be. `former` are the settings so far, and whether there is a poll secret.
    pub(super) fn new(
        former: Option<(PollSettings, bool)>,
        draft: &Draft,
        secret: Option<SecretString>,
    ) -> Result<Self, Error> {
        let Some(poll) = &draft.settings.poll else {
            if secret.is_some() {
                let rule = "goes with `settings.poll` only";
                return Err(Error::invalid("poll_secret", rule));
            }
            return Ok(Self {
                schedule: former.map_or(Schedule::Keep, |_| Schedule::Stop),
                secret: SecretChange::Drop,
            });
        };
        let (former, had_secret) = former.unzip();
        let is_there = former
            .as_ref()
            .is_some_and(|former| origin(&former.url) == origin(&poll.url));
        let keeps = had_secret == Some(true) && is_there;
        if poll.sends_secret() && secret.is_none() && !keeps {
            let rule = "is required: `settings.poll` sends it, and it was not given for this host";
            return Err(Error::invalid("poll_secret", rule));
        }
        let secret = match secret {
            Some(secret) => SecretChange::Replace(secret),
            None if keeps => SecretChange::Keep,
            None => SecretChange::Drop,
        };
        Ok(Self {
            schedule: schedule(former.as_ref(), poll),
            secret,
        })
    }
}

impl Sources {
    /// Writes what a change means for polling.
    pub(super) async fn write_poll(
        &self,
        tx: &mut Tx,
        source: &Source,
        change: PollChange,
        now: i64,
    ) -> Result<(), Error> {
        match change.schedule {
            Schedule::Keep => {}
            Schedule::Due => tx.poll_schedule(source.id, now).await?,
            Schedule::Anew => {
                tx.poll_forget(source.id).await?;
                tx.poll_schedule(source.id, now).await?;
            }
            Schedule::Stop => tx.poll_forget(source.id).await?,
        }
        match change.secret {
            SecretChange::Keep => {}
            SecretChange::Replace(secret) => {
                self.write_poll_secret(tx, source, &secret, now).await?;
            }
            SecretChange::Drop => {
                tx.secret_delete(source.id.into(), &Purpose::Polling)
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether the source has a secret that polling sends.
    pub(super) async fn has_poll_secret(&self, id: SourceId) -> Result<bool, Error> {
        let secrets = self.store.secret_list(id.into()).await?;
        let mut secrets = secrets.iter();
        Ok(secrets.any(|secret| *secret.purpose() == Purpose::Polling))
    }
}

/// Scheme, host and port of a URL, in lower case.
fn origin(url: &str) -> String {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find(['/', '?']);
    url[..end.map_or(url.len(), |end| host + end)].to_ascii_lowercase()
}

fn schedule(former: Option<&PollSettings>, poll: &PollSettings) -> Schedule {
    let Some(former) = former else {
        return Schedule::Anew;
    };
    let list = |poll: &PollSettings| {
        let PollSettings {
            url,
            items,
            cursor,
            initial_cursor,
            ..
        } = poll.clone();
        (url, items, cursor, initial_cursor)
    };
    if list(former) != list(poll) {
        Schedule::Anew
    } else if former == poll {
        Schedule::Keep
    } else {
        Schedule::Due
    }
}
