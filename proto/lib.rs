//! The contract between Posthorn's planes, and between Posthorn and its callers.
//!
//! Everything here is generated from `proto/posthorn/**/*.proto`, where each service, message and field is documented.
//! Nothing is written by hand, and nothing of ours is depended on.

/// Package `posthorn.v1`: what callers use.
pub mod v1 {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]

    tonic::include_proto!("posthorn.v1");

    /// The descriptors of both packages and of all that they import, for reflection and for the tests.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/posthorn.bin"));
}

/// The protocol between the planes.
pub mod node {
    /// Package `posthorn.node.v1`.
    pub mod v1 {
        #![allow(missing_docs, clippy::all, clippy::pedantic)]

        tonic::include_proto!("posthorn.node.v1");
    }
}
