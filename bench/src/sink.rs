//! The receiver under load, on threads of its own.

use posthorn_harness::{Arrival, Receiver};
use tokio::runtime::{Builder, Runtime};

/// A receiver that answers 200 to everything, apart from the runtime of the load generator.
#[derive(Debug)]
pub(crate) struct Sink {
    receiver: Receiver,
    runtime: Option<Runtime>,
}

impl Sink {
    /// Starts one that shows each request to `observer`.
    pub(crate) async fn start(observer: impl Fn(&Arrival<'_>) + Send + Sync + 'static) -> Self {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("sink")
            .build()
            .expect("a runtime can be made");
        let receiver = runtime
            .spawn(Receiver::observed(observer))
            .await
            .expect("the receiver starts");
        Self {
            receiver,
            runtime: Some(runtime),
        }
    }

    /// The receiver.
    pub(crate) fn receiver(&self) -> &Receiver {
        &self.receiver
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
