//! Several registries on an etcd.

use std::path::Path;

use mesh_registry::store::url::StoreUrl;
use serde_json::Value;

use super::{containers, documents, items, objects_in, parse};

/// The Kubernetes object of this kind and name.
fn object(kind: &str, name: &str) -> Value {
    let found =
        objects_in("deploy/cluster", kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is a {kind} {name}"))
}

fn registries_and_etcd() -> [Value; 2] {
    ["mesh-registry", "mesh-etcd"].map(|name| object("StatefulSet", name))
}

fn labels(set: &Value) -> &Value {
    &set["spec"]["template"]["metadata"]["labels"]
}

/// The hosts and ports in a store URL, which the registry takes.
fn endpoints(store: &str) -> Vec<String> {
    match store.parse::<StoreUrl>() {
        Ok(StoreUrl::Etcd(endpoints)) => endpoints.as_ref().to_vec(),
        other => panic!("{store}: {other:?}"),
    }
}

#[test]
fn each_set_has_three_pods_on_three_nodes_of_which_one_may_be_away() {
    for set in registries_and_etcd() {
        let (name, spec) = (set["metadata"]["name"].as_str().unwrap(), &set["spec"]);
        assert_eq!((&spec["replicas"], &spec["selector"]["matchLabels"]), (&Value::from(3), labels(&set)));
        let apart = &spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            [0];
        assert_eq!(apart["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(&apart["labelSelector"]["matchLabels"], labels(&set));
        let budget = object("PodDisruptionBudget", name);
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels(&set));
        let headless = object("Service", spec["serviceName"].as_str().unwrap());
        assert_eq!(headless["spec"]["clusterIP"], "None");
        assert_eq!(&headless["spec"]["selector"], labels(&set));
        for container in containers(&set) {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert!(container[probe]["periodSeconds"].is_number(), "{name}: {probe}");
            }
        }
    }
}

#[test]
fn the_registries_know_every_member_of_etcd_by_its_name_and_port() {
    let config = object("ConfigMap", "mesh-registry");
    let config = parse(config["data"]["registry.yaml"].as_str().unwrap(), Path::new("registry.yaml"));
    let [registries, etcd] = registries_and_etcd();
    let container = containers(&etcd).next().unwrap();
    let port = &container["ports"][0]["containerPort"];
    let service = etcd["spec"]["serviceName"].as_str().unwrap();
    let members = (0..3).map(|member| format!("mesh-etcd-{member}.{service}:{port}")).collect::<Vec<_>>();
    assert_eq!(endpoints(config[0]["store"].as_str().unwrap()), members);
    let args = items(&container["args"]).iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let cluster = args.iter().find_map(|arg| arg.strip_prefix("--initial-cluster=")).unwrap();
    let peers = (0..3).map(|member| format!("mesh-etcd-{member}=http://mesh-etcd-{member}.{service}:2380"));
    assert_eq!(cluster, peers.collect::<Vec<_>>().join(","));
    let port = &containers(&registries).next().unwrap()["ports"][0];
    assert_eq!(config[0]["listen"], format!("0.0.0.0:{}", port["containerPort"]));
}

#[test]
fn compose_names_only_services_that_there_are() {
    let found = documents("deploy/cluster").into_iter().find(|(file, _)| file.ends_with("compose.yaml"));
    let compose = found.expect("there is a compose file").1;
    let services = compose["services"].as_object().unwrap();
    let (mut registries, mut sidecars) = (0, 0);
    for service in services.values() {
        let words = items(&service["command"]).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        let after = |flag: &str| words.iter().skip_while(|word| **word != flag).nth(1).copied();
        if let Some(store) = after("--store") {
            for endpoint in endpoints(store) {
                assert!(services.contains_key(endpoint.strip_suffix(":2379").unwrap()), "{endpoint}");
            }
            registries += 1;
        }
        if let Some(urls) = after("--registry") {
            for url in urls.split(',') {
                let host = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix(":8000")).unwrap();
                assert!(services.contains_key(host), "{host}");
            }
            sidecars += 1;
        }
    }
    assert_eq!((registries, sidecars), (3, 2));
    let members = (0..3).map(|member| &services[&format!("etcd-{member}")]["environment"]);
    for (member, environment) in members.enumerate() {
        let names = format!("etcd-{member}=http://etcd-{member}:2380");
        assert!(environment["ETCD_INITIAL_CLUSTER"].as_str().unwrap().contains(&names));
        assert_eq!(environment["ETCD_ADVERTISE_CLIENT_URLS"], format!("http://etcd-{member}:2379"));
    }
}
