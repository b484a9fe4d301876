//! `ApiKeyService`.

use posthorn::v1::{self, api_key_service_server::ApiKeyService};
use prost_types::Timestamp;
use secrecy::ExposeSecret as _;

use super::{
    Call, Caller, Made, Mutations, Page, QueryFingerprint,
    convert::{Violations, id, instant_ms, timestamp, visible_name},
};
use crate::{
    audit::{self, Record},
    core::Core,
    error::Error,
    model::{
        api_key::{self, ApiKey, KeyHash, Role, Roles},
        id::{KeyId, TenantId},
    },
    registry::{Capped, Changed, Place, SharedRegistry},
    store::{Change, KeyScope, RegistryTx},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a key works when the caller does not say.
const LIFE_DEFAULT_MS: i64 = 90 * DAY_MS;
/// How long a key can work.
const LIFE_MAX_MS: i64 = 365 * DAY_MS;
const NAME_CHARS_MAX: usize = 100;

/// Serves `ApiKeyService`.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeys {
    core: Core,
    mutations: Mutations,
}

/// What a new key shall be.
#[derive(Debug)]
struct NewKey {
    name: String,
    roles: Roles,
    expires_at: i64,
}

impl ApiKeys {
    /// A service over the store; the registry hears of every change.
    pub(crate) fn new(core: Core) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
        }
    }

    async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateApiKeyRequest,
    ) -> Result<v1::CreateApiKeyResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant_id = self.tenant(caller, &request.tenant_id)?;
        let new = read(&request, tenant_id, now)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let room = Room::make(&self.core.registry, tx, tenant_id, now).await?;
            let key_id = KeyId::new(now, &mut self.core.rng());
            let text = api_key::generate(key_id, &mut self.core.rng());
            let key = ApiKey {
                id: key_id,
                tenant_id,
                name: new.name,
                roles: new.roles,
                created_at: now,
                expires_at: Some(new.expires_at),
                revoked_at: None,
                hash: KeyHash::of(text.expose_secret()),
            };
            if tx.api_key_insert(&key).await? != Change::Done {
                return Err(Error::NotFound("tenant"));
            }
            let after = proto(&key);
            let record = Record::of(tenant_id, key_id).changing(None, Some(&after));
            let response = v1::CreateApiKeyResponse {
                key: Some(after),
                api_key: String::new(),
            };
            let changed = std::iter::once(key_id).chain(room.given_up());
            let changed = changed.map(Changed::Key).collect::<Vec<_>>();
            let made = Made::new(response, record)
                .of(changed)
                .holding(room.place());
            Ok(made.then(move |response| text.expose_secret().clone_into(&mut response.api_key)))
        };
        self.mutations.make(call, change).await
    }

    async fn get(
        &self,
        caller: &Caller,
        request: v1::GetApiKeyRequest,
    ) -> Result<v1::GetApiKeyResponse, Error> {
        let key = self.core.store.api_key_get(id("key_id", &request.key_id)?);
        let key = key.await?.filter(|key| may_see(caller, key.tenant_id));
        let key = key.ok_or(Error::NotFound("API key"))?;
        Ok(v1::GetApiKeyResponse {
            key: Some(proto(&key)),
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListApiKeysRequest,
    ) -> Result<v1::ListApiKeysResponse, Error> {
        let tenant_id = self.tenant(caller, &request.tenant_id)?;
        let scope = tenant_id.map_or([0; 16], |id| id.uuid().into_bytes());
        let query = QueryFingerprint::new("ListApiKeys", &[&scope]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let after = page.after_uuid()?.map(KeyId::from_uuid);
        let scope = tenant_id.map_or(KeyScope::All, KeyScope::Tenant);
        let keys = self
            .core
            .store
            .api_key_list(scope, after, page.rows_to_read())
            .await?;
        let (keys, next_page_token) = page.cut(keys, |key| key.id.uuid().into_bytes());
        Ok(v1::ListApiKeysResponse {
            keys: keys.iter().map(proto).collect(),
            next_page_token,
        })
    }

    /// Ends a key. First in memory, where every call and stream sees it at once, then in the database, by a path that
    /// waits for nothing else: no other change, no request id, no turn of the registry.
    async fn revoke(
        &self,
        caller: &Caller,
        request: v1::RevokeApiKeyRequest,
    ) -> Result<v1::RevokeApiKeyResponse, Error> {
        let now = self.core.clock.now_ms();
        let key_id = id("key_id", &request.key_id)?;
        let registry = self.core.registry.snapshot();
        let known = registry.key(key_id).map(|entry| entry.key.tenant_id);
        let owner = match known {
            Some(owner) => Some(owner),
            None => self.unknown(key_id).await?,
        };
        if !owner.is_some_and(|owner| may_see(caller, owner)) {
            return Err(Error::NotFound("API key"));
        }
        let _read_anew = self.core.registry.end_key(key_id, now);
        let revoked = self.write_revoked(caller, key_id, now).await;
        let key = revoked.map_err(unwritten)?;
        let key = key.ok_or(Error::NotFound("API key"))?;
        Ok(v1::RevokeApiKeyResponse {
            key: Some(proto(&key)),
        })
    }

    /// Writes a revocation and its record. None: there is no such key.
    async fn write_revoked(
        &self,
        caller: &Caller,
        key_id: KeyId,
        now: i64,
    ) -> Result<Option<ApiKey>, Error> {
        let mut tx = self.core.store.vital().begin().await?;
        let Some(key) = tx.api_key_revoke(key_id, now).await? else {
            return Ok(None);
        };
        let revoked_at = timestamp(key.revoked_at.unwrap_or(now)).to_string();
        let record = Record::of(key.tenant_id, key_id).setting("revoked_at", None, revoked_at);
        let record = record.by(caller.actor(), "RevokeApiKey", now, &mut self.core.rng());
        audit::write(&mut tx, &record).await?;
        tx.commit().await?;
        audit::log(&record);
        Ok(Some(key))
    }

    /// Whose key it is, if the database has one that the registry has not.
    async fn unknown(&self, id: KeyId) -> Result<Option<Option<TenantId>>, Error> {
        let key = self.core.store.vital().api_key_get(id).await?;
        Ok(key.map(|key| key.tenant_id))
    }

    /// The tenant that a request is about. None: the installation.
    fn tenant(&self, caller: &Caller, text: &str) -> Result<Option<TenantId>, Error> {
        if text.is_empty() && caller.tenant_id().is_none() {
            return Ok(None);
        }
        Ok(Some(
            caller
                .tenant(&self.core.registry.snapshot(), text)?
                .tenant
                .id,
        ))
    }
}

/// Whether a caller may know of a key of this tenant, or of the installation.
fn may_see(caller: &Caller, owner: Option<TenantId>) -> bool {
    owner.map_or(caller.tenant_id().is_none(), |id| caller.can_see(id))
}

/// Room for one more key.
#[derive(Debug)]
enum Room {
    /// There was a place.
    Free(Place),
    /// The key that ended first made room: its row is deleted.
    GivenUp(KeyId),
}

impl Room {
    async fn make(
        registry: &SharedRegistry,
        tx: &mut RegistryTx,
        scope: Option<TenantId>,
        now: i64,
    ) -> Result<Self, Error> {
        let full = match registry.place(scope, Capped::ApiKeys) {
            Ok(place) => return Ok(Self::Free(place)),
            Err(full) => full,
        };
        let snapshot = registry.snapshot();
        let ended = snapshot.keys_of(scope).filter(|entry| !entry.is_live(now));
        let Some(oldest) = ended.min_by_key(|entry| entry.ends_at()) else {
            return Err(full);
        };
        match tx.api_key_delete(oldest.key.id).await? {
            Change::Done => Ok(Self::GivenUp(oldest.key.id)),
            // Another call had the same thought.
            Change::NameTaken | Change::Missing => Err(full),
        }
    }

    fn given_up(&self) -> Option<KeyId> {
        match self {
            Self::Free(_) => None,
            Self::GivenUp(id) => Some(*id),
        }
    }

    fn place(self) -> Option<Place> {
        match self {
            Self::Free(place) => Some(place),
            Self::GivenUp(_) => None,
        }
    }
}

serves! {
    ApiKeyService for ApiKeys {
        create_api_key => create(CreateApiKeyRequest) -> CreateApiKeyResponse;
        get_api_key => get(GetApiKeyRequest) -> GetApiKeyResponse;
        list_api_keys => list(ListApiKeysRequest) -> ListApiKeysResponse;
        revoke_api_key => revoke(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    }
}

/// What a revocation is answered that the database did not take.
fn unwritten(error: Error) -> Error {
    match error {
        Error::Unavailable(cause) => Error::Unavailable(format!(
            "{cause}: the key is refused from now on, but the revocation is not on record yet; repeat the call"
        )),
        error => error,
    }
}

fn read(
    request: &v1::CreateApiKeyRequest,
    tenant: Option<TenantId>,
    now: i64,
) -> Result<NewKey, Error> {
    let mut violations = Violations::default();
    let name = violations.take(visible_name("name", &request.name, NAME_CHARS_MAX))?;
    let roles = violations.take(read_roles(&request.roles, tenant))?;
    let expires_at = violations.take(read_expiry(request.expires_at.as_ref(), now))?;
    violations.finish()?;
    Ok(NewKey {
        name: name.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        expires_at: expires_at.unwrap_or(now),
    })
}

fn read_roles(numbers: &[i32], tenant: Option<TenantId>) -> Result<Roles, Error> {
    if numbers.is_empty() {
        return Err(Error::invalid("roles", "must have at least one role"));
    }
    let mut roles = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        let field = format!("roles[{index}]");
        let role = match v1::Role::try_from(*number) {
            Ok(v1::Role::Admin) => Role::Admin,
            Ok(v1::Role::Operator) => Role::Operator,
            Ok(v1::Role::Emitter) => Role::Emitter,
            Ok(v1::Role::Viewer) => Role::Viewer,
            Ok(v1::Role::Consumer) => Role::Consumer,
            Ok(v1::Role::Node) if tenant.is_none() => Role::Node,
            Ok(v1::Role::Node) => {
                return Err(Error::invalid(
                    field,
                    "a tenant's key cannot have the role node",
                ));
            }
            Ok(v1::Role::Unspecified) | Err(_) => {
                return Err(Error::invalid(field, "must be a known role"));
            }
        };
        roles.push(role);
    }
    Ok(Roles::of(&roles))
}

fn read_expiry(value: Option<&Timestamp>, now: i64) -> Result<i64, Error> {
    let Some(value) = value else {
        return Ok(now + LIFE_DEFAULT_MS);
    };
    let expires_at = instant_ms("expires_at", value)?;
    if expires_at <= now || expires_at > now + LIFE_MAX_MS {
        return Err(Error::invalid(
            "expires_at",
            "must be in the future, at most 365 days from now",
        ));
    }
    Ok(expires_at)
}

fn proto(key: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        key_id: key.id.to_string(),
        tenant_id: key.tenant_id.map(|id| id.to_string()).unwrap_or_default(),
        name: key.name.clone(),
        roles: key
            .roles
            .iter()
            .map(|role| role_proto(role).into())
            .collect(),
        created_at: Some(timestamp(key.created_at)),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
    }
}

fn role_proto(role: Role) -> v1::Role {
    match role {
        Role::Admin => v1::Role::Admin,
        Role::Operator => v1::Role::Operator,
        Role::Emitter => v1::Role::Emitter,
        Role::Viewer => v1::Role::Viewer,
        Role::Node => v1::Role::Node,
        Role::Consumer => v1::Role::Consumer,
    }
}

#[cfg(test)]
mod tests;
