//! Written-down canonical texts: what a file and the server's answer to it both become.

use super::*;

fn read(text: &str) -> Result<Policy, Text> {
    let value: Value = serde_yaml::from_str(text).expect("the test's own YAML");
    policy(&value)
}

fn network(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: egress-allowlist, namespace: shop}}\nspec:\n{indented}"
    )
}

#[test]
fn a_spec_has_one_canonical_text() {
    for (spec, canonical) in [
        ("podSelector: {}", r#"{"podSelector":{},"policyTypes":["Ingress"]}"#),
        ("podSelector: {}\ningress: []\negress: null", r#"{"podSelector":{},"policyTypes":["Ingress"]}"#),
        ("egress: [{}]", r#"{"egress":[{}],"podSelector":{},"policyTypes":["Egress","Ingress"]}"#),
        (
            "podSelector: {}\npolicyTypes: [Ingress, Egress]",
            r#"{"podSelector":{},"policyTypes":["Egress","Ingress"]}"#,
        ),
        (
            "podSelector: {matchLabels: {}, matchExpressions: []}\npolicyTypes: [Egress]\negress:\n- ports: [{port: 443}]\n  to: []",
            r#"{"egress":[{"ports":[{"port":443,"protocol":"TCP"}]}],"podSelector":{},"policyTypes":["Egress"]}"#,
        ),
        (
            "podSelector: {}\npolicyTypes: [Egress]\negress:\n- to: [{namespaceSelector: {}, podSelector: {matchLabels: {}}}]",
            r#"{"egress":[{"to":[{"namespaceSelector":{},"podSelector":{}}]}],"podSelector":{},"policyTypes":["Egress"]}"#,
        ),
        (
            "podSelector: {}\npolicyTypes: [Egress]\negress:\n- to: [{ipBlock: {cidr: 10.0.0.0/8, except: []}}]\n  ports: [{port: dns, protocol: UDP}]",
            r#"{"egress":[{"ports":[{"port":"dns","protocol":"UDP"}],"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}],"podSelector":{},"policyTypes":["Egress"]}"#,
        ),
    ] {
        let read = read(&network(spec)).expect("a valid policy");
        assert_eq!(&*read.canonical, canonical, "{spec}");
    }
}

#[test]
fn a_policy_isolates_by_its_effective_types_and_opens_by_an_empty_rule() {
    for (spec, egress, ingress, open) in [
        ("podSelector: {}", Some(false), Some(true), false),
        ("podSelector: {}\npolicyTypes: [Egress]", Some(true), Some(false), false),
        ("podSelector: {}\npolicyTypes: [Egress]\negress: [{}]", Some(true), Some(false), true),
        ("podSelector: {}\npolicyTypes: [Egress]\negress: [{to: []}]", Some(true), Some(false), true),
        ("podSelector: {}\npolicyTypes: [Ingress]\negress: [{}]", Some(false), Some(true), false),
    ] {
        let read = read(&network(spec)).expect("a valid policy");
        assert_eq!(read.isolates(Direction::Egress), egress, "{spec}");
        assert_eq!(read.isolates(Direction::Ingress), ingress, "{spec}");
        assert_eq!(read.is_open(Direction::Egress), open, "{spec}");
    }
}

#[test]
fn what_is_not_a_policy_is_named() {
    for (text, said) in [
        ("[]", "this is not a Kubernetes object"),
        ("kind: 7", "the object has no kind"),
        ("kind: Pod", "Pod is not a kind of policy that sluice knows"),
        (
            "{apiVersion: extensions/v1beta1, kind: NetworkPolicy}",
            "apiVersion \"extensions/v1beta1\" of a NetworkPolicy must be networking.k8s.io/v1",
        ),
        (
            "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: A}}",
            "NetworkPolicy: metadata.name: policy name \"A\" is not valid: each part must start and end with a lower-case letter or digit",
        ),
        (
            &network("egress: [null]"),
            "NetworkPolicy shop/egress-allowlist: spec.egress[0] is empty: write {} for a rule that allows everything",
        ),
        (&network("egress: 7"), "NetworkPolicy shop/egress-allowlist: spec.egress is not a list"),
        (&network("policyTypes: All"), "NetworkPolicy shop/egress-allowlist: spec.policyTypes is not a list"),
        (
            &network("podSelector: {matchExpressions: [{key: a, operator: Maybe}]}"),
            "NetworkPolicy shop/egress-allowlist: spec.podSelector.matchExpressions[0] needs a key and an operator In, NotIn, Exists or DoesNotExist",
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a, namespace: b}}",
            "CiliumNetworkPolicy b/a: it has neither spec nor specs",
        ),
    ] {
        assert_eq!(read(text).expect_err("not a policy").as_str(), said, "{text}");
    }
}

#[test]
fn cilium_policies_are_kept_whole_but_not_judged() {
    let read = read(
        "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a, namespace: b}, spec: {endpointSelector: {}, egress: [], ingress: null}}",
    )
    .expect("a valid policy");
    assert_eq!(&*read.canonical, r#"{"egress":[],"endpointSelector":{}}"#);
    assert_eq!(read.isolates(Direction::Egress), None);
}

#[test]
fn writers_of_the_spec_come_newest_first_and_owners_by_their_marks() {
    let read = read(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: a
  namespace: b
  resourceVersion: '17'
  annotations: {argocd.argoproj.io/tracking-id: 'shop:networking.k8s.io/NetworkPolicy:b/a'}
  managedFields:
  - {manager: kubectl, operation: Update, time: '2026-01-01T00:00:00Z', fieldsV1: {f:spec: {}}}
  - {manager: label-bot, operation: Update, time: '2026-03-01T00:00:00Z', fieldsV1: {f:metadata: {}}}
  - {manager: argocd-controller, operation: Apply, time: '2026-02-01T00:00:00Z', fieldsV1: {f:spec: {}}}
",
    )
    .expect("a valid policy");
    assert_eq!(read.marks.managers, [Text::new("argocd-controller"), Text::new("kubectl")]);
    assert_eq!(read.marks.owner, Some(Owner::ArgoCd { application: Text::new("shop") }));
    assert_eq!(
        read.marks.owner.as_ref().map(|owner| owner.to_string()).as_deref(),
        Some("Argo CD application shop")
    );
    assert_eq!(read.version.as_deref(), Some("17"));
}

#[test]
fn an_opened_valve_allows_everything_of_its_direction_and_touches_no_other() {
    let ns = NsName::parse("shop").expect("a name");
    for direction in Direction::ALL {
        let valve = Pinned::valve(direction);
        let like = json!({ "metadata": { "name": "x", "labels": { "team": "a" } } });
        let manifest = opened(valve, &ns, Some(&like));
        let read = policy(&manifest).expect("a valid policy");
        assert_eq!(read.pinned(), Some(valve));
        assert!(read.is_open(direction));
        let other = Direction::ALL.into_iter().find(|other| *other != direction).expect("two directions");
        assert_eq!(read.isolates(other), Some(false));
        assert_eq!(manifest["metadata"]["labels"]["team"], "a");
    }
}

#[test]
fn yaml_quotes_what_other_readers_would_misread() {
    assert_eq!(yaml(&json!({ "b": "on", "a": ["yes", 1] })), "a:\n- \"yes\"\n- 1\nb: \"on\"\n");
}
