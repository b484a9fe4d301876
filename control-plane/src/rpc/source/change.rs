//! Creating, changing and deleting sources.

use posthorn::v1;

use super::{
    Sources,
    poll_change::SecretChange,
    scheme::Compiled,
    secret::{Chosen, poll_secret},
    settings::{self, Field},
};
use crate::{
    audit::Record,
    error::Error,
    model::{id::SourceId, object::Object, source::Source},
    outage,
    registry::{Capped, Changed},
    rpc::{
        Call, Caller, Made, blind,
        convert::{Field as _, check_etag, check_mask},
        object, reach,
    },
    store::RegistryTx,
};

/// The field of a URL that is polled.
const POLL_URL: &str = "settings.poll.url";

impl Sources {
    pub(super) async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateSourceRequest,
    ) -> Result<v1::CreateSourceResponse, Error> {
        let now = self.core.clock.now_ms();
        let owner = self.tenant(caller, &request.tenant_id)?;
        let tenant = owner.tenant.id;
        let content = self.blinded(&request);
        let call = Call::new(caller, &content, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let new = request.settings.unwrap_or_default();
        let draft = settings::read(&new, self.core.resolver.policy())?;
        let compiled = draft.compiled.as_ref();
        let chosen = Chosen::read(
            &request.secrets,
            &draft.settings,
            compiled,
            &mut self.core.rng(),
        )?;
        let poll = SecretChange::new(None, &draft, poll_secret(&request.poll_secret)?)?;
        let polled = draft.poll_target.as_ref();
        reach::check(caller, &self.core.resolver, polled, POLL_URL).await?;
        let id = SourceId::new(now, &mut self.core.rng());
        let source = Object::new(id, &owner.tenant, draft.settings, now);
        let change = async |tx: &mut RegistryTx| {
            let place = self.core.registry.place(Some(tenant), Capped::Sources)?;
            object::insert(tx, &source).await?;
            self.write_secrets(tx, &source, &chosen, now).await?;
            self.write_poll(tx, &source, poll, now).await?;
            let after = self.described(tx, &source, now).await?;
            let record = Record::of(tenant, source.id).changing(None, Some(&after));
            let response = v1::CreateSourceResponse {
                source: Some(after),
                secret: String::new(),
            };
            let made = Made::new(response, record)
                .of([Changed::Source(source.id)])
                .holding([place]);
            let shown = chosen.expose_shown();
            Ok(made.then(move |response| response.secret = shown))
        };
        let response = self.mutations.make(call, change).await?;
        if response
            .source
            .as_ref()
            .is_some_and(|made| made.source_id == id.to_string())
        {
            self.follow_poll(None, &source, now).await;
        }
        Ok(response)
    }

    pub(super) async fn update(
        &self,
        caller: &Caller,
        request: v1::UpdateSourceRequest,
    ) -> Result<v1::UpdateSourceResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let mut content = request.clone();
        blind(&self.core.vault, &mut content.poll_secret);
        let call = Call::new(caller, &content, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let former = named.get(&self.core.store).await?;
        let (source, poll) = self.changed(caller, former.clone(), request, now).await?;
        let change = async |tx: &mut RegistryTx| {
            let before = self.described(tx, &former, now).await?;
            object::update(tx, &source).await?;
            self.write_poll(tx, &source, poll, now).await?;
            let after = self.described(tx, &source, now).await?;
            let record = Record::of(source.tenant_id, source.id);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::UpdateSourceResponse {
                source: Some(after),
            };
            Ok(Made::new(response, record).of([Changed::Source(source.id)]))
        };
        let response = self.mutations.make(call, change).await?;
        let former = former.settings.poll.as_ref();
        self.follow_poll(former, &source, now).await;
        Ok(response)
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteSourceRequest,
    ) -> Result<v1::DeleteSourceResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.source_id)?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let source = named.hold(tx, now).await?;
            let before = self.described(tx, &source, now).await?;
            named.delete(tx).await?;
            let record = Record::of(source.tenant_id, named.id).changing(Some(&before), None);
            let response = v1::DeleteSourceResponse {};
            Ok(Made::new(response, record).of([Changed::Source(named.id)]))
        };
        let response = self.mutations.make(call, change).await?;
        // Whoever polls forgets it too, when its turn comes.
        let forgotten = self
            .core
            .store
            .poll_forget(named.tenant.shard, named.id)
            .await;
        forgotten
            .unwrap_or_else(|error| outage::log(&error, "polling of a source ends a little later"));
        Ok(response)
    }

    /// A request to create without its secrets, to compare repeats with.
    fn blinded(&self, request: &v1::CreateSourceRequest) -> v1::CreateSourceRequest {
        let mut content = request.clone();
        for secret in &mut content.secrets {
            blind(&self.core.vault, secret);
        }
        blind(&self.core.vault, &mut content.poll_secret);
        content
    }

    /// The next version of a source, as the request wants it.
    async fn changed(
        &self,
        caller: &Caller,
        mut source: Source,
        request: v1::UpdateSourceRequest,
        now: i64,
    ) -> Result<(Source, SecretChange), Error> {
        let mask = request.update_mask.as_ref();
        let fields = match mask.filter(|mask| !mask.paths.is_empty()) {
            None if !request.poll_secret.is_empty() => Vec::new(),
            _ => check_mask(mask)?,
        };
        check_etag(&request.etag, source.version)?;
        let new = request.settings.unwrap_or_default();
        let former_poll = source.settings.poll.clone();
        let draft = settings::change(source.settings, &new, &fields, self.core.resolver.policy())?;
        self.check_secrets(source.id, draft.compiled.as_ref(), &fields)?;
        let has_secret = self.has_poll_secret(source.id).await?;
        let former_poll = former_poll.map(|poll| (poll, has_secret));
        let poll = SecretChange::new(former_poll, &draft, poll_secret(&request.poll_secret)?)?;
        let polled = draft.poll_target.as_ref();
        reach::check(caller, &self.core.resolver, polled, POLL_URL).await?;
        source.settings = draft.settings;
        source.version += 1;
        source.updated_at = now;
        Ok((source, poll))
    }

    /// Refuses a scheme that the secrets do not fit which the source has.
    fn check_secrets(
        &self,
        id: SourceId,
        compiled: Option<&Compiled>,
        fields: &[Field],
    ) -> Result<(), Error> {
        let registry = self.core.registry.snapshot();
        let (Some(live), Some(compiled)) = (registry.source(id), compiled) else {
            return Ok(());
        };
        let secrets = live.secrets.iter().filter(|(_, until)| until.is_none());
        let mut fits = secrets.map(|(secret, _)| compiled.verifier.check_secret(secret).is_ok());
        let changes = |field: &&Field| matches!(field, Field::Scheme | Field::Parameters);
        match fields.iter().find(changes) {
            Some(field) if fits.any(|fits| !fits) => {
                let rule = "does not go with the form of the source's secrets";
                Err(Error::invalid(format!("settings.{}", field.name()), rule))
            }
            _ => Ok(()),
        }
    }
}
