//! What comes over a connection at the edge: nothing panics, and nothing is read in two ways.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| posthorn_data_plane::fuzzing::edge(data));
