//! `network-policies/<cluster>/<namespace>/*.yaml` -> [`PolicyFiles`]. Only the pinned names are
//! read, and only if file, folder and object agree. A file that is wrong blocks its own rollout and
//! is told with its fact and the next step; the others go on. Asks no cluster.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    extra,
    fleet_file::DISCOVERY,
    yaml::{self, BadYaml, Node},
};
use crate::{
    cockpit::{
        plan::{Authored, FleetFile, PolicyFiles},
        ports::Trouble,
    },
    domain::{
        few::Few,
        flow::Direction,
        manifest::{Manifest, Manifests, Templates},
        names::{ClusterName, NsName, Text},
        policy::{Bodies, PINNED, Pinned, Policy, Role, Spec},
    },
    manifest::{self, written},
};

/// Folder of the policies under the root of the workspace.
pub const FOLDER: &str = "network-policies";

/// Largest policy file that is read. An API server takes objects up to about 1.5 MiB.
pub const FILE_LIMIT: u64 = 1 << 20;

/// Reads the policy files of every cluster of the fleet.
pub fn read(root: &Path, fleet: &FleetFile) -> (PolicyFiles, Vec<Trouble>) {
    let mut reader = Reader {
        root,
        bodies: Bodies::default(),
        templates: Templates::default(),
        files: PolicyFiles::default(),
        troubles: Vec::new(),
    };
    for folder in reader.list(&root.join(FOLDER)) {
        reader.cluster_folder(&folder, fleet);
    }
    (reader.files, reader.troubles)
}

/// Collects what was read and what was wrong.
struct Reader<'r> {
    root: &'r Path,
    bodies: Bodies,
    templates: Templates,
    files: PolicyFiles,
    troubles: Vec<Trouble>,
}

