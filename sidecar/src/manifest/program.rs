//! An agent that the sidecar runs itself: `endpoint: {stdio: {command, args, env, cwd}}`.

use std::collections::BTreeMap;

use mesh_api::document::{Fields, Findings, kind, string, text};
use serde_json::Value;

use crate::bridge::child::Program;

/// Longest path, argument and value, in characters.
const LONGEST: usize = 32 * 1024;
/// Most arguments.
const MAX_ARGS: usize = 1_000;

/// Reads the value of `endpoint` that is an object.
pub(super) fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Program> {
    let mut fields = Fields::open(value, at, findings)?;
    let is_missing = fields.optional("stdio", |_| Ok(())).is_none();
    let program = fields.nested("stdio", read_stdio);
    if is_missing {
        fields.fault("stdio", "field is required: what to run, such as {command: python, args: [agent.py]}");
    }
    fields.close();
    program
}

fn read_stdio(value: &Value, at: &str, findings: &mut Findings) -> Option<Program> {
    let mut fields = Fields::open(value, at, findings)?;
    let command = fields.required("command", |value| text(1, LONGEST)(value).and_then(without_nul));
    let args = fields.list("args", MAX_ARGS, |value, at, findings| {
        scalar(value).map_err(|message| findings.fault(at, message)).ok()
    });
    let env = fields.nested("env", read_env).unwrap_or_default();
    let cwd = fields.optional("cwd", |value| text(1, LONGEST)(value).and_then(without_nul));
    fields.close();
    Some(Program { command: command?, args, env, cwd })
}

fn read_env(value: &Value, at: &str, findings: &mut Findings) -> Option<BTreeMap<String, String>> {
    let Value::Object(variables) = value else {
        findings.fault(at, format!("must be an object of names and values, got {}", kind(value)));
        return None;
    };
    let mut env = BTreeMap::new();
    for (name, value) in variables {
        let at = format!("{at}.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            findings.fault(&at, "must have the name of a variable, without '='");
        }
        match scalar(value) {
            Ok(value) => _ = env.insert(name.clone(), value),
            Err(message) => findings.fault(&at, message),
        }
    }
    Some(env)
}

/// Programs know only texts, and people write numbers as they are.
fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => string(other).and_then(without_nul),
    }
}

fn without_nul(text: String) -> Result<String, String> {
    if text.contains('\0') { Err("must not contain a NUL character".to_owned()) } else { Ok(text) }
}
