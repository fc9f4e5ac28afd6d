//! What a manifest says about calls: the dependencies of the agent, and the splits of their providers.

use std::collections::BTreeMap;

use mesh_api::capability;
use mesh_api::dependency::Dependency;
use mesh_api::document::{Fields, Findings, number, parsed, word};
use serde_json::Value;

use super::duration::duration;
use crate::hedge::Hedge;
use crate::offer::Choice;
use crate::split::{Branch, MAX_BRANCHES, Split};
use crate::terms::Terms;

/// Most repeats of one call.
const MAX_RETRIES: u64 = 10;
/// Most tools that can be asked for.
const MAX_TOOLS: u64 = 1_000_000;
/// Largest weight of a branch.
const MAX_WEIGHT: f64 = 1_000_000.0;

/// Reads a dependency, and notes its terms: `{capability, version_constraint, label_selector, required, timeout, retries,
/// policy, hedge}`, or a name alone.
pub(super) fn read_dependency(
    value: &Value,
    at: &str,
    findings: &mut Findings,
    terms: &mut BTreeMap<String, Terms>,
) -> Option<Dependency> {
    if value.is_string() {
        let dependency = Dependency::read_name(value, at, findings)?;
        terms.entry(dependency.capability.clone()).or_default();
        return Some(dependency);
    }
    let mut fields = Fields::open(value, at, findings)?;
    let dependency = Dependency::read_fields(&mut fields);
    let terms = terms.entry(dependency.capability.clone()).or_default();
    terms.version_constraint = dependency.version_constraint.clone();
    terms.label_selector = dependency.label_selector.clone();
    terms.timeout = fields.optional("timeout", duration);
    terms.retries = fields.optional("retries", retries);
    terms.policy = fields.optional("policy", parsed).unwrap_or_default();
    terms.hedge = fields.optional("hedge", hedge).flatten();
    fields.close();
    Some(dependency)
}

/// Reads a split, and notes it: `{capability, split: [{version, labels, weight}]}`.
pub(super) fn read_route(
    value: &Value,
    at: &str,
    findings: &mut Findings,
    terms: &mut BTreeMap<String, Terms>,
) -> Option<()> {
    let mut fields = Fields::open(value, at, findings)?;
    let name = word(capability::NAME_RULE, capability::is_name);
    let capability = fields.required("capability", name);
    let branches = fields.list("split", MAX_BRANCHES, read_branch);
    if !branches.iter().any(|branch| branch.weight > 0.0) {
        fields.fault("split", "must have a branch with a weight above 0");
    }
    fields.close();
    terms.entry(capability?).or_default().split = Split { branches };
    Some(())
}

/// Reads which tools the agent is offered: `dependencies` or `all`, or `{tools, max_tools}`.
pub(super) fn read_choice(value: &Value, at: &str, findings: &mut Findings) -> Option<Choice> {
    if !value.is_object() {
        let all = is_all(value).map_err(|fault| findings.fault(at, fault)).ok()?;
        return Some(Choice { all, max: None });
    }
    let mut fields = Fields::open(value, at, findings)?;
    let all = fields.optional("tools", is_all).unwrap_or_default();
    let max = fields.optional("max_tools", max_tools);
    fields.close();
    Some(Choice { all, max })
}

fn is_all(value: &Value) -> Result<bool, String> {
    match value.as_str() {
        Some("all") => Ok(true),
        Some("dependencies") => Ok(false),
        _ => Err(format!("must be 'dependencies' or 'all', got {value}")),
    }
}

fn max_tools(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().filter(|number| (1..=MAX_TOOLS).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("must be a whole number from 1 to {MAX_TOOLS}, got {value}"))
}

fn read_branch(value: &Value, at: &str, findings: &mut Findings) -> Option<Branch> {
    let mut fields = Fields::open(value, at, findings)?;
    let branch = Branch {
        version: fields.optional("version", parsed),
        labels: fields.optional("labels", parsed),
        weight: fields
            .required("weight", number(0.0, MAX_WEIGHT, "a share of the calls"))
            .unwrap_or_default(),
    };
    fields.close();
    Some(branch)
}

fn retries(value: &Value) -> Result<u32, String> {
    let number = value.as_u64().filter(|number| *number <= MAX_RETRIES);
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| format!("must be a whole number from 0 to {MAX_RETRIES}, got {value}"))
}

/// `true` for a delay that is measured, `false` for none, or the delay.
fn hedge(value: &Value) -> Result<Option<Hedge>, String> {
    match value {
        Value::Bool(true) => Ok(Some(Hedge::Measured)),
        Value::Bool(false) => Ok(None),
        other => duration(other).map(|delay| Some(Hedge::After(delay))),
    }
}
