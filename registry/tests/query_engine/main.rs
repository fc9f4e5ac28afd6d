//! The index answers what asking every registration would: random fleets that change, random queries, every page.

#![cfg(test)]

mod random;

mod fleet;

use jiff::Timestamp;
use mesh_api::health::Status;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_registry::catalog::listing::Listing;
use mesh_registry::catalog::query::Question;
use proptest::option::of;
use proptest::prelude::*;

use crate::fleet::{Fleet, pages};
use crate::random::{agent_query, capability_query, steps};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_index_finds_the_agents_that_asking_everyone_finds(
        steps in steps(), queries in prop::collection::vec(agent_query(), 8), limit in of(1usize..4)
    ) {
        let fleet = Fleet::after(steps);
        for query in queries {
            let expected = fleet.agents(&query);
            let ask = |paging| {
                let query = AgentQuery { paging, ..query.clone() };
                fleet.catalog.list(Question::Agents(&query), &query.to_string(), fleet.now).unwrap()
            };
            let (found, totals) = pages(limit, ask);
            prop_assert!(totals.iter().all(|total| *total == expected.len() as u64), "{totals:?} of {expected:?}");
            prop_assert_eq!(found, expected, "{}", query);
        }
    }

    #[test]
    fn the_index_finds_the_capabilities_that_asking_everyone_finds(
        steps in steps(), queries in prop::collection::vec(capability_query(), 8), limit in of(1usize..4)
    ) {
        let fleet = Fleet::after(steps);
        for query in queries {
            let expected = fleet.capabilities(&query);
            let ask = |paging| {
                let query = CapabilityQuery { paging, ..query.clone() };
                fleet.catalog.list(Question::Capabilities(&query), &query.to_string(), fleet.now).unwrap()
            };
            let (found, totals) = pages(limit, ask);
            prop_assert!(totals.iter().all(|total| *total == expected.len() as u64), "{totals:?} of {expected:?}");
            prop_assert_eq!(found, expected, "{}", query);
        }
    }

    #[test]
    fn an_answer_that_is_given_again_is_what_would_be_found_now(
        steps in steps(), agents in prop::collection::vec(agent_query(), 4), capabilities in prop::collection::vec(capability_query(), 4)
    ) {
        let mut fleet = Fleet::after(Vec::new());
        let text = |listing: Listing| String::from_utf8(listing.bytes(Timestamp::UNIX_EPOCH).to_vec()).unwrap();
        for step in steps {
            fleet.step(step);
            let agents = agents.iter().map(|query| (Question::Agents(query), query.to_string()));
            let capabilities = capabilities.iter().map(|query| (Question::Capabilities(query), query.to_string()));
            for (question, query) in agents.chain(capabilities) {
                let again = fleet.catalog.answered(question.kind(), &query, fleet.now);
                let found = text(fleet.catalog.list(question, &query, fleet.now).unwrap());
                prop_assert_eq!(again.map(text).unwrap_or_else(|| found.clone()), found, "{}", query);
            }
        }
    }

    #[test]
    fn counts_are_what_counting_everyone_yields(steps in steps()) {
        let fleet = Fleet::after(steps);
        let census = fleet.catalog.census();
        let everyone = fleet.registrations().collect::<Vec<_>>();
        let capabilities = everyone.iter().flat_map(|(agent, _)| &agent.capabilities).collect::<Vec<_>>();
        prop_assert_eq!((census.agents(), census.capabilities), (everyone.len(), capabilities.len()));
        for status in Status::ALL {
            prop_assert_eq!(census.agents_in(status), everyone.iter().filter(|(_, one)| *one == status).count());
        }
        let names = capabilities.iter().map(|one| &one.name).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(census.capability_names, names.len());
        prop_assert_eq!(census.capabilities_by_category.values().sum::<usize>(), capabilities.len());
        prop_assert_eq!(census.agents_by_namespace.values().sum::<usize>(), everyone.len());
    }
}
