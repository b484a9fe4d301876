//! What the calls about endpoints and about sources have in common: which object one is about, and what becomes of its row.

use std::{collections::HashMap, str::FromStr, sync::Arc};

use super::{Page, QueryFingerprint, convert::id};
use crate::{
    error::{Error, Reason},
    model::{
        id::{Id as _, ParseIdError, TenantId},
        object::{Object, ObjectState, Settings},
        secret::{Owner, SealedSecret},
    },
    registry::TenantEntry,
    store::{Change, RegistryTx, Store},
};

/// An object and what is sealed for it.
pub(super) type WithSecrets<S> = (Object<S>, Vec<SealedSecret>);

/// Which object a request is about.
#[derive(Debug, Clone)]
pub(super) struct Named<S: Settings> {
    /// Whose it has to be.
    pub(super) tenant: Arc<TenantEntry>,
    /// Which.
    pub(super) id: S::Id,
}

impl<S: Settings> Named<S>
where
    S::Id: FromStr<Err = ParseIdError>,
{
    /// The one that a request's field names, which is called as the kind is.
    pub(super) fn read(tenant: Arc<TenantEntry>, text: &str) -> Result<Self, Error> {
        let id = id(&format!("{}_id", S::NOUN), text)?;
        Ok(Self { tenant, id })
    }
}

impl<S: Settings> Named<S> {
    /// The object.
    pub(super) async fn get(&self, store: &Store) -> Result<Object<S>, Error> {
        self.own(store.object_get(self.id).await?)
    }

    /// The object, kept from other writers until the transaction ends.
    pub(super) async fn hold(&self, tx: &mut RegistryTx, now: i64) -> Result<Object<S>, Error> {
        check::<S>(tx.object_touch(self.id, now).await?)?;
        self.own(tx.object_get(self.id).await?)
    }

    /// Deletes it.
    pub(super) async fn delete(&self, tx: &mut RegistryTx) -> Result<(), Error> {
        check::<S>(tx.object_delete(self.id).await?)
    }

    /// The row that was read, unless it is another tenant's.
    fn own(&self, row: Option<Object<S>>) -> Result<Object<S>, Error> {
        row.filter(|object| object.tenant_id == self.tenant.tenant.id)
            .ok_or(Error::NotFound(S::NOUN))
    }
}

/// A page of a tenant's objects by id, each with its secrets, and the token of the next one. `rpc` is the call.
pub(super) async fn page<S: Settings>(
    store: &Store,
    tenant: TenantId,
    rpc: &str,
    (page_size, page_token): (i32, &str),
) -> Result<(Vec<WithSecrets<S>>, String), Error>
where
    Owner: From<S::Id>,
{
    let query = QueryFingerprint::new(rpc, &[tenant.uuid().as_bytes()]);
    let page = Page::parse(page_size, page_token, query)?;
    let after = page.after_uuid()?.map(S::Id::from_uuid);
    let rows = store.object_list(tenant, after, page.rows_to_read());
    let (rows, next_page_token) = page.cut(rows.await?, |row| row.id.uuid().into_bytes());
    let mut secrets = HashMap::<_, Vec<_>>::new();
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        let range = store.secret_list_range(tenant, first.id.into(), last.id.into());
        for secret in range.await? {
            let of_owner = secrets.entry(secret.binding.owner).or_default();
            of_owner.push(secret);
        }
    }
    let with_secrets = rows.into_iter().map(|row| {
        let own = secrets.remove(&row.owner()).unwrap_or_default();
        (row, own)
    });
    Ok((with_secrets.collect(), next_page_token))
}

/// Adds an object.
pub(super) async fn insert<S: Settings>(
    tx: &mut RegistryTx,
    object: &Object<S>,
) -> Result<(), Error> {
    match tx.object_insert(object).await? {
        Change::Missing => Err(Error::NotFound("tenant")),
        change => check::<S>(change),
    }
}

/// Writes an object over the version before it. The version is in the statement's condition, so what was read before the
/// transaction still holds in it.
pub(super) async fn update<S: Settings>(
    tx: &mut RegistryTx,
    object: &Object<S>,
) -> Result<(), Error> {
    match tx.object_update(object).await? {
        Change::Missing => Err(Error::StaleEtag),
        change => check::<S>(change),
    }
}

/// Moves an object that the transaction holds to a state.
pub(super) async fn set_state<S: Settings>(
    tx: &mut RegistryTx,
    object: &mut Object<S>,
    state: ObjectState,
    reason: &str,
) -> Result<(), Error> {
    object.state = state;
    reason.clone_into(&mut object.state_reason);
    object.version += 1;
    check::<S>(tx.object_update(object).await?)
}

fn check<S: Settings>(change: Change) -> Result<(), Error> {
    match change {
        Change::Done => Ok(()),
        Change::NameTaken => Err(Error::AlreadyExists(
            Reason::NameTaken,
            format!("another {} of the tenant has this name already", S::NOUN),
        )),
        Change::Missing => Err(Error::NotFound(S::NOUN)),
    }
}
