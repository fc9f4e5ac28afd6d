//! Which addresses calls may go to, whatever the registry says.
//!
//! An endpoint is what some agent wrote into its registration. A sidecar that called whatever stands there could be led
//! to the metadata service of the cloud, which hands out credentials to whoever asks, or back to itself. So every
//! address is checked after the name was resolved, and the connection goes to the address that was checked: a name that
//! resolves to something else a moment later changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Addresses at which clouds answer with credentials, beside those that are link-local: AWS and Google over IPv6,
/// Alibaba, Oracle, and the host of Azure.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];
/// The well-known prefix under which an IPv6-only network reaches IPv4 addresses (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Which addresses calls may go to.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    /// Our own port, which would lead a call in a circle.
    own: Option<SocketAddr>,
    /// Whether everything is allowed.
    is_trusted: bool,
}

/// Why calls do not go to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It stands for no host.
    #[error("{0} is no address of a host (unspecified)")]
    Unspecified(IpAddr),
    /// It stands for many hosts.
    #[error("{0} is the address of many hosts (multicast or broadcast)")]
    Multicast(IpAddr),
    /// It is valid on one link only, as that of most metadata services is.
    #[error("{0} is link-local: metadata services live there, agents do not")]
    LinkLocal(IpAddr),
    /// It is the metadata service of a cloud.
    #[error("{0} is the metadata service of a cloud")]
    Metadata(IpAddr),
    /// It is this sidecar.
    #[error("{0} is the port of this sidecar itself")]
    Own(SocketAddr),
    /// An operator said so.
    #[error("{0} lies in {1}, which deny_endpoints names")]
    Denied(IpAddr, IpNet),
    /// An operator named others.
    #[error("{0} lies in no network that allow_endpoints names")]
    NotAllowed(IpAddr),
}

// === impl Destinations ===

impl Destinations {
    /// What an operator allows and denies: with `allow`, nothing else is called; `deny` has the last word. Neither opens
    /// what is refused to everybody.
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny, ..Self::default() }
    }

    /// Wherever our own manifest says that our agent is: that is nobody else's word.
    pub fn trusted() -> Self {
        Self { is_trusted: true, ..Self::default() }
    }

    /// The same for the sidecar that listens at `own`.
    #[must_use]
    pub fn of_sidecar_at(self, own: SocketAddr) -> Self {
        Self { own: Some(own), ..self }
    }

    /// Whether calls may go to `address`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refusal> {
        if self.is_trusted {
            return Ok(());
        }
        let ip = embedded(address.ip());
        if ip.is_unspecified() || matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0) {
            return Err(Refusal::Unspecified(ip));
        }
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Refusal::Multicast(ip));
        }
        if is_link_local(ip) {
            return Err(Refusal::LinkLocal(ip));
        }
        if METADATA.contains(&ip) {
            return Err(Refusal::Metadata(ip));
        }
        if self.own.is_some_and(|own| own.port() == address.port() && (ip.is_loopback() || ip == own.ip())) {
            return Err(Refusal::Own(address));
        }
        self.check_lists(ip)
    }

    fn check_lists(&self, ip: IpAddr) -> Result<(), Refusal> {
        if let Some(network) = self.deny.iter().find(|network| network.contains(&ip)) {
            return Err(Refusal::Denied(ip, *network));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|network| network.contains(&ip)) {
            return Err(Refusal::NotAllowed(ip));
        }
        Ok(())
    }
}

/// The IPv4 address that an IPv6 address leads to, if it does: a rule must not be passed by in another notation.
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let segments = v6.segments();
    if segments[..6] == NAT64 {
        let [a, b] = segments[6].to_be_bytes();
        let [c, d] = segments[7].to_be_bytes();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    ip.to_canonical()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(destinations: &Destinations, ip: &str) -> Result<(), Refusal> {
        destinations.check(SocketAddr::new(ip.parse().unwrap(), 8001))
    }

    #[test]
    fn agents_are_reached_on_this_host_in_the_cluster_and_elsewhere() {
        let open = Destinations::default();
        for ip in ["127.0.0.1", "::1", "10.1.2.3", "192.168.7.7", "fd00::7", "93.184.216.34", "2606:2800::1"]
        {
            assert_eq!(check(&open, ip), Ok(()), "{ip}");
        }
    }

    #[test]
    fn what_no_agent_lives_at_is_refused_in_every_notation() {
        let open = Destinations::default();
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::ffff:0.0.0.0",
        ] {
            assert!(check(&open, ip).is_err(), "{ip}");
        }
    }

    #[test]
    fn a_sidecar_does_not_call_itself() {
        let own = Destinations::default().of_sidecar_at(([127, 0, 0, 1], 8001).into());
        assert!(matches!(check(&own, "127.0.0.1"), Err(Refusal::Own(_))));
        assert!(check(&own, "::1").is_err() && check(&own, "127.8.8.8").is_err());
        assert_eq!(check(&own, "10.0.0.7"), Ok(()));
        assert_eq!(own.check(([127, 0, 0, 1], 8002).into()), Ok(()));
    }

    #[test]
    fn our_own_manifest_is_believed() {
        for ip in ["127.0.0.1", "169.254.1.1", "0.0.0.0"] {
            assert_eq!(check(&Destinations::trusted(), ip), Ok(()), "{ip}");
        }
    }

    #[test]
    fn an_operator_allows_and_denies_and_denying_has_the_last_word() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let listed =
            Destinations::new(vec![net("10.0.0.0/8"), net("169.254.0.0/16")], vec![net("10.9.0.0/16")]);
        assert_eq!(check(&listed, "10.1.0.1"), Ok(()));
        assert!(matches!(check(&listed, "10.9.0.1"), Err(Refusal::Denied(..))));
        assert!(matches!(check(&listed, "::ffff:10.9.0.1"), Err(Refusal::Denied(..))));
        assert!(matches!(check(&listed, "11.0.0.1"), Err(Refusal::NotAllowed(_))));
        assert!(matches!(check(&listed, "169.254.169.254"), Err(Refusal::LinkLocal(_))));
    }

    proptest! {
        #[test]
        fn an_address_is_judged_alike_in_both_families(octets in any::<[u8; 4]>(), port in any::<u16>()) {
            let destinations =
                Destinations::new(Vec::new(), vec!["10.0.0.0/8".parse().unwrap()]).of_sidecar_at(([127, 0, 0, 1], 7).into());
            let v4 = Ipv4Addr::from(octets);
            let plain = destinations.check((v4, port).into()).is_ok();
            prop_assert_eq!(plain, destinations.check((v4.to_ipv6_mapped(), port).into()).is_ok());
        }
    }
}
