//! The parameters of our agent's tools that calls repeat in headers: a program gets no headers, so they are checked for it.
//!
//! Which they are is said by the schemas with which the agent is registered.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use mesh_api::agent::Registration;
use mesh_mcp::param_header::ToolParams;
use tokio::sync::watch;

use crate::inventory::Document;

/// Knows which parameters stand in headers.
#[derive(Debug)]
pub(super) struct Schemas {
    document: watch::Receiver<Document>,
    read: ArcSwapOption<Read>,
}

/// What was read of one version of the registration.
#[derive(Debug)]
struct Read {
    registration: Arc<Registration>,
    params: Arc<ToolParams>,
}

impl Schemas {
    /// Those of the agent that is registered as `document` says.
    pub(super) fn of(document: watch::Receiver<Document>) -> Self {
        Self { document, read: ArcSwapOption::empty() }
    }

    /// The parameters, as the agent is registered now.
    pub(super) fn params(&self) -> Arc<ToolParams> {
        let registration = Arc::clone(&self.document.borrow().registration);
        if let Some(read) = &*self.read.load()
            && Arc::ptr_eq(&read.registration, &registration)
        {
            return Arc::clone(&read.params);
        }
        let tools = registration.capabilities.iter();
        let tools = tools.filter_map(|tool| Some((tool.name.as_str(), tool.input_schema.as_ref()?)));
        let params = Arc::new(ToolParams::of(tools));
        self.read.store(Some(Arc::new(Read { registration, params: Arc::clone(&params) })));
        params
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(property: &Value) -> Document {
        let schema = json!({"type": "object", "properties": {"region": property}});
        let registration = json!({"id": "a", "endpoint": "http://h:1/",
            "capabilities": [{"name": "work", "input_schema": schema}, {"name": "other"}]});
        let registration = Arc::new(Registration::from_value(&registration).unwrap().0);
        Document { registration, pending: None }
    }

    #[test]
    fn what_is_checked_is_what_the_agent_is_registered_with_now() {
        let (sender, receiver) = watch::channel(document(&json!({"type": "string"})));
        let schemas = Schemas::of(receiver);
        let check = || schemas.params().check("work", br#"{"region":"eu"}"#, &http::HeaderMap::new());
        assert_eq!(check(), Ok(()));
        assert!(Arc::ptr_eq(&schemas.params(), &schemas.params()));
        sender.send(document(&json!({"type": "string", "x-mcp-header": "Region"}))).unwrap();
        assert!(check().unwrap_err().contains("mcp-param-region"));
    }
}
