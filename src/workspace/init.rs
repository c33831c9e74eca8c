//! A first `sluice.yaml` out of the kubeconfig's contexts, as text: what could only be guessed is said
//! in comments, and what matters most is proposed. Writing it never overwrites a file.

use std::{fs, io::Write as _, path::Path};

use super::{fleet_file::DISCOVERY, root::FILE};
use crate::{
    cockpit::ports::Trouble,
    domain::{fleet::Environment, names::ClusterName},
};

/// The words by which people call environments, each as a part of a name.
const STAGING: [&str; 11] =
    ["stg", "stage", "staging", "dev", "develop", "development", "test", "qa", "uat", "int", "sandbox"];
const PRODUCTION: [&str; 4] = ["prod", "prd", "production", "live"];

/// What a name says of its environment: one word of either kind, and none of the other.
pub fn guess(context: &str) -> Environment {
    let words: Vec<String> = context
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase())
        .collect();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    // `preprod` and `nonprod` are one word, so that they are not taken for production.
    match (has(&STAGING), has(&PRODUCTION)) {
        (true, false) => Environment::Staging,
        (false, true) => Environment::Production,
        (true, true) | (false, false) => Environment::Unknown,
    }
}

/// The name of a cluster and its folder: the last part of a context such as an ARN.
fn short(context: &str) -> String {
    let last = context.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(context);
    last.trim_start_matches('.').to_owned()
}

/// The text. Contexts that cannot be a cluster's name are told in a comment.
pub fn text<'c>(contexts: impl IntoIterator<Item = &'c str>) -> String {
    let mut out = String::from(
        "# sluice.yaml, first written by `sluice init` from the contexts of the kubeconfig. Look at every line:\n\
         # environments are guesses from names. Every key of this file is shown in the README.\n\n\
         clusters:\n",
    );
    let (mut taken, mut staging): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut left_out = Vec::new();
    for context in contexts {
        let mut name = short(context);
        if taken.contains(&name) {
            name = context.replace(['/', '\\'], "-");
        }
        let is_good = ClusterName::parse(&name).is_ok() && ClusterName::parse(context).is_ok();
        if !is_good || name.contains(['/', '\\']) || name == DISCOVERY || taken.contains(&name) {
            left_out.push(crate::domain::names::Text::new(context));
            continue;
        }
        out.push_str(&format!("  - name: {}\n", quoted(&name)));
        if name != context {
            out.push_str(&format!("    context: {}\n", quoted(context)));
        }
        out.push_str(match guess(context) {
            Environment::Staging => "    environment: staging       # guessed from its name\n",
            Environment::Production => "    environment: production    # guessed from its name\n",
            Environment::Unknown => {
                "    # environment: staging     # not to be guessed from its name: write staging or production; until\n    #                            then it is treated with production's care\n"
            }
        });
        if guess(context) == Environment::Staging && staging.is_none() {
            staging = Some(name.clone());
        }
        taken.push(name);
    }
    for context in left_out {
        out.push_str(&format!("  # left out, because it cannot be a cluster's name: {context:?}\n"));
    }
    out.push_str(&rest(staging.as_ref().or(taken.first())));
    out
}

/// What is the same for every fleet, and the proposal of a state cluster.
fn rest(state: Option<&String>) -> String {
    let state = state.map_or("<one of the clusters>".to_owned(), |name| quoted(name));
    format!(
        "\n# Namespaces that no policy is ever applied to. Add those of your platform.\n\
         namespaces:\n  exclude: [kube-system, kube-public, kube-node-lease, sluice, sluice-printers]\n\n\
         # Where the team's running state is kept. Nothing can be applied without it: choose a cluster\n\
         # that the whole team reaches, take the comments away, then run `sluice install`.\n\
         # state:\n#   cluster: {state}\n#   namespace: sluice\n\n\
         # Who answers for a namespace.\n\
         # owners:\n#   - {{namespaces: [shop], owner: team-shop, contact: \"#team-shop\"}}\n\n\
         # Who goes first (the lowest risk), and what goes last.\n\
         # risks:\n#   - {{namespaces: [shop-jobs], risk: 5}}\n#   - {{namespaces: [harbor], shared: true}}\n\n\
         # When rows may be applied; rollback works at any time.\n\
         # hours: {{zone: \"+01:00\", days: [mon, tue, wed, thu], from: \"09:00\", until: \"16:00\"}}\n"
    )
}

