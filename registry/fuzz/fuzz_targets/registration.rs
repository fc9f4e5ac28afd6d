//! Registration documents: bytes to JSON to a registration; what is accepted is written so that it is read again the
//! same, by the reader of documents and by the reader of answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_api::agent::Registration;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok((registration, _)) = Registration::from_value(&document) else { return };
    let written = serde_json::to_vec(&registration).expect("a registration is JSON");
    let value = serde_json::from_slice::<Value>(&written).expect("what was written is JSON");
    let text = String::from_utf8_lossy(&written);
    let again = Registration::from_value(&value);
    assert_eq!(again.as_ref(), Ok(&(registration.clone(), Vec::new())), "written as {text}");
    let answer = serde_json::from_slice::<Registration>(&written).expect("clients can read it");
    assert_eq!(answer, registration, "written as {text}");
});
