//! Forms and JSON: canonical texts do not depend on the order, and the scanner accepts nothing that is no JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| posthorn_verify::fuzzing::form_canonicalisation(data));
