//! Who did what: one record for each change, written in the transaction of the change itself, so that there is neither
//! without the other. What was denied is recorded shortly afterwards, see [`Denials`].

mod denials;
mod diff;

use std::fmt::Display;

use prost::{Message, Name};
use rand::Rng;

pub(crate) use self::denials::{Denial, Denials, WaitingDenials};
use crate::{
    error::Error,
    model::{
        audit::{Actor, AuditOutcome, AuditRecord, FieldChange},
        id::{AuditId, TenantId},
    },
    outage,
    store::{self, Store, Tx},
};

/// How many fields one record names.
pub(crate) const CHANGES_MAX: usize = 100;
/// How many characters of a value it shows.
pub(crate) const VALUE_CHARS_MAX: usize = 1_000;

/// What is to be put on record of something that is done.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    tenant_id: Option<TenantId>,
    target: String,
    reason: String,
    request_id: String,
    changes: Vec<FieldChange>,
}

impl Record {
    /// Of something that is done to `target`, which is a tenant's or the installation's.
    pub(crate) fn of(tenant_id: impl Into<Option<TenantId>>, target: impl Display) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            target: target.to_string(),
            reason: String::new(),
            request_id: String::new(),
            changes: Vec::new(),
        }
    }

    /// Why it is done.
    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// It is done by a call with this request id.
    pub(crate) fn called(mut self, request_id: &str) -> Self {
        request_id.clone_into(&mut self.request_id);
        self
    }

    /// It makes, changes or deletes an object, as callers see it.
    pub(crate) fn changing<M: Message + Name>(
        mut self,
        before: Option<&M>,
        after: Option<&M>,
    ) -> Self {
        self.changes.extend(diff::changes(before, after));
        self.changes.truncate(CHANGES_MAX);
        self
    }

    /// It changes one thing from a value, if there was any, to another.
    pub(crate) fn setting<T: Display>(mut self, field: &str, old: Option<T>, new: T) -> Self {
        self.changes.push(FieldChange {
            field: field.to_owned(),
            old: old.map(|old| old.to_string()),
            new: Some(new.to_string()),
        });
        self
    }

    /// The record of this by a caller.
    pub(crate) fn by(
        self,
        actor: Actor,
        method: &str,
        now_ms: i64,
        rng: &mut impl Rng,
    ) -> AuditRecord {
        self.record((actor, AuditOutcome::Done), method, now_ms, rng)
    }

    /// The record of this by Posthorn itself.
    pub(crate) fn by_posthorn(self, method: &str, now_ms: i64, rng: &mut impl Rng) -> AuditRecord {
        self.by(Actor::Posthorn, method, now_ms, rng)
    }

    fn record(
        self,
        (actor, outcome): (Actor, AuditOutcome),
        method: &str,
        now_ms: i64,
        rng: &mut impl Rng,
    ) -> AuditRecord {
        AuditRecord {
            id: AuditId::new(now_ms, rng),
            recorded_at: now_ms,
            tenant_id: self.tenant_id,
            actor,
            method: method.to_owned(),
            target: self.target,
            reason: self.reason,
            request_id: self.request_id,
            outcome,
            changes: self.changes,
        }
    }
}

/// Writes a record in the transaction of what it is of.
///
/// # Errors
/// Unavailable, whatever the cause, which is logged: then nothing may be committed.
pub(crate) async fn write<S>(tx: &mut Tx<S>, record: &AuditRecord) -> Result<(), Error> {
    tx.audit_insert(record).await.map_err(|error| {
        outage::log(
            &error,
            "a change is given up, because it cannot be put on record",
        );
        let text = "the change cannot be put on record now, so it was not made; repeat the call";
        Error::Unavailable(text.to_owned())
    })
}

/// Tells the log of a record that is committed.
pub(crate) fn log(record: &AuditRecord) {
    let key_id = record.actor.key_id().map(|id| id.to_string());
    let key_id = key_id.as_deref().unwrap_or("posthorn");
    let (audit_id, method, target) = (record.id, &record.method, &record.target);
    tracing::info!(%audit_id, key_id, method, target, "recorded {method} by {key_id}");
}

/// Writes records in a transaction of their own: of what was denied, and of what Posthorn did in several transactions, after
/// the last of them.
pub(crate) async fn write_alone(store: &Store, records: &[AuditRecord]) -> store::Result<()> {
    let mut tx = store.begin().await?;
    for record in records {
        tx.audit_insert(record).await?;
    }
    tx.commit().await?;
    records.iter().for_each(log);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
