//! Whether a URL that a caller gives may be reached, and what the caller is told when it may not.
//!
//! A tenant's caller hears the same whether a name does not exist or leads to where Posthorn does not go: otherwise it
//! could find out which names the operator's own network has.

use posthorn_guard::{Policy, ResolveError, Resolver, TARGET_NOT_ALLOWED, Target};

use super::Caller;
use crate::error::Error;

/// What is to be done about an address that is kept from. The same for everybody: it says nothing of the address.
const HINT: &str = "the operator of the installation allows what is meant with --allow-target";

/// Reads a URL and judges what is written. `field` is what holds it.
pub(super) fn target(field: &str, url: &str, policy: &Policy) -> Result<Target, Error> {
    Target::parse(url, policy).map_err(|error| {
        let text = error.to_string();
        let reason = if text == TARGET_NOT_ALLOWED {
            format!("{TARGET_NOT_ALLOWED}: {HINT}")
        } else {
            format!("{TARGET_NOT_ALLOWED}: {text}")
        };
        Error::invalid(field, reason)
    })
}

/// Looks the name in a URL up, and refuses it unless every address behind it may be reached.
pub(super) async fn check(
    caller: &Caller,
    resolver: &Resolver,
    target: Option<&Target>,
    field: &str,
) -> Result<(), Error> {
    let Some(target) = target else { return Ok(()) };
    match resolver.resolve(target).await {
        Ok(_) => Ok(()),
        Err(ResolveError::NoAnswer(_)) => Err(Error::Unavailable(format!(
            "no name server says where the host of `{field}` is; nothing was changed"
        ))),
        Err(ResolveError::NotAllowed) => Err(refused(
            caller,
            field,
            &format!("the host's name leads to an address that is not allowed; {HINT}"),
        )),
        Err(ResolveError::NoSuchName) => Err(refused(
            caller,
            field,
            "the host's name does not exist, or has no address",
        )),
    }
}

fn refused(caller: &Caller, field: &str, why: &str) -> Error {
    let why = match caller.tenant_id() {
        None => why.to_owned(),
        Some(_) => format!("the host's name leads to no address that is allowed; {HINT}"),
    };
    Error::invalid(field, format!("{TARGET_NOT_ALLOWED}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use posthorn_guard::testing::{NameServer, Reply};
    use rand::{SeedableRng as _, rngs::StdRng};
    use tonic::Code;

    use super::*;
    use crate::{
        model::{
            api_key::{ApiKey, KeyHash, Role, Roles},
            id::KeyId,
        },
        rpc::calls::fixture,
    };

    fn of_tenant() -> Caller {
        fixture::caller(1, 1)
    }

    fn of_installation() -> Caller {
        Caller::from(&ApiKey {
            id: KeyId::new(0, &mut StdRng::seed_from_u64(1)),
            tenant_id: None,
            name: "test".to_owned(),
            roles: Roles::of(&[Role::Admin]),
            created_at: 0,
            expires_at: None,
            revoked_at: None,
            hash: KeyHash::of("test"),
        })
    }

    async fn refusal(caller: &Caller, reply: Reply) -> Error {
        let server = NameServer::start(move |_, _| reply.clone()).await.unwrap();
        let policy = Arc::new(Policy::default());
        let resolver = Resolver::with_name_server(policy, server.address()).unwrap();
        let url = target("url", "https://hooks.example.com/", resolver.policy()).unwrap();
        check(caller, &resolver, Some(&url), "url")
            .await
            .unwrap_err()
    }

    fn inside() -> Reply {
        Reply::Addresses(vec!["10.0.0.1".parse().unwrap()], 0)
    }

    #[tokio::test]
    async fn case_18_name_servers_that_do_not_answer_are_not_the_callers_fault() {
        for caller in [of_tenant(), of_installation()] {
            for reply in [Reply::ServerFailure, Reply::Silence] {
                let error = refusal(&caller, reply).await;
                assert_eq!(error.code(), Code::Unavailable, "{error:?}");
            }
        }
    }

    #[tokio::test]
    async fn g5_a_tenant_hears_the_same_of_a_name_that_is_nobodys_and_of_one_that_is_inside() {
        for (caller, expected) in [(of_tenant(), true), (of_installation(), false)] {
            let inside = refusal(&caller, inside()).await;
            let nobody = refusal(&caller, Reply::NoSuchName).await;
            assert_eq!(inside.code(), Code::InvalidArgument);
            assert_eq!(nobody.code(), Code::InvalidArgument);
            let begin = format!("url: {TARGET_NOT_ALLOWED}");
            assert!(inside.to_string().starts_with(&begin), "{inside}");
            assert!(nobody.to_string().starts_with(&begin), "{nobody}");
            assert_eq!(inside.to_string() == nobody.to_string(), expected);
        }
    }
}
