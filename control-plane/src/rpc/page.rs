//! Pages of lists: how many rows, from where on, and the token that leads to the next page.
//!
//! A token holds the last row's key and a hash of it and of the query, so that a token of another list, tenant or filter
//! is refused, as is one that was cut or changed. It is no credential: every page is read within the caller's tenant.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{error::Error, store::Scanned};

/// How many rows a page has when the caller does not say.
const PAGE_ROWS_DEFAULT: i32 = 50;
/// How many rows a page has at most.
const PAGE_ROWS_MAX: i32 = 500;
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 1_024;
const TAG_BYTES: usize = 16;

/// What a list was asked for, page aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryFingerprint([u8; 32]);

/// One page of a list.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// How many rows it has at most.
    limit: i32,
    /// The key of the row that it begins after.
    after: Option<Vec<u8>>,
    query: QueryFingerprint,
}

impl QueryFingerprint {
    /// The query of one RPC: its tenant, and each of its filters, in an order that does not change.
    pub(crate) fn new(rpc: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"posthorn.page.v1");
        for part in std::iter::once(&rpc.as_bytes()).chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn tag(&self, key: &[u8]) -> [u8; TAG_BYTES] {
        let digest = Sha256::new_with_prefix(self.0).chain_update(key).finalize();
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest[..TAG_BYTES]);
        tag
    }
}

impl Page {
    /// Reads a request's `page_size` and `page_token`.
    pub(crate) fn parse(
        page_size: i32,
        token: &str,
        query: QueryFingerprint,
    ) -> Result<Self, Error> {
        let limit = match page_size {
            ..0 => return Err(Error::invalid("page_size", "must not be negative")),
            0 => PAGE_ROWS_DEFAULT,
            1.. => page_size.min(PAGE_ROWS_MAX),
        };
        let after = match token {
            "" => None,
            _ => Some(key_of(token, &query).ok_or_else(bad_token)?),
        };
        Ok(Self {
            limit,
            after,
            query,
        })
    }

