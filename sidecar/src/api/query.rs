//! The discovery vocabulary of a call, as it stands in the query string.

use mesh_api::capability;
use mesh_api::error::Fault;
use mesh_api::query::CapabilityQuery;

use crate::error::CallError;

/// Every namespace.
const EVERYWHERE: &str = "*";

/// What is asked of the registry for a call of `capability` with this raw query string.
///
/// # Errors
/// Every fault of the name and the query.
pub fn of_call(capability: &str, raw: &str, own_namespace: &str) -> Result<CapabilityQuery, CallError> {
    let mut faults = Vec::new();
    if !capability::is_name(capability) {
        faults.push(Fault::new("capability", format!("must be {}", capability::NAME_RULE)));
    }
    let mut query = CapabilityQuery::parse(raw).unwrap_or_else(|mut more| {
        faults.append(&mut more);
        CapabilityQuery::default()
    });
    let unfit = [
        ("name", query.capability.name.is_some()),
        ("fuzzy_match", query.fuzzy_match),
        ("limit", query.paging.limit.is_some()),
        ("continue", query.paging.continue_token.is_some()),
    ];
    faults.extend(
        unfit.iter().filter(|(_, given)| *given).map(|(name, _)| Fault::new(*name, "has no place in a call")),
    );
    if !faults.is_empty() {
        return Err(CallError::Invalid(faults));
    }
    query.capability.name = Some(capability.to_owned());
    // The balancer judges the health of everybody itself, and whoever names a deprecated capability wants it.
    query.agent_status = Vec::new();
    query.include_deprecated = true;
    query.agent_namespace = match query.agent_namespace.take() {
        None => Some(own_namespace.to_owned()),
        Some(everywhere) if everywhere == EVERYWHERE => None,
        named => named,
    };
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stay_in_their_own_namespace_unless_told_otherwise() {
        let namespace = |raw| of_call("summarize", raw, "prod").unwrap().agent_namespace;
        assert_eq!(namespace(""), Some("prod".to_owned()));
        assert_eq!(namespace("namespace=test"), Some("test".to_owned()));
        assert_eq!(namespace("namespace=*"), None);
    }

    #[test]
    fn every_fault_is_named() {
        let CallError::Invalid(faults) =
            of_call("9x", "versoin_constraint=1&limit=3&fuzzy_match=true", "d").unwrap_err()
        else {
            panic!("not a list of faults")
        };
        assert_eq!(faults.len(), 2, "{faults:?}");
        let CallError::Invalid(faults) = of_call("x", "limit=3&fuzzy_match=true&name=y", "d").unwrap_err()
        else {
            panic!("not a list of faults")
        };
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
