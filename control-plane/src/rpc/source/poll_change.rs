//! What a change of a source means for its polling: when it goes on, and what becomes of the secret that it sends.
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
    outage,
    store::RegistryTx,
};

/// What becomes of the poll secret.
#[derive(Debug)]
pub(super) enum SecretChange {
    Keep,
    Replace(SecretString),
    Drop,
}

impl SecretChange {
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
            return Ok(Self::Drop);
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
        Ok(match secret {
            Some(secret) => Self::Replace(secret),
            None if keeps => Self::Keep,
            None => Self::Drop,
        })
    }
}

impl Sources {
    /// Writes what a change means for the secret that polling sends.
    pub(super) async fn write_poll(
        &self,
        tx: &mut RegistryTx,
        source: &Source,
        change: SecretChange,
        now: i64,
    ) -> Result<(), Error> {
        match change {
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

    /// Has polling follow the settings of a source, now that they are committed. What fails here is made up for by whoever
    /// polls.
    pub(super) async fn follow_poll(
        &self,
        former: Option<&PollSettings>,
        source: &Source,
        now: i64,
    ) {
        let poll = source.settings.poll.as_ref();
        let followed = match poll {
            _ if poll == former => return,
            Some(_) => self.core.store.poll_schedule(source, now).await,
            None => self.core.store.poll_forget(source.shard, source.id).await,
        };
        if let Err(error) = followed {
            outage::log(&error, "polling of a source changes a little later");
        }
    }

    /// Whether the source has a secret that polling sends.
    pub(super) async fn has_poll_secret(&self, id: SourceId) -> Result<bool, Error> {
        let secrets = self.core.store.secret_list(id.into()).await?;
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
