//! Makes up for a change that was committed but could not be published: the database went away in between, or before it
//! answered the commit.

use std::time::Duration;

use crate::{dispatch::Dispatch, registry::SharedRegistry};

/// How often it is looked whether there is such a change.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the registry like the database for ever.
pub(crate) async fn keep_mended(registry: SharedRegistry, dispatch: Dispatch) {
    loop {
        match registry.mend().await {
            Ok(false) => (),
            Ok(true) => {
                tracing::info!(
                    "the registry was read anew after a change that could not be published"
                );
                for endpoint in registry.snapshot().endpoints() {
                    dispatch.endpoint_changed(endpoint);
                }
            }
            Err(error) => {
                tracing::warn!(error = ?error, "the registry may be stale and cannot be read anew yet");
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
