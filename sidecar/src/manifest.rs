//! The manifest: a registration document in YAML that a person can read, plus what only the sidecar needs.
//!
//! Everything that is wrong with it is reported at once, each fault with file, line and column. An unknown key is a
//! fault here, though the registry accepts one: in a manifest it is a typo.

mod calls;
mod tools;

mod duration;
mod program;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;

use mesh_api::agent::{self, Registration};
use mesh_api::dependency::MAX_DEPENDENCIES;
use mesh_api::document::{Fields, Findings, UnknownKey, quoted, word};
use mesh_api::endpoint;
use mesh_api::error::Fault;
use mesh_daemon::settings::Problems;
use mesh_daemon::yaml;
use serde_json::Value;

use self::duration::duration;
use crate::bridge;
use crate::bridge::child::Program;
use crate::health::{Probe, is_loopback};
use crate::inventory::Plan;
use crate::offer::Choice;
use crate::terms::Terms;

/// Time between probes of our agent, and time for one.
const PROBE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// Keys of the registration that are numbers of seconds, and may be written as `5s` in a manifest.
const SECONDS_KEYS: [&str; 3] = ["health_interval", "timeout_threshold", "eviction_threshold"];

/// What the manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What the registry is told; its endpoint is what peers call.
    pub registration: Registration,
    /// Where our agent listens; a name alone when the sidecar runs it.
    pub endpoint: String,
    /// The program that is our agent, when the sidecar runs it.
    pub program: Option<Program>,
    /// Whether the manifest says itself what peers call.
    pub is_advertised: bool,
    /// How our agent is probed.
    pub probe: Probe,
    /// How our agent is asked for its tools, if it is.
    pub tools: Option<Plan>,
    /// What it says about calls of single capabilities.
    pub terms: BTreeMap<String, Terms>,
    /// Which tools of the mesh the agent is offered.
    pub offered: Choice,
}

