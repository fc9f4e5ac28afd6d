//! What a manifest says about what our agent offers: `capabilities: auto`, a list, or a list with the word `auto` in it,
//! whose entries have the last word on tools of their names; and `tools`, which says how the agent is asked.

use std::time::Duration;

use mesh_api::agent::MAX_CAPABILITIES;
use mesh_api::capability::{self, Capability};
use mesh_api::document::{Fields, Findings, kind, nearest, quoted};
use serde_json::{Map, Value};

use super::duration::duration;
use crate::inventory::Plan;

/// The word that stands for all tools of our agent.
const AUTO: &str = "auto";

/// What stands below `capabilities`.
#[derive(Default)]
struct Listed {
    is_auto: bool,
    capabilities: Vec<Capability>,
    /// The same as they stand there.
    entries: Vec<Map<String, Value>>,
}

/// The capabilities that the manifest lists, and how the agent is asked for the others, if it is.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> (Vec<Capability>, Option<Plan>) {
    let listed = fields.nested("capabilities", read_capabilities).unwrap_or_default();
    let interval = fields.nested("tools", read_tools);
    if interval.is_some() && !listed.is_auto {
        fields.fault(
            "tools",
            "says how the agent is asked for its tools, which is done only with 'capabilities: auto'",
        );
    }
    let Listed { is_auto, capabilities, entries } = listed;
    (capabilities, is_auto.then_some(Plan { interval: interval.flatten(), entries }))
}

fn read_capabilities(value: &Value, at: &str, findings: &mut Findings) -> Option<Listed> {
    match value {
        Value::String(word) if word == AUTO => Some(Listed { is_auto: true, ..Listed::default() }),
        Value::String(word) => {
            findings
                .fault(at, format!("must be the word {AUTO} or a list, got {}{}", quoted(word), meant(word)));
            None
        }
        Value::Array(items) if items.len() > MAX_CAPABILITIES => {
            findings.fault(at, format!("must have at most {MAX_CAPABILITIES} items, got {}", items.len()));
            None
        }
        Value::Array(items) => Some(read_list(items, at, findings)),
        other => {
            findings.fault(at, format!("must be the word {AUTO} or a list, got {}", kind(other)));
            None
        }
    }
}

fn read_list(items: &[Value], at: &str, findings: &mut Findings) -> Listed {
    let (mut listed, mut read) = (Listed::default(), capability::reader());
    for (i, item) in items.iter().enumerate() {
        let at = format!("{at}[{i}]");
        match item {
            Value::String(word) if word == AUTO && listed.is_auto => {
                findings.fault(at, format!("repeats the word {AUTO}"));
            }
            Value::String(word) if word == AUTO => listed.is_auto = true,
            Value::String(word) => {
                let rule = format!("must be the word {AUTO}, or a capability such as {{name: summarize}}");
                findings.fault(at, format!("{rule}, got {}{}", quoted(word), meant(word)));
            }
            item => {
                let Some(capability) = read(item, &at, findings) else { continue };
                listed.capabilities.push(capability);
                listed.entries.extend(item.as_object().cloned());
            }
        }
    }
    listed
}

/// The interval, if it says one.
fn read_tools(value: &Value, at: &str, findings: &mut Findings) -> Option<Option<Duration>> {
    let mut fields = Fields::open(value, at, findings)?;
    let interval = fields.optional("interval", duration);
    fields.close();
    Some(interval)
}

fn meant(word: &str) -> &'static str {
    if nearest(&word.to_lowercase(), [AUTO].into_iter()).is_some() { ": did you mean 'auto'?" } else { "" }
}

#[cfg(test)]
mod tests {
    use mesh_daemon::yaml;

    use super::*;

    fn read_text(text: &str) -> Result<(Vec<Capability>, Option<Plan>), Vec<String>> {
        let document = yaml::parse(text, "m").unwrap();
        let mut findings = Findings::default();
        let read = Fields::open(&document.value, "", &mut findings).map(|mut fields| read(&mut fields));
        let read = findings.conclude(read).map(|(read, _)| read);
        read.map_err(|faults| {
            faults.iter().map(|fault| format!("{} {fault}", document.places.of(&fault.path))).collect()
        })
    }

    #[test]
    fn auto_stands_alone_or_in_a_list_or_not_at_all() {
        let (capabilities, plan) = read_text("capabilities: auto").unwrap();
        assert_eq!((capabilities.len(), plan), (0, Some(Plan { interval: None, entries: Vec::new() })));
        let (capabilities, plan) =
            read_text("capabilities: [{name: b, version: 2.0.0}, auto, {name: a}]\ntools: {interval: 5s}")
                .unwrap();
        assert_eq!(capabilities.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let plan = plan.unwrap();
        assert_eq!((plan.interval, plan.entries.len()), (Some(Duration::from_secs(5)), 2));
        assert_eq!(plan.entries[0].keys().collect::<Vec<_>>(), ["name", "version"]);
        for text in ["capabilities: [{name: a}]", "capabilities: []", "{}"] {
            assert_eq!(read_text(text).unwrap().1, None, "{text}");
        }
    }

    #[test]
    fn what_is_meant_otherwise_is_a_fault_with_its_line_and_says_what_to_write() {
        for (text, fault) in [
            (
                "capabilities: Auto",
                "m:1:1 'capabilities' must be the word auto or a list, got \"Auto\": did you mean 'auto'?",
            ),
            ("capabilities: 7", "m:1:1 'capabilities' must be the word auto or a list, got a number"),
            (
                "capabilities:\n- auto\n- summarize",
                "m:3:3 'capabilities[1]' must be the word auto, or a capability such as {name: summarize}, got",
            ),
            ("capabilities:\n- atuo\n- {name: a}", "m:2:3 'capabilities[0]' must be the word auto"),
            ("capabilities:\n- auto\n- auto", "m:3:3 'capabilities[1]' repeats the word auto"),
            ("capabilities:\n- auto\n- {name: a}\n- {name: a}", "m:4:3 'capabilities[2]' repeats a 1.0.0"),
            (
                "capabilities:\n- {name: a}\ntools: {interval: 5s}",
                "m:3:1 'tools' says how the agent is asked",
            ),
            ("capabilities: auto\ntools: {interval: soon}", "m:2:9 'tools.interval' must be a duration"),
        ] {
            let faults = read_text(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].starts_with(fault), "{text}: {faults:#?}");
        }
        assert!(read_text("capabilities: [atuo]").unwrap_err()[0].ends_with("did you mean 'auto'?"));
    }
}
