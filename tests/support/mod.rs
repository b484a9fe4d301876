//! What the tests share: running one test on both databases, reading refusals, waiting for deliveries.

pub(crate) mod batch_provider;
pub(crate) mod descriptor;
pub(crate) mod follow;
pub(crate) mod grpcurl;
pub(crate) mod hand_consumer;
pub(crate) mod hand_edge;
pub(crate) mod hand_node;
pub(crate) mod help;
pub(crate) mod page;
pub(crate) mod passing;
pub(crate) mod pause;
pub(crate) mod raw;
pub(crate) mod refusal;
pub(crate) mod restart;
pub(crate) mod time;

use std::{path::PathBuf, time::Duration};

/// How long anything may take before a test gives up. No test measures time; this only ends those that hang.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Ids that are well-formed and belong to nothing.
pub(crate) mod unknown {
    pub(crate) const TENANT: &str = "tnt_01h455vb4pex5vsknk084sn02q";
    pub(crate) const ENDPOINT: &str = "ep_01h455vb4pex5vsknk084sn02q";
    pub(crate) const EVENT: &str = "evt_01h455vb4pex5vsknk084sn02q";
    pub(crate) const DELIVERY: &str = "dlv_01h455vb4pex5vsknk084sn02q";
    pub(crate) const SOURCE: &str = "src_01h455vb4pex5vsknk084sn02q";
    pub(crate) const INBOUND: &str = "in_01h455vb4pex5vsknk084sn02q";
}

/// Runs each of the functions named, which take a `StoreKind`, as one test per database.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() {
                super::$test(posthorn_harness::StoreKind::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test] async fn $test() {
                super::$test(posthorn_harness::StoreKind::Postgres).await;
            })*
        }
    };
}

/// Bytes in hexadecimal digits, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The top of the source tree.
pub(crate) fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `scripts/test` put into `target/tools`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = source().join("target/tools/bin").join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/test once",
        path.display()
    );
    path
}
