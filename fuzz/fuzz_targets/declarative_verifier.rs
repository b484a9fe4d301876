//! Records of providers and of users against any request: nothing panics and no MAC is right by chance.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| posthorn_verify::fuzzing::declarative_verifier(data));