impl Reader<'_> {
    /// The path as people know it: from the root of the workspace on.
    fn shown(&self, path: &Path) -> String {
        Text::new(&path.strip_prefix(self.root).unwrap_or(path).to_string_lossy()).to_string()
    }

    fn trouble(&mut self, path: &Path, fact: &str, next: &str) -> Text {
        let trouble = Trouble::new(&self.shown(path), fact, next);
        let said = Text::from(trouble.to_string());
        self.troubles.push(trouble);
        said
    }

    /// Entries of a folder by name, without hidden ones. A folder that is not there is empty.
    fn list(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let fact = format!("the folder cannot be read ({error})");
                self.trouble(folder, &fact, "Correct its rights, then reload.");
                return Vec::new();
            }
        };
        let mut paths: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| !name_of(path).starts_with('.'))
            .collect();
        paths.sort();
        paths
    }

    fn cluster_folder(&mut self, folder: &Path, fleet: &FleetFile) {
        let name = name_of(folder);
        if name == DISCOVERY || !folder.is_dir() {
            return;
        }
        let Some(cluster) = fleet.clusters.iter().find(|entry| entry.name.as_str() == name) else {
            let fact = format!(
                "sluice.yaml has no cluster {:?}, so nothing in this folder is used",
                Text::new(&name)
            );
            self.trouble(folder, &fact, "Rename the folder, or add the cluster to sluice.yaml.");
            return;
        };
        let cluster = cluster.name.clone();
        for path in self.list(folder) {
            self.namespace_folder(&cluster, &path, fleet);
        }
    }

    fn namespace_folder(&mut self, cluster: &ClusterName, folder: &Path, fleet: &FleetFile) {
        if !folder.is_dir() {
            self.trouble(
                folder,
                "a file stands where folders of namespaces are expected",
                "Move it into its namespace's folder.",
            );
            return;
        }
        let ns = match NsName::parse(&name_of(folder)) {
            Ok(ns) => ns,
            Err(bad) => {
                self.trouble(folder, &bad.to_string(), "Call the folder exactly like its namespace.");
                return;
            }
        };
        if fleet.excludes(&ns) {
            let fact = format!("sluice.yaml leaves namespace {ns} out, so these files are never applied");
            self.trouble(
                folder,
                &fact,
                "Take it out of namespaces.exclude (or into include), or delete the folder.",
            );
        }
        for path in self.list(folder) {
            self.policy_file(cluster, &ns, folder, &path);
        }
    }

    fn policy_file(&mut self, cluster: &ClusterName, ns: &NsName, folder: &Path, path: &Path) {
        let name = name_of(path);
        // Rules of people, which `sluice author` takes into the allowlist: nothing is applied from there.
        if extra::is_extra(&name) {
            return;
        }
        let Some(pinned) = PINNED.iter().find(|pinned| pinned.file_name() == name) else {
            let names: Vec<_> = PINNED.iter().map(Pinned::file_name).collect();
            let next = format!("Rename it to one of {}, or move it elsewhere.", names.join(", "));
            self.trouble(path, "its name is not one of the pinned ones, so it is not used", &next);
            return;
        };
        let text = read_text(path);
        let left_out = text.as_deref().map(written::left_out).unwrap_or_default();
        let result = text.and_then(|text| policy_of(&text, ns, pinned));
        let shown = Text::from(self.shown(folder));
        let complaint = result.as_ref().err().map(|bad| self.trouble(path, &bad.fact, &bad.next));
        let key = (cluster.clone(), ns.clone(), pinned.direction);
        let authored = self.files.sets.entry(key).or_insert_with(|| Authored {
            set: Few::new(),
            manifests: Manifests::new(),
            folder: shown,
            complaints: Vec::new(),
            left_out: Vec::new(),
        });
        authored.left_out.extend(left_out);
        authored.complaints.extend(complaint);
        if let Ok((mut policy, sent)) = result {
            self.bodies.share(&mut policy);
            let mut sent = Manifest::new(&sent, ns);
            self.templates.share(&mut sent);
            authored.set.insert(pinned.name, policy);
            authored.manifests.insert(pinned.name, sent);
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is wrong with one file.
pub(super) struct Bad {
    pub fact: String,
    pub next: String,
    missing: bool,
}

impl Bad {
    /// There is no such file.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }
}

fn bad(fact: impl Into<String>, next: impl Into<String>) -> Bad {
    Bad { fact: fact.into(), next: next.into(), missing: false }
}

/// One policy, and its JSON as it will be sent.
pub(super) fn policy_of(text: &str, ns: &NsName, pinned: &Pinned) -> Result<(Policy, Box<str>), Bad> {
    let node = yaml::parse(text).map_err(|error| bad_yaml(&error, pinned))?;
    if node.is_null() {
        return Err(bad(
            "the file is empty",
            format!("Write the {} {} into it, or delete it.", pinned.kind, pinned.name),
        ));
    }
    let object = node.json();
    check_identity(&node, &object, ns, pinned)?;
    let sent = normal(&object, ns, pinned);
    let spec = line_of(&node, &["spec"]);
    let policy = manifest::policy(&sent).map_err(|why| {
        bad(format!("{spec}{why}"), "Correct the policy; `kubectl explain` shows its fields.")
    })?;
    check_meaning(&policy, pinned).map_err(|wrong| Bad { fact: format!("{spec}{}", wrong.fact), ..wrong })?;
    Ok((policy, sent.to_string().into()))
}

fn bad_yaml(error: &BadYaml, pinned: &Pinned) -> Bad {
    let next = if error.why.as_str().contains("second document") {
        format!("Keep {} alone in this file; each pinned policy has a file of its own.", pinned.name)
    } else {
        "Correct the YAML there.".to_owned()
    };
    bad(error.to_string(), next)
}

/// Reads a regular file within the limit; never waits on a pipe or a device.
pub(super) fn read_text(path: &Path) -> Result<String, Bad> {
    let cannot = |error: std::io::Error| Bad {
        missing: error.kind() == std::io::ErrorKind::NotFound,
        ..bad(format!("cannot be read ({error})"), "Correct the file's rights, then reload.")
    };
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(bad("is not a regular file", "Put the policy itself there."));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > FILE_LIMIT {
        let fact = format!("has {} bytes; policy files are read up to {FILE_LIMIT}", metadata.len());
        return Err(bad(fact, "Shorten the policy: wider CIDRs, fewer rules."));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        bad(format!("is not UTF-8 text (byte {at})"), "Save it as UTF-8.")
    })
}

/// `line 3: ` of the deepest of these fields that is there; nothing where none is.
fn line_of(node: &Node, path: &[&str]) -> String {
    let (mut at, mut line) = (node, 0);
    for key in path {
        let yaml::Value::Map(entries) = &at.value else { break };
        let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { break };
        (at, line) = (&entry.node, entry.line);
    }
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// Kind, name and namespace must be what file and folder say.
fn check_identity(node: &Node, object: &Value, ns: &NsName, pinned: &Pinned) -> Result<(), Bad> {
    let field = |pointer: &str| object.pointer(pointer).map(|value| Text::new(value.as_str().unwrap_or("?")));
    if !object.is_object() {
        return Err(bad(
            "holds no Kubernetes object",
            format!("Write the {} {} into it.", pinned.kind, pinned.name),
        ));
    }
    let checks = [
        ("kind", "/kind", pinned.kind.as_str(), true),
        ("apiVersion", "/apiVersion", pinned.kind.api_version(), true),
        ("metadata.name", "/metadata/name", pinned.name, true),
        ("metadata.namespace", "/metadata/namespace", ns.as_str(), false),
    ];
    for (what, pointer, wanted, is_required) in checks {
        match field(pointer) {
            Some(found) if found.as_str() == wanted => {}
            None if !is_required => {}
            Some(found) => {
                let next = format!("Write {what}: {wanted}, or move the file to where it belongs.");
                let path: Vec<&str> = what.split('.').collect();
                let line = line_of(node, &path);
                return Err(bad(format!("{line}its {what} is {found:?}, but its path says {wanted}"), next));
            }
            None => return Err(bad(format!("it has no {what}"), format!("Write {what}: {wanted}."))),
        }
    }
    Ok(())
}

/// A pinned policy means one direction and no more; the valve means every pod and nothing allowed.
fn check_meaning(policy: &Policy, pinned: &Pinned) -> Result<(), Bad> {
    let Spec::Network { selector, .. } = &policy.spec else { return Ok(()) };
    let (direction, other) = match pinned.direction {
        Direction::Egress => (Direction::Egress, Direction::Ingress),
        Direction::Ingress => (Direction::Ingress, Direction::Egress),
    };
    let types = format!(
        "Write policyTypes: [{}].",
        if direction == Direction::Egress { "Egress" } else { "Ingress" }
    );
    let Some(rules) = policy.rules(direction) else {
        return Err(bad(format!("it does not concern {direction}"), types));
    };
    if policy.rules(other).is_some() {
        return Err(bad(format!("it isolates {other} too"), types));
    }
    if pinned.role == Role::Valve && !selector.is_everything() {
        return Err(bad("its podSelector leaves pods out", "Write podSelector: {}."));
    }
    if pinned.role == Role::Valve && !rules.is_empty() {
        return Err(bad(format!("it allows {direction}"), "Move its rules into the allowlist."));
    }
    Ok(())
}

/// The object as it is sent: what the author decides, and nothing that a server had written into an
/// exported file (versions, managers, status).
fn normal(object: &Value, ns: &NsName, pinned: &Pinned) -> Value {
    let mut metadata = Map::new();
    for field in ["labels", "annotations"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")).filter(|value| !value.is_null()) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert("name".to_owned(), json!(pinned.name));
    metadata.insert("namespace".to_owned(), json!(ns.as_str()));
    json!({
        "apiVersion": pinned.kind.api_version(),
        "kind": pinned.kind.as_str(),
        "metadata": metadata,
        "spec": object.get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}
