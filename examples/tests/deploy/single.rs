//! One registry.

use std::path::Path;

use serde_json::Value;

use super::{compose, containers, documents, items, objects_in, parse, sidecar};

/// The Kubernetes objects of this kind.
fn objects(kind: &str) -> Vec<Value> {
    objects_in("deploy/kubernetes", kind)
}

/// The Kubernetes object of this kind and name.
fn object(kind: &str, name: &str) -> Value {
    let found = objects(kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is a {kind} {name}"))
}

#[test]
fn every_deployment_file_parses() {
    for (file, document) in documents("deploy") {
        assert!(document.is_object(), "{}", file.display());
    }
}

#[test]
fn every_manifest_says_who_the_agent_is_and_where() {
    let compose = documents("deploy/compose");
    for (file, manifest) in documents("examples/manifests").into_iter().chain(compose) {
        for key in ["id", "endpoint"] {
            assert!(manifest[key].is_string(), "{key} in {}", file.display());
        }
    }
}

#[test]
fn every_configuration_inside_a_config_map_parses() {
    for map in objects("ConfigMap") {
        for (name, text) in map["data"].as_object().expect("a ConfigMap has data") {
            assert!(parse(text.as_str().unwrap(), Path::new(name)).iter().all(Value::is_object), "{name}");
        }
    }
}

#[test]
fn selectors_match_the_labels_of_the_pods() {
    let deployments = objects("Deployment");
    for deployment in &deployments {
        let spec = &deployment["spec"];
        assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    }
    for service in objects("Service") {
        let selected = |deployment: &&Value| {
            deployment["spec"]["template"]["metadata"]["labels"] == service["spec"]["selector"]
        };
        assert_eq!(deployments.iter().filter(selected).count(), 1, "{}", service["metadata"]["name"]);
    }
}

#[test]
fn the_registrys_ports_agree_from_its_settings_to_its_callers() {
    let config = object("ConfigMap", "mesh-registry");
    let config = parse(config["data"]["registry.yaml"].as_str().unwrap(), Path::new("registry.yaml"));
    let deployment = object("Deployment", "mesh-registry");
    let port = &containers(&deployment).next().unwrap()["ports"][0];
    assert_eq!(config[0]["listen"], format!("0.0.0.0:{}", port["containerPort"]));

    let service = object("Service", "mesh-registry");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    let url = format!("http://mesh-registry:{}", service["spec"]["ports"][0]["port"]);
    assert!(items(&sidecar(&object("Deployment", "words"))["args"]).contains(&Value::from(url)));
}

#[test]
fn the_sidecar_is_native_and_is_probed_from_inside() {
    let deployment = object("Deployment", "words");
    let natives = items(&deployment["spec"]["template"]["spec"]["initContainers"]);
    assert_eq!(natives.len(), 1);
    assert_eq!(natives[0]["restartPolicy"], "Always");
    for probe in ["startupProbe", "livenessProbe"] {
        assert_eq!(natives[0][probe]["exec"]["command"][1], "15001", "{probe}");
    }
}

#[test]
fn the_agents_manifest_names_its_ports_and_only_variables_that_are_set() {
    let deployment = object("Deployment", "words");
    let manifest = object("ConfigMap", "words-manifest")["data"]["agent.yaml"].as_str().unwrap().to_owned();
    let agent = containers(&deployment).find(|container| container["name"] == "agent").unwrap();
    let port = &agent["ports"][0]["containerPort"];
    assert!(manifest.contains(&format!("endpoint: http://127.0.0.1:{port}/mcp")));
    let port = &sidecar(&deployment)["ports"][0]["containerPort"];
    assert!(manifest.contains(&format!("advertise: http://${{POD_IP}}:{port}/mcp")));
    assert!(items(&sidecar(&deployment)["args"]).contains(&Value::from(format!("0.0.0.0:{port}"))));
    let set = items(&sidecar(&deployment)["env"]).iter().map(|variable| variable["name"].as_str().unwrap());
    let set = set.collect::<Vec<_>>();
    for used in manifest.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
        assert!(set.contains(&used), "{used} is set");
    }
}

#[test]
fn volumes_that_containers_mount_exist() {
    for deployment in objects("Deployment") {
        let volumes = items(&deployment["spec"]["template"]["spec"]["volumes"]);
        for mount in containers(&deployment).flat_map(|container| items(&container["volumeMounts"])) {
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
        }
    }
}

#[test]
fn images_have_one_name_in_compose_and_kubernetes() {
    let compose = compose();
    let built = compose["services"].as_object().unwrap().values().map(|service| &service["image"]);
    let built = built.collect::<Vec<_>>();
    for deployment in objects("Deployment") {
        for container in containers(&deployment) {
            assert!(built.contains(&&container["image"]), "{}", container["image"]);
        }
    }
}

#[test]
fn compose_puts_each_sidecar_into_the_network_of_an_agent_that_it_advertises_by_name() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let manifests = documents("deploy/compose");
    let mut sidecars = 0;
    for service in services.values() {
        let Some(network) = service["network_mode"].as_str() else { continue };
        let agent = network.strip_prefix("service:").expect("the network of a service");
        assert!(services.contains_key(agent), "{agent} is a service");
        let file = service["volumes"][0].as_str().unwrap().split(':').next().unwrap();
        let (_, manifest) = manifests.iter().find(|(path, _)| path.ends_with(&file[2..])).expect(file);
        assert_eq!(manifest["advertise"], format!("http://{agent}:8001/mcp"));
        sidecars += 1;
    }
    assert_eq!(sidecars, 2);
}
