//! The connection to the control plane.
//!
//! It is the installation's own and not an endpoint's, so the address guard has no say in it.

use std::time::Duration;

use posthorn::node::v1::node_service_client::NodeServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::Error;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// HTTP/2 pings find a dead control plane within the two together: 9 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(6);
/// How much the control plane may send ahead, in bytes: a batch of leases.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The largest message that is read, in bytes: a lease with the largest body that a source can take, which comes alone,
/// and 1 MiB for its head.
const MESSAGE_BYTES_MAX: usize = (25 + 1) * 1024 * 1024;

/// Where the control plane is and how it is reached. Does not connect yet.
pub(crate) fn endpoint(url: &str, ca_pem: Option<Vec<u8>>) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(Error::ControlPlaneUrl)?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let tls = match ca_pem {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_webpki_roots(),
    };
    endpoint.tls_config(tls).map_err(Error::ControlPlaneUrl)
}

/// Connects.
#[expect(
    clippy::disallowed_methods,
    reason = "the channels of a node to its control plane"
)]
pub(crate) async fn connect(
    endpoint: &Endpoint,
) -> Result<NodeServiceClient<Channel>, tonic::transport::Error> {
    let channel = endpoint.connect().await?;
    Ok(NodeServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