    /// How many rows to read: one more than the page shows, which tells whether there is a next one.
    pub(crate) fn rows_to_read(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// How many rows it has at most.
    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The key of the row that the page begins after.
    pub(crate) fn after(&self) -> Option<&[u8]> {
        self.after.as_deref()
    }

    /// The same, for a list that is ordered by an id.
    pub(crate) fn after_uuid(&self) -> Result<Option<Uuid>, Error> {
        let id = self.after().map(Uuid::from_slice);
        id.transpose().map_err(|_| bad_token())
    }

    /// The same, for a list that is ordered by a text.
    pub(crate) fn after_text(&self) -> Result<&str, Error> {
        let text = std::str::from_utf8(self.after().unwrap_or_default());
        // No text of ours holds NUL, and PostgreSQL takes none.
        text.ok()
            .filter(|text| !text.contains('\0'))
            .ok_or_else(bad_token)
    }

    /// Cuts the rows that were read to the page, and makes the token of the next one: empty when this is the last.
    pub(crate) fn cut<T, K: AsRef<[u8]>>(
        &self,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> (Vec<T>, String) {
        let limit = self.rows();
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let token = last
            .map(|row| self.token(key(row).as_ref()))
            .unwrap_or_default();
        (rows, token)
    }

    /// The same for a list that looks at so many rows only: where that was not enough for a page, the next one goes on from
    /// there, and this one may be short or empty.
    pub(crate) fn cut_scanned<T>(
        &self,
        scanned: Scanned<T>,
        id: impl Fn(&T) -> Uuid,
    ) -> (Vec<T>, String) {
        let (rows, token) = self.cut(scanned.rows, |row| id(row).into_bytes());
        match scanned.stopped_at {
            Some(stopped_at) if token.is_empty() => (rows, self.token(stopped_at.as_bytes())),
            _ => (rows, token),
        }
    }

    /// The token of the page that begins after the row of that key.
    pub(crate) fn token(&self, key: &[u8]) -> String {
        let mut bytes = self.query.tag(key).to_vec();
        bytes.extend_from_slice(key);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn key_of(token: &str, query: &QueryFingerprint) -> Option<Vec<u8>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (tag, key) = bytes.split_first_chunk::<TAG_BYTES>()?;
    (*tag == query.tag(key)).then(|| key.to_vec())
}

/// The error for a token whose key is none of the list.
pub(crate) fn bad_token() -> Error {
    Error::invalid(
        "page_token",
        "must be the `next_page_token` of the page before, of the same list and query",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(tenant: &[u8]) -> QueryFingerprint {
        QueryFingerprint::new("ListThings", &[tenant])
    }

    fn page(size: i32, token: &str) -> Result<Page, Error> {
        Page::parse(size, token, query(b"one"))
    }

    #[test]
    fn a_page_has_the_size_that_was_asked_for_within_limits() {
        for (size, rows) in [(0, 51), (1, 2), (500, 501), (501, 501), (i32::MAX, 501)] {
            assert_eq!(page(size, "").unwrap().rows_to_read(), rows, "{size}");
        }
        for size in [-1, i32::MIN] {
            assert!(matches!(page(size, ""), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = page(2, &token).unwrap();
            let after = page.after().map_or(0, |key| key[0]);
            let rows = (after + 1..=5).take(3).collect::<Vec<u8>>();
            let (rows, next) = page.cut(rows, |row| [*row]);
            seen.extend(rows);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_page_that_stops_early_is_followed_by_one_that_goes_on_there() {
        let page = page(2, "").unwrap();
        let ids = [9, 8, 7].map(Uuid::from_u128);
        let cut = |rows: &[Uuid], stopped_at: Option<Uuid>| {
            let rows = rows.to_vec();
            page.cut_scanned(Scanned { rows, stopped_at }, |id| *id)
        };
        let token_at = |id: Uuid| page.token(id.as_bytes());
        let stop = Some(Uuid::from_u128(3));
        assert_eq!(cut(&[], stop), (vec![], token_at(Uuid::from_u128(3))));
        assert_eq!(
            cut(&ids[..2], stop),
            (ids[..2].to_vec(), token_at(Uuid::from_u128(3)))
        );
        assert_eq!(cut(&ids, stop), (ids[..2].to_vec(), token_at(ids[1])));
        assert_eq!(cut(&ids[..1], None), (ids[..1].to_vec(), String::new()));
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let token = page(1, "").unwrap().token(b"key");
        assert_eq!(page(1, &token).unwrap().after(), Some(&b"key"[..]));
        for query in [
            query(b"two"),
            query(b""),
            QueryFingerprint::new("ListOthers", &[b"one"]),
            QueryFingerprint::new("ListThings", &[b"o", b"ne"]),
            QueryFingerprint::new("ListThings", &[b"one", b""]),
        ] {
            assert!(Page::parse(1, &token, query).is_err());
        }
    }

    #[test]
    fn a_token_that_is_none_is_refused() {
        let token = page(1, "").unwrap().token(Uuid::nil().as_bytes());
        for length in 1..token.len() {
            assert!(page(1, &token[..length]).is_err(), "{length}");
        }
        for token in [
            "x",
            "AAAA",
            "not base64",
            &"A".repeat(5_000),
            &format!("{token}="),
        ] {
            assert!(page(1, token).is_err(), "{token}");
        }
        let short = page(1, "").unwrap().token(b"short");
        assert!(page(1, &short).unwrap().after_uuid().is_err());
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(place: prop::sample::Index, to in "[A-Za-z0-9_-]") {
            let token = page(1, "").unwrap().token(&[7; 16]);
            let place = place.index(token.len() - 1);
            let changed = format!("{}{to}{}", &token[..place], &token[place + 1..]);
            prop_assume!(changed != token);
            prop_assert!(page(1, &changed).is_err());
        }
    }
}
