//! A scheme, compiled once for a source: what the rest of Posthorn calls.

use self::{
    content_type::ContentTypes,
    parts::{Transport, check_header_names, check_settings, covers_body, names, splits},
    time::TimePlan,
};
use crate::{
    Answer, Answers, Identity, KeyRequest, Refusal, Request, Scheme, SchemeError, Secret,
    SecretError, Settings, Tolerance,
    context::Context,
    crypto::compare::{self, Comparison},
    handshake::plan::HandshakePlan,
    identify::IdentityPlan,
    proof::Proof,
    reference::Reference,
    request::GET,
    scheme::BodyForm,
    values::{Names, Values},
};

mod content_type;
mod parts;
mod time;

/// How many secrets of a source are tried.
pub(crate) const SECRETS_MAX: usize = 10;
/// The most handshakes of a scheme.
const HANDSHAKES_MAX: usize = 16;

/// What a source may say besides its settings.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The name that event types are put below: the provider's, or one of the source's choice.
    pub provider: String,
    /// How old a request may be, when not what the scheme says.
    pub tolerance: Tolerance,
}

impl Options {
    /// The scheme's own tolerance, types below this name.
    pub fn named(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            tolerance: Tolerance::Scheme,
        }
    }
}

/// A scheme, compiled with the settings of one source.
#[derive(Debug, Clone)]
pub struct Verifier {
    settings: Settings,
    names: Names,
    proof: Proof,
    require: Vec<Comparison>,
    time: Option<TimePlan>,
    body: BodyForm,
    content_types: ContentTypes,
    identity: IdentityPlan,
    handshakes: Vec<HandshakePlan>,
    answers: Answers,
    covers_body: bool,
    confirm: bool,
    splits: bool,
    transport: Transport,
}

impl Verifier {
    /// Compiles a scheme.
    ///
    /// # Errors
    /// When the record contradicts itself, leaves out what it needs or allows what is not safe, or when a setting that it
    /// reads is not given.
    pub fn compile(
        scheme: &Scheme,
        settings: &Settings,
        options: &Options,
    ) -> Result<Self, SchemeError> {
        check_settings(scheme, settings)?;
        if scheme.handshake.len() > HANDSHAKES_MAX {
            return Err(SchemeError::new("handshake", "must not be more than 16"));
        }
        scheme.check_places_of_secret()?;
        check_header_names(scheme)?;
        let proof = Proof::compile(scheme, settings, options.tolerance)?;
        let covers_body = covers_body(scheme, &proof)?;
        let time = scheme
            .ts
            .as_ref()
            .map(|rule| TimePlan::compile(rule, scheme.body, options.tolerance))
            .transpose()?;
        if let Some(time) = &time
            && !proof.signs(&time.at)
        {
            return Err(SchemeError::new(
                "ts.at",
                "is not signed: content must hold it",
            ));
        }
        let signed_times = match &time {
            _ if !covers_body => Vec::new(),
            Some(time) => time.at.clone(),
            None => proof.times(),
        };
        let verifier = Self {
            settings: settings.clone(),
            names: names(scheme),
            proof,
            require: Comparison::compile_all("require", &scheme.require)?,
            time,
            body: scheme.body,
            content_types: ContentTypes::compile(scheme)?,
            identity: IdentityPlan::compile(&options.provider, scheme, signed_times)?,
            splits: splits(scheme)?,
            handshakes: scheme
                .handshake
                .iter()
                .map(HandshakePlan::compile)
                .collect::<Result<_, _>>()?,
            answers: Answers::compile(&scheme.answer)?,
            covers_body,
            confirm: scheme.confirm,
            transport: Transport::compile(scheme)?,
        };
        // The query of a `GET` is kept and passed on.
        let in_query = !verifier.credential_parameters().is_empty();
        if verifier.takes_method(GET) && in_query {
            let what = "must not be GET where the query holds a credential";
            return Err(SchemeError::new("methods", what));
        }
        Ok(verifier)
    }

