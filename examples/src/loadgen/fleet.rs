//! A synthetic fleet: as many agents as wanted, each with the document that it registers. Pure.
//!
//! The same fleet has the same documents wherever it is made, so a generator and a server that were started apart agree
//! on what there is to ask for.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::dice::Dice;
use super::words;

/// Seconds between heartbeats in the documents. Longer than the usual 30, so that a fleet which is only looked at stays
/// healthy until the last figure is taken.
pub const HEALTH_INTERVAL: f64 = 300.0;

/// What a fleet is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Fleet {
    /// Agents of the fleet.
    #[arg(long, default_value_t = 1_000)]
    pub agents: usize,
    /// Capabilities of each agent.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub capabilities: u16,
    /// Another seed makes another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Give each capability a name of its own, rather than one of 200 that the agents share.
    #[arg(long)]
    pub distinct: bool,
}

impl Fleet {
    /// The id of agent `agent`.
    pub fn id(&self, agent: usize) -> String {
        format!("{}-agent-{agent:07}", Dice::new(self.seed, agent as u64).pick(&words::TEAMS))
    }

    /// The name of capability `which` of agent `agent`.
    pub fn name(&self, agent: usize, which: u16) -> String {
        let name = words::shared_name(self.number(agent, which));
        if !self.distinct {
            return name;
        }
        let serial = (agent * usize::from(self.capabilities) + usize::from(which)) as u64;
        format!("{name}_{}", syllables(serial))
    }

    /// The document of agent `agent`.
    pub fn document(&self, agent: usize) -> Value {
        self.document_of_build(agent, 0)
    }

    /// The document of agent `agent` after it was built anew `build` times.
    pub fn document_of_build(&self, agent: usize, build: u64) -> Value {
        // The first draw is the team, as in the id.
        let mut dice = Dice::new(self.seed, agent as u64);
        let team = dice.pick(&words::TEAMS);
        let environment = dice.pick(&words::ENVIRONMENTS);
        let zone = dice.pick(&words::ZONES);
        let capabilities = (0..self.capabilities).map(|which| self.capability(agent, which, &mut dice));
        let capabilities = capabilities.collect::<Vec<_>>();
        json!({
            "id": self.id(agent),
            "name": format!("{team} agent {agent}"),
            "namespace": dice.pick(&words::NAMESPACES),
            "agent_type": dice.pick(&words::TYPES),
            "endpoint": format!("http://10.{}.{}.{}:8080/mcp", agent >> 16 & 255, agent >> 8 & 255, agent & 255),
            "capabilities": capabilities,
            "labels": {
                "env": environment, "team": team, "zone": zone, "tier": dice.pick(&words::TIERS),
                "app.kubernetes.io/name": format!("{team}-agent"),
            },
            "health_interval": HEALTH_INTERVAL,
            "metadata": { "build": build, "image": format!("registry.example.org/{team}/agent:1.{}", agent % 40) },
        })
    }

    fn capability(&self, agent: usize, which: u16, dice: &mut Dice) -> Value {
        let number = self.number(agent, which);
        let name = self.name(agent, which);
        let plain = words::shared_name(number).replace('_', " ");
        let tags =
            [dice.pick(&words::TAGS[..8]), dice.pick(&words::TAGS[8..16]), dice.pick(&words::TAGS[16..])];
        json!({
            "name": name,
            "version": format!("{}.{}.{}", 1 + dice.below(3), dice.below(10), dice.below(20)),
            "description": format!("Lets an agent {plain} on behalf of its caller and answers with a short report."),
            "category": words::category(number),
            "tags": tags,
            "stability": stability(dice),
            "input_schema": {
                "type": "object",
                "properties": {
                    "text": { "type": "string", "description": format!("What to {plain}.") },
                    "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
                },
                "required": ["text"],
            },
            "annotations": { "readOnlyHint": dice.chance(60) },
        })
    }

    /// Which of the shared names a capability has, or begins with. Those of one agent differ.
    fn number(&self, agent: usize, which: u16) -> usize {
        let first = Dice::new(!self.seed, agent as u64).below(words::SHARED_NAMES as u64) as usize;
        // 67 shares no factor with 200, so the steps come round only after all names.
        (first + usize::from(which) * 67) % words::SHARED_NAMES
    }
}

fn stability(dice: &mut Dice) -> &'static str {
    match dice.below(100) {
        0..70 => "stable",
        70..82 => "beta",
        82..90 => "alpha",
        90..95 => "experimental",
        _ => "deprecated",
    }
}

/// A word of its own for each number, of pairs of letters rather than digits: people type words.
fn syllables(number: u64) -> String {
    const SOUNDS: [&str; 16] =
        ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za"];
    // An odd factor is a bijection modulo a power of two: neighbours become unlike, and no two become the same.
    let mixed = number.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
    let mut word = String::new();
    for place in (0..8).rev() {
        let _ = word.write_str(SOUNDS[(mixed >> (place * 4) & 15) as usize]);
    }
    word
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mesh_api::agent::Registration;

    use super::*;

    const SMALL: Fleet = Fleet { agents: 500, capabilities: 3, seed: 1, distinct: false };
    const DISTINCT: Fleet = Fleet { distinct: true, ..SMALL };

    #[test]
    fn every_document_is_valid_and_warns_of_nothing() {
        for fleet in [SMALL, DISTINCT, Fleet { capabilities: 200, agents: 3, ..SMALL }] {
            for agent in 0..fleet.agents {
                let (registration, warnings) = Registration::from_value(&fleet.document(agent)).unwrap();
                assert_eq!((registration.id, warnings), (fleet.id(agent), Vec::new()));
            }
        }
    }

    #[test]
    fn a_fleet_is_the_same_each_time_and_another_seed_makes_another() {
        let texts = |fleet: Fleet| (0..50).map(move |agent| fleet.document(agent).to_string());
        assert!(texts(SMALL).eq(texts(SMALL)));
        assert!(texts(SMALL).zip(texts(Fleet { seed: 2, ..SMALL })).all(|(a, b)| a != b));
    }

    #[test]
    fn a_new_build_changes_the_document_and_nothing_that_is_asked_for() {
        let (mut before, mut after) = (SMALL.document(7), SMALL.document_of_build(7, 1));
        assert_ne!(before, after);
        before["metadata"].take();
        after["metadata"].take();
        assert_eq!(before, after);
    }

    #[test]
    fn documents_have_the_size_of_real_ones() {
        let bytes = (0..SMALL.agents).map(|agent| SMALL.document(agent).to_string().len()).sum::<usize>();
        let mean = bytes / SMALL.agents;
        assert!((1_500..=2_048).contains(&mean), "{mean} bytes");
    }

    #[test]
    fn ids_are_unique_and_names_are_shared_unless_each_is_distinct() {
        let ids = (0..SMALL.agents).map(|agent| SMALL.id(agent)).collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), SMALL.agents);
        let names = |fleet: Fleet| {
            let all =
                (0..fleet.agents).flat_map(move |agent| (0..3).map(move |which| fleet.name(agent, which)));
            all.collect::<BTreeSet<_>>().len()
        };
        assert_eq!((names(SMALL), names(DISTINCT)), (words::SHARED_NAMES, 1_500));
    }
}
