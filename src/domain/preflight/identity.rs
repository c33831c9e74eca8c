//! Check of the cloud's tokens: at which address the accounts of a cloud fetch them, as policies see
//! it, and which accounts do. The address differs by cloud and data plane (each cloud's own
//! documentation; failures that people met). Pure.

use crate::domain::names::plural;

use super::{
    check::{Check, CheckId as Id, Evidence},
    engines::{EngineKind, Found},
    reading::{Known, Object, Reading, Record},
};

/// Annotations by which a cloud's webhook or node agent gives an account tokens.
const MARKS: [&str; 3] =
    ["iam.gke.io/gcp-service-account", "eks.amazonaws.com/role-arn", "azure.workload.identity/client-id"];

/// Where tokens come from.
enum Place {
    Known(&'static str),
    /// It depends on what is not known.
    Unsure(&'static str),
    /// No policy can be written for it.
    Hopeless {
        words: &'static str,
        fix: &'static str,
    },
}

pub fn check(reading: &Reading, found: &Found) -> Check {
    if let Known::Unknown(_) = reading.nodes {
        return Check::unread(Id::Identity, "nodes", &reading.nodes);
    }
    let cloud = reading.nodes.list().iter().find_map(|node| {
        let (scheme, _) = node.provider.split_once("://")?;
        Some((scheme, Evidence::new(&Object::new("Node", "", &node.name), "spec.providerID", &node.provider)))
    });
    let Some((scheme, seen)) = cloud else {
        return Check::not_applicable(Id::Identity, "No node names a cloud.");
    };
    let agents = ["gke-metadata-server", "eks-pod-identity-agent", "nmi"];
    let agents = agents.into_iter().filter_map(|name| reading.workload("", name));
    let agents: Vec<Evidence> =
        agents.map(|one| Evidence::new(&one.object, "kind", one.object.kind.as_str())).collect();
    let has = |name: &str| agents.iter().any(|seen| seen.object.name.as_str() == name);
    let check = match place(scheme, found, has) {
        Place::Known(words) => judged(reading, words),
        Place::Unsure(words) => Check::unknown(Id::Identity, words).fixed(PROVE, &[token()]),
        Place::Hopeless { words, fix } => Check::fail(Id::Identity, words).fixed(fix, &[]),
    };
    check.seen([seen]).seen(agents)
}

const PROVE: &str =
    "Ask for a token from a pod under the policies of one namespace before the others follow.";

fn token() -> String {
    "kubectl exec POD -n NAMESPACE -- curl -sS -m 5 -H 'Metadata-Flavor: Google' \
     http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
        .to_owned()
}

fn place(scheme: &str, found: &Found, has: impl Fn(&str) -> bool) -> Place {
    match scheme {
        "gce" => match found.only().map(|engine| engine.kind) {
            // Documented as 169.254.169.254:80; gke-labs/kube-agents#676 met the node's address on 988.
            Some(EngineKind::Cilium) => Place::Known(
                "GKE with Dataplane V2: tokens come from 169.254.169.254:80, and were seen to come from the node's own address on 988.",
            ),
            Some(_) => Place::Known(
                "GKE: the node rewrites 169.254.169.254:80 to 169.254.169.252:988 before a policy sees it.",
            ),
            None => Place::Unsure(
                "GKE, and the data plane is not known: tokens come from 169.254.169.254:80 or 169.254.169.252:988.",
            ),
        },
        "aws" if has("eks-pod-identity-agent") => Place::Known(
            "EKS: tokens come from 169.254.170.23:80 (Pod Identity) or from STS over the internet (IRSA); the metadata at 169.254.169.254 stays closed.",
        ),
        "aws" => Place::Known(
            "EKS: tokens come from STS over the internet (IRSA); the metadata at 169.254.169.254 stays closed.",
        ),
        "azure" if has("nmi") => Place::Hopeless {
            words: "AAD Pod Identity sends tokens from the node's own address on 2579, whatever the pod asked.",
            fix: "Migrate to Azure Workload Identity, which asks the internet.",
        },
        "azure" => Place::Known(
            "Azure: tokens come from login.microsoftonline.com (Workload Identity); the metadata at 169.254.169.254 stays closed.",
        ),
        _ => Place::Known(
            "A cloud whose token address is not known; the metadata at 169.254.169.254 stays closed.",
        ),
    }
}

/// Who fetches tokens there.
fn judged(reading: &Reading, place: &str) -> Check {
    let accounts = match &reading.accounts {
        Known::Read(accounts) => accounts,
        Known::Unknown(why) => {
            let words = format!("{place} Which accounts use them cannot be read: {why}");
            return Check::unknown(Id::Identity, words)
                .fixed("Give the reader of this cluster list on ServiceAccounts.", &[]);
        }
    };
    let mark = |account: &Record| {
        let found = MARKS.iter().find_map(|key| Some((key, account.annotations.get(*key)?)));
        found.map(|(key, value)| Evidence::new(&account.object, &format!("annotation {key}"), value))
    };
    let users: Vec<Evidence> = accounts.iter().filter_map(mark).collect();
    if users.is_empty() {
        return Check::pass(Id::Identity, place);
    }
    let words = format!(
        "{place} {} such tokens: a default deny for egress cuts them off, which shows when the tokens that they have expire.",
        match users.len() {
            1 => "1 account uses".to_owned(),
            count => format!("{} use", plural(count, "account")),
        }
    );
    Check::fail(Id::Identity, words)
        .seen(users)
        .fixed("Allow that place to the pods of these accounts alone, and watch them for longer than a token lives.", &[
            "kubectl get pods -A -o custom-columns=NS:.metadata.namespace,POD:.metadata.name,ACCOUNT:.spec.serviceAccountName".to_owned(),
        ])
}
