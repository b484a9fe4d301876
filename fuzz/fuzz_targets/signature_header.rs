//! Signature headers of every written form: whatever they hold, few entries come out and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| posthorn_verify::fuzzing::signature_header(data));
