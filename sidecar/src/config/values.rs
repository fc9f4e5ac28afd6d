//! How single settings are read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_api::document::{Fields, number, parsed, string};
use serde_json::Value;

/// A client that only shows whether its addresses are some asks nobody.
const ANY_TIME: Duration = Duration::from_secs(1);

pub(super) fn seconds(fields: &mut Fields<'_, '_>, key: &'static str, min: f64, max: f64) -> Duration {
    Duration::from_secs_f64(fields.required(key, number(min, max, "seconds")).unwrap_or(min))
}

pub(super) fn whole(fields: &mut Fields<'_, '_>, key: &'static str, min: u64, max: u64) -> u64 {
    let read = |value: &Value| {
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {min} to {max}, got {value}"))
    };
    fields.required(key, read).unwrap_or(min)
}

/// Nobody but the agent beside us is to call through us, with our agent's name.
pub(super) fn loopback(value: &Value) -> Result<SocketAddr, String> {
    let address: SocketAddr = parsed(value)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "must be a loopback address such as 127.0.0.1:15001: whoever reaches it calls as our agent, got {address}"
    ))
}

pub(super) fn networks(value: &Value) -> Result<Vec<IpNet>, String> {
    let text = string(value)?;
    let read = |network: &str| {
        let network = network.trim();
        let address = || network.parse::<IpAddr>().map(IpNet::from);
        network
            .parse::<IpNet>()
            .or_else(|_| address())
            .map_err(|_| format!("{network:?} is no network: write 10.0.0.0/8"))
    };
    text.split(',').map(read).collect()
}

pub(super) fn registries(value: &Value) -> Result<Vec<String>, String> {
    let text = string(value)?;
    let addresses: Vec<_> = text.split(',').map(|address| address.trim().to_owned()).collect();
    mesh_client::client::Client::new(&addresses, ANY_TIME).map_err(|fault| fault.to_string())?;
    Ok(addresses)
}