    /// Whether a secret has the form that the scheme wants: to be asked when it is configured.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_secret(&self, secret: &Secret) -> Result<(), SecretError> {
        if secret.holds_control_characters() {
            return Err(SecretError::ControlCharacter);
        }
        if self.has_role(secret) {
            return Ok(());
        }
        self.proof.check_secret(secret)
    }

    /// Which remote key a request needs, if any. Says nothing about whether the request is genuine.
    ///
    /// # Errors
    /// When the request does not say, or names an address that the scheme does not allow.
    pub fn key_request(&self, request: &Request<'_>) -> Result<Option<KeyRequest>, Refusal> {
        let request = self.proof.key_request(&self.values(request));
        request.map_err(unproved)
    }

    /// Whether the request was signed with one of the secrets, recently enough, and is what the scheme says it is.
    ///
    /// # Errors
    /// Why it is refused. `MalformedBody` means that the sender is genuine and the body is not what it should be; before
    /// that is known a body that cannot be read is refused as `MalformedValue`.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), Refusal> {
        let context = &Context {
            secrets: context
                .secrets
                .get(..SECRETS_MAX)
                .unwrap_or(context.secrets),
            ..*context
        };
        let mut values = self.values(context.request);
        self.prove(context, &mut values).map_err(unproved)?;
        if let Some(time) = &self.time {
            time.check(&values, context.now_ms)?;
        }
        for pair in &self.require {
            if !pair.holds(&values, context.secrets)? {
                return Err(Refusal::Requirement);
            }
        }
        // A name that is there twice has two readings, and a signature over values speaks for the first only.
        if !self.covers_body && values.saw_duplicates() {
            return Err(Refusal::MalformedBody);
        }
        match self.body {
            BodyForm::Any => Ok(()),
            _ if context.request.method == GET => values.form().map(drop),
            BodyForm::Json => values.json().map(drop),
            BodyForm::JsonOrForm if values.is_like_json() => values.json().map(drop),
            BodyForm::JsonLines => values.json_texts().map(drop),
            BodyForm::Form | BodyForm::JsonOrForm => values.form().map(drop),
        }
    }

    /// Whether the media type is one that the scheme's requests have. A scheme that takes any body takes any or none.
    pub fn takes_content_type(&self, content_type: Option<&str>) -> bool {
        self.content_types.take(content_type)
    }

    /// Which event a verified request is.
    pub fn identify(&self, request: &Request<'_>) -> Identity {
        if let Some(identity) = self.proof.identify(request, &self.identity) {
            return identity;
        }
        let mut values = self.values(request);
        self.proof.read_others(&mut values);
        let identity = self.identity.identify(&mut values);
        match self.proof.event_type(request) {
            Some(kind) => Identity {
                event_type: self.identity.type_below(&kind),
                ..identity
            },
            None => identity,
        }
    }

    /// What an accepted request is answered: [`Answers::ok`], unless the scheme answers with what the request holds.
    pub fn accepted(&self, context: &Context<'_>) -> Answer {
        self.proof
            .answer(context)
            .unwrap_or_else(|| self.answers.ok.clone())
    }

    /// What the provider is answered.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether an event can come by this method.
    pub fn takes_method(&self, method: &str) -> bool {
        self.transport.methods.iter().any(|taken| taken == method)
    }

    /// Whether bodies may be packed with gzip without the source asking for it.
    pub fn takes_gzip(&self) -> bool {
        self.transport.gzip
    }

    /// The methods that are taken: those of events, and those of handshakes.
    pub fn methods(&self) -> Vec<&str> {
        let mut methods: Vec<&str> = self.transport.methods.iter().map(String::as_str).collect();
        for plan in &self.handshakes {
            if !methods.contains(&plan.method.as_str()) {
                methods.push(&plan.method);
            }
        }
        methods
    }

    /// Whether the signature covers the body. Where it does not, a body is only claimed.
    pub fn covers_body(&self) -> bool {
        self.covers_body
    }

    /// Whether each of [`Identity::items`] is an event, and not the batch, unless the source says otherwise. A batch
    /// without items is an event itself in any case, and so is one that has [`Identity::more_items`].
    pub fn splits(&self) -> bool {
        self.splits
    }

    /// Whether a body may be JSON lines, which are no JSON text together. [`Self::verify`] has looked at them.
    pub fn takes_json_lines(&self) -> bool {
        self.body == BodyForm::JsonLines
    }

    /// Whether an event should be fetched from the provider before it is believed.
    pub fn wants_confirmation(&self) -> bool {
        self.confirm
    }

    /// The names, in lower case, of the headers that hold a credential which must not be kept: the secret itself, or a
    /// token that would pass with another body too.
    pub fn credential_headers(&self) -> Vec<&str> {
        let mut headers = Vec::new();
        for reference in self.proof.credentials() {
            if let Reference::Header(name) = reference {
                match self.names.header_alias.get(name) {
                    Some(aliases) => headers.extend(aliases.iter().map(String::as_str)),
                    None => headers.push(name.as_str()),
                }
            }
        }
        headers
    }

    /// The parameters of the query that hold such a credential.
    pub fn credential_parameters(&self) -> Vec<&str> {
        let references = self.proof.credentials();
        let checks = self.handshakes.iter().flat_map(HandshakePlan::checks);
        let references = references.chain(checks.filter_map(Comparison::shown_secret));
        let parameters = references.filter_map(|reference| match reference {
            Reference::Query(name) => Some(name.as_str()),
            _ => None,
        });
        parameters.collect()
    }

    /// The part that proves the sender.
    fn prove(&self, context: &Context<'_>, values: &mut Values<'_>) -> Result<(), Refusal> {
        if let Some(time) = &self.time {
            time.must_be_there(values)?;
        }
        self.proof.verify(context, values)
    }

    /// Whether a secret is for a handshake's check alone.
    fn has_role(&self, secret: &Secret) -> bool {
        let checks = self.handshakes.iter().flat_map(HandshakePlan::checks);
        checks
            .filter_map(Comparison::role)
            .any(|role| compare::of_role(secret, role).is_some())
    }

    /// The names, in lower case, of the headers that are read and may not be repeated.
    pub fn header_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.proof.special_headers().map(str::to_owned).collect();
        let time = self.time.iter().flat_map(|time| &time.at);
        let references = self
            .proof
            .references()
            .chain(time)
            .chain(self.identity.references())
            .chain(self.require.iter().flat_map(Comparison::references));
        for reference in references {
            if let Reference::Header(name) = reference {
                match self.names.header_alias.get(name) {
                    Some(aliases) => names.extend(aliases.iter().cloned()),
                    None => names.push(name.clone()),
                }
            }
        }
        names
    }

    /// The values of a request under this scheme.
    pub(crate) fn values<'a>(&'a self, request: &'a Request<'a>) -> Values<'a> {
        Values::new(request, &self.settings, &self.names)
    }

    /// The handshakes in the order they are tried.
    pub(crate) fn handshakes(&self) -> &[HandshakePlan] {
        &self.handshakes
    }
}

/// A body that cannot be read proves nothing: it is refused like any other sender that is not known.
fn unproved(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::MalformedBody => Refusal::MalformedValue,
        _ => refusal,
    }
}

#[cfg(test)]
mod inside;

#[cfg(test)]
mod tests;
