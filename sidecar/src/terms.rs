//! What the manifest says about calls of one capability.

use std::time::Duration;

use mesh_api::selector::Selector;
use mesh_api::version::VersionConstraint;

use crate::balancer::Policy;
use crate::hedge::Hedge;
use crate::split::Split;

/// What the manifest says about calls of one capability; all of it may be left to the settings or the call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terms {
    /// Versions that will do, unless a call says otherwise.
    pub version_constraint: Option<VersionConstraint>,
    /// Labels that the provider must have, unless a call says otherwise.
    pub label_selector: Option<Selector>,
    /// Time for a call.
    pub timeout: Option<Duration>,
    /// Repeats of one call at most.
    pub retries: Option<u32>,
    /// How one of the providers is chosen.
    pub policy: Policy,
    /// When a call that is safe to repeat gets a second attempt beside the first.
    pub hedge: Option<Hedge>,
    /// Which part of the providers serves which part of the calls.
    pub split: Split,
}