/// As YAML reads it back: plain where that is certain, else as JSON, which YAML includes.
fn quoted(raw: &str) -> String {
    let is_plain = raw.starts_with(|c: char| c.is_ascii_alphabetic())
        && raw.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && raw.contains(['-', '_', '.']);
    if is_plain { raw.to_owned() } else { serde_json::Value::from(raw).to_string() }
}

/// Writes the text as `sluice.yaml` into this folder, where there is none.
pub fn write(folder: &Path, text: &str) -> Result<(), Trouble> {
    let path = folder.join(FILE);
    let shown = path.to_string_lossy();
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Trouble::new(&shown, "it is there already and stays as it is", "Edit it, or name another folder.")
        }
        _ => Trouble::new(&shown, &format!("it cannot be written ({error})"), "Name a folder of your own."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fleet_file::parse;

    #[test]
    fn environments_are_guessed_from_whole_words_only() {
        use Environment::{Production, Staging, Unknown};
        for (name, environment) in [
            ("prod-eu", Production),
            ("kind-staging-eu", Staging),
            ("arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu", Production),
            ("gke_shop_europe-west1_dev2", Staging),
            ("PROD_US", Production),
            ("live", Production),
            ("preprod", Unknown),
            ("product-catalogue", Unknown),
            ("prod-test", Unknown),
            ("eu-1", Unknown),
            ("latest", Unknown),
        ] {
            assert_eq!(guess(name), environment, "{name}");
        }
    }

    const CONTEXTS: [&str; 9] = [
        "prod-eu",
        "arn:aws:eks:eu-west-1:111122223333:cluster/stg-eu",
        "arn:aws:eks:us-east-1:111122223333:cluster/stg-eu",
        "on",
        "7",
        "a: b # c",
        "x/discovery",
        "evil\u{1b}[2J",
        "/",
    ];

    #[test]
    fn the_text_is_what_a_person_goes_on_from() {
        insta::assert_snapshot!("init.yaml", text(CONTEXTS));
        insta::assert_snapshot!("init-empty.yaml", text([]));
    }

    #[test]
    fn it_is_read_back_with_every_cluster_it_names() {
        let parsed = parse("sluice.yaml", &text(CONTEXTS)).expect("valid");
        let clusters: Vec<_> = parsed
            .fleet
            .clusters
            .iter()
            .map(|entry| (entry.name.as_str(), entry.context.as_str(), entry.environment.as_str()))
            .collect();
        assert_eq!(
            clusters,
            [
                ("prod-eu", "prod-eu", "production"),
                ("stg-eu", CONTEXTS[1], "staging"),
                ("arn:aws:eks:us-east-1:111122223333:cluster-stg-eu", CONTEXTS[2], "staging"),
                ("on", "on", "unknown"),
                ("7", "7", "unknown"),
                ("a: b # c", "a: b # c", "unknown"),
            ]
        );
        assert_eq!(parsed.fleet.settings.state, None, "proposed, not chosen");
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a").expect("written");
        let trouble = write(folder.path(), "b").expect_err("there already");
        assert!(
            trouble
                .to_string()
                .ends_with("it is there already and stays as it is. Edit it, or name another folder.")
        );
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).expect("there"), "a");
        let trouble = write(&folder.path().join("gone"), "b").expect_err("no folder");
        assert!(trouble.to_string().contains("it cannot be written"), "{trouble}");
    }
}
