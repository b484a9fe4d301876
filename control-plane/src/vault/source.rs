//! Where master keys come from: a file, or a text that was given.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rand::CryptoRng;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Keyring, KeyringError, LostKeys, SealedUnder};
use crate::config::MASTER_KEY_VARIABLE;

/// How much of a file is taken for keys, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1_024;

/// Where master keys come from.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// A file, which can change while it is in use.
    File(PathBuf),
    /// A text, which cannot.
    Text(SecretString),
}

/// Why there are no master keys. It never holds a part of one.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The file cannot be read or written.
    #[error("the master key file {} cannot be used", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The content is no list of master keys.
    #[error("the master keys cannot be used")]
    Content(#[from] KeyringError),
    /// Sealed secrets need others.
    #[error(transparent)]
    Lost(#[from] LostKeys),
    /// None are configured, and none may be made.
    #[error(
        "a shared database needs a master key that every control plane has: give --master-key-file"
    )]
    Missing,
}

impl KeySource {
    /// The file, unless it is a text.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }

    /// Where it is, in words.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(path) => format!("the file {} has others", path.display()),
            Self::Text(_) => format!("{MASTER_KEY_VARIABLE} has others"),
        }
    }

    /// Reads the keys.
    pub(crate) fn read(&self) -> Result<Keyring, KeySourceError> {
        match self {
            Self::File(path) => {
                let text = read(path).map_err(|error| KeySourceError::File(path.clone(), error))?;
                Ok(Keyring::parse(&text)?)
            }
            Self::Text(text) => Ok(Keyring::parse(text)?),
        }
    }

    /// Uses the file, and writes a new key into it first if it is not there and no secret needs an old one. Only its owner
    /// can read it.
    pub(crate) fn create(
        path: &Path,
        needed: &[SealedUnder],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeySourceError> {
        if !needed.is_empty() && !path.exists() {
            let place = format!("the file {} is not there", path.display());
            return Err(LostKeys::new(needed, place).into());
        }
        match write_new(path, &Keyring::generate(rng)) {
            Ok(()) => tracing::info!(
                "made a master key in {}: back it up, secrets are lost without it",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            Err(error) => return Err(KeySourceError::File(path.to_owned(), error)),
        }
        Ok(Self::File(path.to_owned()))
    }
}

fn read(path: &Path) -> io::Result<SecretString> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no file of at most 64 KiB",
        ));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            "the master key file {} can be read by others than its owner",
            path.display()
        );
    }
    Ok(Zeroizing::new(fs::read_to_string(path)?).as_str().into())
}

fn write_new(path: &Path, key: &SecretString) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(key.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_only_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let mut rng = StdRng::seed_from_u64(1);
        let mut create = |needed: &[SealedUnder]| KeySource::create(&path, needed, &mut rng);
        let sealed = SealedUnder {
            kek_id: "0a1b2c3d".to_owned(),
            secrets: 2,
        };
        let lost = create(std::slice::from_ref(&sealed)).unwrap_err();
        assert!(matches!(lost, KeySourceError::Lost(_)) && !path.exists());
        let first = create(&[]).unwrap().read().unwrap();
        let second = create(&[sealed]).unwrap().read().unwrap();
        assert!(first.is_same(&second));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        fs::write(&empty, "").unwrap();
        for path in [
            directory.path(),
            &directory.path().join("missing"),
            Path::new("/dev/zero"),
        ] {
            let read = KeySource::File(path.to_owned()).read();
            assert!(
                matches!(read, Err(KeySourceError::File(..))),
                "{}",
                path.display()
            );
        }
        let read = KeySource::File(empty).read();
        assert!(matches!(
            read,
            Err(KeySourceError::Content(KeyringError::Empty))
        ));
    }
}