/// Reads the manifest in `file`; `variable` looks up environment variables.
///
/// # Errors
/// Every fault with its place.
pub fn load(file: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Manifest, Problems> {
    let text =
        std::fs::read_to_string(file).map_err(|fault| problem(format!("{file}: cannot be read: {fault}")))?;
    parse(&text, file, variable)
}

/// Reads a manifest that is called `file` in messages.
///
/// # Errors
/// Every fault with its place.
pub fn parse(
    text: &str,
    file: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Manifest, Problems> {
    let mut document = yaml::parse(text, file).map_err(problem)?;
    let mut findings = Findings::default();
    findings.faults.append(&mut document.faults);
    expand(&mut document.value, "", &variable, &mut findings);
    spell_out_seconds(&mut document.value);
    let manifest = Fields::open(&document.value, "", &mut findings).map(|mut fields| {
        let manifest = Manifest::read(&mut fields);
        fields.close();
        manifest
    });
    let unknown = std::mem::take(&mut findings.unknown).into_iter().map(UnknownKey::into_fault);
    findings.faults.extend(unknown);
    keep_first_fault_of_each_path(&mut findings.faults);
    findings.conclude(manifest).map(|(manifest, _)| manifest).map_err(|faults| {
        let mut problems = Problems::default();
        problems.add(faults, |path| document.places.of(path));
        problems
    })
}

/// A variable that is not set makes the value wrong as well; the first fault says what to do.
fn keep_first_fault_of_each_path(faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    faults.retain(|fault| seen.insert(fault.path.clone()));
}

// === impl Manifest ===

impl Manifest {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        let id = fields.required("id", word(agent::ID_RULE, agent::is_id)).unwrap_or_default();
        let (own, program) = read_endpoint(fields, &id);
        let advertised = fields.optional("advertise", callable);
        let mut terms = BTreeMap::new();
        let dependencies = fields.list("dependencies", MAX_DEPENDENCIES, |value, at, findings| {
            calls::read_dependency(value, at, findings, &mut terms)
        });
        fields.list("routes", MAX_DEPENDENCIES, |value, at, findings| {
            calls::read_route(value, at, findings, &mut terms)
        });
        let probe = fields.nested("health", |value, at, findings| read_probe(&own, value, at, findings));
        let (is_advertised, probe) = (advertised.is_some(), probe.unwrap_or_else(|| default_probe(&own)));
        let advertised = advertised.unwrap_or_else(|| own.clone());
        let offered = fields.nested("mesh", calls::read_choice).unwrap_or_default();
        let (capabilities, tools) = tools::read(fields);
        let registration = Registration::read_rest(fields, id, advertised, capabilities, dependencies);
        Self { registration, endpoint: own, program, is_advertised, probe, tools, terms, offered }
    }

    /// Whether our agent can be served by an inbound port at `address`.
    ///
    /// # Errors
    /// What to set.
    pub fn check_inbound(&self, address: SocketAddr) -> Result<(), String> {
        if address.ip().is_unspecified() && !self.is_advertised {
            let (port, path) = (address.port(), self.path());
            return Err(format!(
                "peers cannot be told to call {address}, which is no address of a host: set 'advertise' in the \
                 manifest, for example advertise: http://${{POD_IP}}:{port}{path}"
            ));
        }
        let agent = self.probe.authority.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>();
        let is_same = |agent: SocketAddr| {
            let (own, other) = (address.ip(), agent.ip());
            agent.port() == address.port() && (own == other || own.is_unspecified() && other.is_loopback())
        };
        if agent.is_ok_and(is_same) {
            return Err(format!(
                "{address} is where our agent listens (endpoint: {}): give the port for peers another address",
                self.endpoint
            ));
        }
        Ok(())
    }

    /// Peers call the inbound port at `address`, unless the manifest says something else.
    pub fn advertise_inbound(&mut self, address: SocketAddr) {
        if !self.is_advertised {
            self.registration.endpoint = format!("http://{address}{}", self.path());
        }
    }

    /// Path and query of our agent's endpoint.
    fn path(&self) -> String {
        if self.program.is_some() {
            return bridge::PATH.to_owned();
        }
        let uri = self.endpoint.parse::<Uri>().ok();
        uri.and_then(|uri| uri.path_and_query().map(ToString::to_string)).unwrap_or_default()
    }

    /// What a person should know although it is no fault.
    pub fn remarks(&self) -> Vec<String> {
        let authority = Probe::authority_of(&self.registration.endpoint).unwrap_or_default();
        let remark = format!(
            "peers are told to call {}, which only this host can reach; set 'advertise' to an address that they can",
            self.registration.endpoint
        );
        if is_loopback(&authority) { vec![remark] } else { Vec::new() }
    }
}

/// Where our agent listens, or the program that it is.
fn read_endpoint(fields: &mut Fields<'_, '_>, id: &str) -> (String, Option<Program>) {
    if fields.optional("endpoint", |value| Ok(value.is_object())) != Some(true) {
        return (fields.required("endpoint", callable).unwrap_or_default(), None);
    }
    if fields.optional("health", |_| Ok(())).is_some() {
        fields.fault("health", "is for agents that listen; one that the sidecar runs is up when it answers");
    }
    (format!("stdio://{id}"), fields.nested("endpoint", program::read))
}

fn callable(value: &Value) -> Result<String, String> {
    let url = endpoint::read(value)?;
    if url.starts_with("stdio:") {
        return Err(format!(
            "must be an http: or https: URL, or {{stdio: {{command: …, args: […]}}}} with a program to run, got {}",
            quoted(&url)
        ));
    }
    Ok(url)
}

fn read_probe(own: &str, value: &Value, at: &str, findings: &mut Findings) -> Option<Probe> {
    let default = default_probe(own);
    let mut fields = Fields::open(value, at, findings)?;
    let path = fields.optional(
        "path",
        word("a path such as /health", |path| {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        }),
    );
    if path.is_some() && own.starts_with("https:") {
        fields.fault("path", "works with http: endpoints only; leave it out to probe the port");
    }
    let probe = Probe {
        path,
        interval: fields.optional("interval", duration).unwrap_or(default.interval),
        timeout: fields.optional("timeout", duration).unwrap_or(default.timeout),
        ..default
    };
    fields.close();
    Some(probe)
}

fn default_probe(own: &str) -> Probe {
    let authority = Probe::authority_of(own).unwrap_or_default();
    Probe { authority, path: None, interval: PROBE.0, timeout: PROBE.1 }
}

/// Makes numbers of what is written as a duration, or came out of a variable, where the registration has numbers.
fn spell_out_seconds(manifest: &mut Value) {
    let Value::Object(object) = manifest else { return };
    for key in SECONDS_KEYS {
        if let Some(value @ Value::String(_)) = object.get_mut(key)
            && let Ok(duration) = duration(value)
        {
            *value = Value::from(duration.as_secs_f64());
        }
    }
    if let Some(Value::String(weight)) = object.get("weight")
        && let Ok(weight) = weight.parse::<f64>()
    {
        object.insert("weight".to_owned(), Value::from(weight));
    }
}

/// Replaces `${VAR}` and `${VAR:-default}` in every string.
fn expand(value: &mut Value, at: &str, variable: &impl Fn(&str) -> Option<String>, findings: &mut Findings) {
    match value {
        Value::String(text) if text.contains("${") => match expand_text(text, variable) {
            Ok(expanded) => *text = expanded,
            Err(message) => findings.fault(at, message),
        },
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{at}[{i}]"), variable, findings);
            }
        }
        Value::Object(object) => {
            for (key, item) in object {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                expand(item, &at, variable, findings);
            }
        }
        _ => {}
    }
}

