//! Digests, signatures, keys, and the forms in which bytes come.

pub(crate) mod asym;
pub(crate) mod compare;
pub(crate) mod digest;
pub(crate) mod encoding;
pub(crate) mod inflate;
pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod secret;
pub(crate) mod signature;
