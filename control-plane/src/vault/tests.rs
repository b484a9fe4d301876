//! What the vault keeps to, whatever bytes it meets.

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::*;
use crate::model::{
    id::{EndpointId, SecretId, SourceId, TenantId},
    secret::{Owner, Purpose},
};

fn rng() -> StdRng {
    StdRng::seed_from_u64(11)
}

fn keyring(seeds: &[u64]) -> Keyring {
    use secrecy::ExposeSecret as _;

    let keys = seeds
        .iter()
        .map(|seed| Keyring::generate(&mut StdRng::seed_from_u64(*seed)));
    let text = keys
        .map(|key| key.expose_secret().to_owned())
        .collect::<Vec<_>>();
    Keyring::parse(&text.join("\n").into()).unwrap()
}

fn vault(seeds: &[u64]) -> Vault {
    Vault::new(keyring(seeds))
}

fn binding() -> Binding {
    Binding {
        tenant_id: TenantId::from_uuid(Uuid::from_u128(1)),
        owner: EndpointId::from_uuid(Uuid::from_u128(3)).into(),
        id: SecretId::from_uuid(Uuid::from_u128(2)),
        version: 1,
        purpose: Purpose::Header("x-a".to_owned()),
    }
}

fn seal(vault: &Vault, rng: &mut StdRng) -> SealedSecret {
    vault.seal(b"a secret", binding(), 1, rng).unwrap()
}

fn sealed(vault: &Vault) -> Vec<u8> {
    seal(vault, &mut rng()).sealed
}

#[test]
fn what_was_sealed_opens() {
    let vault = vault(&[1]);
    let record = sealed(&vault);
    assert_eq!(
        vault.open(&record, &binding()).unwrap().as_slice(),
        b"a secret"
    );
    assert!(!record.windows(8).any(|window| window == b"a secret"));
}

#[test]
fn a_record_that_is_moved_does_not_open() {
    let vault = vault(&[1]);
    let record = sealed(&vault);
    let moved = |change: fn(&mut Binding)| {
        let mut binding = binding();
        change(&mut binding);
        binding
    };
    for other in [
        moved(|it| it.tenant_id = TenantId::from_uuid(Uuid::from_u128(9))),
        moved(|it| it.owner = EndpointId::from_uuid(Uuid::from_u128(9)).into()),
        moved(|it| it.owner = Owner::Source(SourceId::from_uuid(it.owner.uuid()))),
        moved(|it| it.id = SecretId::from_uuid(Uuid::from_u128(9))),
        moved(|it| it.version = 2),
        moved(|it| it.purpose = Purpose::Header("x-b".to_owned())),
        moved(|it| it.purpose = Purpose::Signing),
    ] {
        assert_eq!(
            vault.open(&record, &other),
            Err(OpenError::Damaged),
            "{other:?}"
        );
        let rewrap = Vault::new(keyring(&[2, 1])).rewrap(&record, &other, &mut rng());
        assert_eq!(rewrap, Err(OpenError::Damaged), "{other:?}");
    }
}

#[test]
fn a_key_that_is_not_configured_is_named() {
    let record = sealed(&vault(&[1]));
    let id = vault(&[1]).current_id();
    assert_eq!(
        vault(&[2]).open(&record, &binding()),
        Err(OpenError::UnknownKey(id))
    );
    assert_eq!(
        vault(&[2]).rewrap(&record, &binding(), &mut rng()),
        Err(OpenError::UnknownKey(id))
    );
}

#[test]
fn after_a_rewrap_the_former_key_can_go() {
    let vault = vault(&[1]);
    let record = sealed(&vault);
    assert!(vault.replace(keyring(&[2, 1])));
    assert!(!vault.replace(keyring(&[2, 1])));
    assert_eq!(
        vault.open(&record, &binding()).unwrap().as_slice(),
        b"a secret"
    );
    let Rewrap::Rewrapped(record) = vault.rewrap(&record, &binding(), &mut rng()).unwrap() else {
        panic!("the record is sealed under the former key");
    };
    assert!(vault.replace(keyring(&[2])));
    assert_eq!(
        vault.open(&record, &binding()).unwrap().as_slice(),
        b"a secret"
    );
    assert_eq!(
        vault.rewrap(&record, &binding(), &mut rng()),
        Ok(Rewrap::Current)
    );
}