fn expand_text(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, after) =
            after.split_once('}').ok_or_else(|| "has a '${' without its '}'".to_owned())?;
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (reference, None),
        };
        let value = variable(name).filter(|value| default.is_none() || !value.is_empty()).or(default);
        let value = value.ok_or_else(|| {
            format!("uses the variable {name}, which is not set; set it or write ${{{name}:-default}}")
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn problem(line: impl Into<String>) -> Problems {
    let mut problems = Problems::default();
    problems.add([Fault::new("", line)], |_| String::new());
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, Vec<String>> {
        let variable = |name: &str| (name == "HOSTNAME").then(|| "pod-7".to_owned());
        parse(text, "agent.yaml", variable).map_err(|problems| problems.lines().to_vec())
    }

    #[test]
    fn the_smallest_manifest_is_enough() {
        let manifest = read("id: ${HOSTNAME}-data\nendpoint: http://localhost:8001/mcp\n").unwrap();
        assert_eq!(manifest.registration.id, "pod-7-data");
        assert_eq!((manifest.probe.authority.as_str(), manifest.probe.path), ("localhost:8001", None));
    }

    #[test]
    fn everything_a_manifest_can_say_is_read() {
        let manifest = read(
            "id: a\nendpoint: http://localhost:8001/mcp\nadvertise: http://10.0.0.7:8001/mcp\nhealth_interval: 5s\n\
             weight: ${WEIGHT:-2}\nhealth: {path: /health, interval: 2s, timeout: 500ms}\n\
             capabilities:\n  - name: summarize\n    version: 2.1.0\n    annotations: {readOnlyHint: true}\n\
             dependencies:\n  - word_count\n  - {capability: translate, version_constraint: ^2, timeout: 20s}\n",
        )
        .unwrap();
        assert_eq!(manifest.registration.endpoint, "http://10.0.0.7:8001/mcp");
        assert_eq!((manifest.registration.health_interval, manifest.registration.weight), (5.0, 2.0));
        assert_eq!(
            (manifest.probe.interval, manifest.probe.timeout),
            (Duration::from_secs(2), Duration::from_millis(500))
        );
        assert_eq!(manifest.terms["translate"].timeout, Some(Duration::from_secs(20)));
        assert_eq!(manifest.registration.dependencies.len(), 2);
    }

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let lines = read(
            "id: a b\nendpont: http://localhost:8001/mcp\nid: b\nhealth_interval: soon\nhealth: {path: health, every: 5s}\n\
             capabilities:\n  - name: 9lives\n    version: one\nlabels:\n  env: ${NOT_SET}\ndependencies: [{timeout: 3}]\n",
        )
        .unwrap_err();
        for expected in [
            "agent.yaml:1:1: 'id' stands twice, in lines 1 and 3",
            "agent.yaml: 'endpoint' field is required",
            "agent.yaml:2:1: 'endpont' is not a known key: did you mean 'endpoint'?",
            "agent.yaml:4:1: 'health_interval' must be a number",
            "agent.yaml:5:10: 'health.path' must be a path",
            "agent.yaml:5:24: 'health.every' is not a known key",
            "agent.yaml:7:5: 'capabilities[0].name' must be a letter",
            "agent.yaml:8:5: 'capabilities[0].version' must be a semantic version",
            "agent.yaml:10:3: 'labels.env' uses the variable NOT_SET, which is not set",
            "'dependencies[0].capability' field is required",
        ] {
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected} in {lines:#?}");
        }
    }

    #[test]
    fn which_tools_the_agent_is_offered_is_a_word_or_more_than_that() {
        let offered =
            |mesh: &str| read(&format!("id: a\nendpoint: http://a/mcp\n{mesh}\n")).map(|read| read.offered);
        assert_eq!(offered(""), Ok(Choice { all: false, max: None }));
        assert_eq!(offered("mesh: all"), Ok(Choice { all: true, max: None }));
        assert_eq!(offered("mesh: {tools: all, max_tools: 7}"), Ok(Choice { all: true, max: Some(7) }));
        for (bad, line) in [
            ("mesh: some", "'mesh' must be 'dependencies' or 'all', got \"some\""),
            ("mesh: {tool: all}", "did you mean 'tools'?"),
            ("mesh: {max_tools: 0}", "'mesh.max_tools' must be a whole number from 1"),
        ] {
            assert!(offered(bad).unwrap_err()[0].contains(line), "{bad}: {:?}", offered(bad));
        }
    }

    #[test]
    fn a_loopback_address_is_remarked_on() {
        assert_eq!(read("id: a\nendpoint: http://localhost:8001/mcp\n").unwrap().remarks().len(), 1);
        let reachable = "id: a\nendpoint: http://localhost:8001/mcp\nadvertise: http://10.0.0.7:8001/mcp\n";
        assert!(read(reachable).unwrap().remarks().is_empty());
    }

    #[test]
    fn peers_call_the_inbound_port_unless_the_manifest_says_where() {
        let advertised = |more: &str, inbound: &str| {
            let mut manifest =
                read(&format!("id: a\nendpoint: http://localhost:8001/mcp?x=1\n{more}")).unwrap();
            manifest.check_inbound(inbound.parse().unwrap()).map(|()| {
                manifest.advertise_inbound(inbound.parse().unwrap());
                (manifest.registration.endpoint.clone(), manifest.remarks().len())
            })
        };
        let advertise = "advertise: http://10.0.0.7:15002/mcp\n";
        let expected = |endpoint: &str, remarks| Ok((endpoint.to_owned(), remarks));
        assert_eq!(advertised("", "10.0.0.7:1"), expected("http://10.0.0.7:1/mcp?x=1", 0));
        assert_eq!(advertised("", "[::1]:1"), expected("http://[::1]:1/mcp?x=1", 1));
        assert_eq!(advertised(advertise, "0.0.0.0:1"), expected("http://10.0.0.7:15002/mcp", 0));
        for nowhere in ["0.0.0.0:15002", "[::]:15002"] {
            let fault = advertised("", nowhere).unwrap_err();
            assert!(fault.contains("advertise: http://${POD_IP}:15002/mcp"), "{fault}");
        }
        for taken in ["127.0.0.1:8001", "0.0.0.0:8001"] {
            assert!(advertised(advertise, taken).unwrap_err().contains("where our agent listens"), "{taken}");
        }
        assert!(advertised(advertise, "10.0.0.7:8001").is_ok());
    }

    #[test]
    fn a_stdio_agent_is_refused_in_words() {
        assert!(
            read("id: a\nendpoint: stdio://x\n").unwrap_err()[0].contains("{stdio: {command: …, args: […]}}")
        );
    }

    #[test]
    fn a_program_is_read_with_what_it_is_given() {
        let manifest = read(
            "id: a\nendpoint:\n  stdio: {command: python, args: [agent.py, 7], env: {HOST: \"${HOSTNAME}\", N: 1}, cwd: /srv}\n",
        );
        let mut manifest = manifest.unwrap();
        let env = [("HOST", "pod-7"), ("N", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            manifest.program,
            Some(Program {
                command: "python".to_owned(),
                args: vec!["agent.py".to_owned(), "7".to_owned()],
                env: env.into(),
                cwd: Some("/srv".to_owned()),
            })
        );
        manifest.advertise_inbound("10.0.0.7:15002".parse().unwrap());
        assert_eq!(manifest.registration.endpoint, "http://10.0.0.7:15002/mcp");
        let lines = read(
            "id: a\nendpoint: {stdio: {comand: x, args: [[]], env: {A=B: 1, C: {}}}, sdio: 1}\nhealth: {interval: 1s}\n",
        );
        let lines = lines.unwrap_err();
        for expected in [
            "agent.yaml:2:12: 'endpoint.stdio.command' field is required",
            "'endpoint.stdio.comand' is not a known key: did you mean 'command'?",
            "'endpoint.stdio.args[0]' must be a string",
            "'endpoint.stdio.env.A=B' must have the name of a variable",
            "'endpoint.stdio.env.C' must be a string",
            "'endpoint.sdio' is not a known key: did you mean 'stdio'?",
            "agent.yaml:3:1: 'health' is for agents that listen",
        ] {
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected} in {lines:#?}");
        }
        assert!(read("id: a\nendpoint: {}\n").unwrap_err()[0].contains("'endpoint.stdio' field is required"));
    }
}
