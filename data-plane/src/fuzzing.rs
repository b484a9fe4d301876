//! Entrances for the fuzz targets: each takes any bytes and must neither panic nor break what it asserts.

/// A connection's bytes at the edge: read the same however they come, and as another HTTP server reads them.
pub fn edge(data: &[u8]) {
    let Some((&piece, bytes)) = data.split_first() else {
        return;
    };
    crate::inbound::edge::fuzz(bytes, usize::from(piece));
}