#[test]
fn two_seals_of_one_secret_have_nothing_in_common_but_their_key() {
    let vault = vault(&[1]);
    let mut rng = rng();
    let (first, second) = (seal(&vault, &mut rng).sealed, seal(&vault, &mut rng).sealed);
    assert_eq!(first[..5], second[..5]);
    assert_eq!(first[1..5], vault.current_id().0);
    assert_ne!(first[5..], second[5..]);
}

#[test]
fn a_fingerprint_tells_secrets_apart_and_depends_on_the_master_key() {
    let (one, other) = (vault(&[1]), vault(&[2]));
    assert_eq!(one.fingerprint(b"a"), one.fingerprint(b"a"));
    assert_ne!(one.fingerprint(b"a"), one.fingerprint(b"b"));
    assert_ne!(one.fingerprint(b"a"), other.fingerprint(b"a"));
    assert_eq!(one.fingerprint(b"a").len(), 8);
}

#[test]
fn text_that_is_no_list_of_master_keys_is_refused_without_repeating_it() {
    let long = vec!["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; 17].join(",");
    for (text, error) in [
        ("", KeyringError::Empty),
        (" \n,\n", KeyringError::Empty),
        ("c2hvcnQ=", KeyringError::Malformed(1)),
        (
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nnot-base64",
            KeyringError::Malformed(2),
        ),
        (&long, KeyringError::TooMany),
    ] {
        assert_eq!(Keyring::parse(&text.to_owned().into()).err(), Some(error));
    }
}

#[test]
fn a_master_key_cannot_be_printed() {
    let printed = format!("{:?}", keyring(&[1]));
    assert!(printed.starts_with("Keyring { current: Kek("), "{printed}");
    assert!(printed.len() < 60, "{printed}");
}

proptest! {
    #[test]
    fn bytes_of_any_length_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..=256)) {
        prop_assert!(vault(&[1]).open(&bytes, &binding()).is_err());
    }

    #[test]
    fn a_truncated_record_is_damaged(length in 0_usize..120) {
        let vault = vault(&[1]);
        let record = sealed(&vault);
        let length = length.min(record.len() - 1);
        prop_assert_eq!(vault.open(&record[..length], &binding()), Err(OpenError::Damaged));
    }

    #[test]
    fn a_record_with_any_bit_flipped_does_not_open(place: prop::sample::Index, bit in 0_u8..8) {
        let vault = vault(&[1]);
        let mut record = sealed(&vault);
        let place = place.index(record.len());
        record[place] ^= 1 << bit;
        prop_assert!(vault.open(&record, &binding()).is_err());
    }
}

#[test]
fn a_lease_is_proven_by_every_configured_master_key_and_by_no_other() {
    let old = vault(&[1]);
    let proof = old.lease_proof(b"a lease");
    assert!(old.is_lease_proof(b"a lease", &proof));
    assert!(vault(&[2, 1]).is_lease_proof(b"a lease", &proof));
    assert!(!vault(&[2]).is_lease_proof(b"a lease", &proof));
    assert_ne!(vault(&[2, 1]).lease_proof(b"a lease"), proof);
}

#[test]
fn a_proof_with_another_bit_or_another_length_proves_nothing() {
    let vault = vault(&[1]);
    let proof = vault.lease_proof(b"a lease");
    assert!(!vault.is_lease_proof(b"another", &proof));
    for bit in 0..proof.len() * 8 {
        let mut other = proof;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!vault.is_lease_proof(b"a lease", &other), "bit {bit}");
    }
    for bytes in 0..proof.len() {
        assert!(!vault.is_lease_proof(b"a lease", &proof[..bytes]));
    }
    let longer = [&proof[..], &[0]].concat();
    assert!(!vault.is_lease_proof(b"a lease", &longer));
}
