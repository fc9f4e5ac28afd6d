//! Query strings of both discovery routes: what is read is printed so that it is read again the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_api::query::{AgentQuery, CapabilityQuery};

fuzz_target!(|text: &str| {
    if let Ok(query) = AgentQuery::parse(text) {
        let printed = query.to_string();
        assert_eq!(AgentQuery::parse(&printed).as_ref(), Ok(&query), "printed as {printed:?}");
    }
    if let Ok(query) = CapabilityQuery::parse(text) {
        let printed = query.to_string();
        assert_eq!(CapabilityQuery::parse(&printed).as_ref(), Ok(&query), "printed as {printed:?}");
    }
});
