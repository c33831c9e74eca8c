//! Installing: what is shown is what is written, twice changes nothing, an old one is upgraded, and
//! who still lacks a role is said.

use serde_json::{Value, json};
use sluice::k8s::shared::install::{self, Change};

use super::{access, admin, bare, bind, installed, place, start};

fn words(plan: &install::Plan) -> String {
    plan.steps.iter().map(|step| format!("{} {}\n", step.change.word(), step.object)).collect()
}

#[tokio::test(start_paused = true)]
async fn everything_is_shown_before_and_the_second_time_nothing_is_left() {
    let cluster = bare();
    let plan = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    insta::assert_snapshot!(words(&plan));
    assert!(cluster.objects("apiextensions.k8s.io/v1", "CustomResourceDefinition").is_empty());
    install::install(&admin(&cluster), &plan, start()).await.expect("it installs");
    let again = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    assert_eq!(again.writes().map(|step| step.object.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    install::install(&admin(&cluster), &again, start()).await.expect("nothing is left to do");
    let entries = cluster.objects("sluice.dev/v1alpha1", "JournalEntry");
    assert_eq!(entries.len(), 1, "recorded once, since the second changed nothing");
    assert_eq!(entries[0]["metadata"]["name"], "entry-000000001");
    assert_eq!((&entries[0]["spec"]["by"], &entries[0]["spec"]["act"]), (&json!("root"), &json!("install")));
}

#[tokio::test(start_paused = true)]
async fn an_older_one_is_upgraded_and_the_difference_is_shown() {
    let cluster = installed().await;
    let path = "ValidatingAdmissionPolicy";
    let live = cluster.objects("admissionregistration.k8s.io/v1", path);
    let mut old = Value::clone(live.iter().find(|it| it["metadata"]["name"] == "sluice-author").expect("it"));
    old["spec"]["validations"][0]["reason"] = json!("Invalid");
    cluster.seed(old);
    let plan = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    let writes: Vec<_> = plan.writes().collect();
    assert_eq!(writes.len(), 1);
    let Change::Differs(lines) = &writes[0].change else { panic!("{:?}", writes[0].change) };
    let changed: Vec<_> = lines.iter().filter(|line| line.text.as_str().contains("reason")).collect();
    assert_eq!(changed.len(), 2, "{lines:?}");
    install::install(&admin(&cluster), &plan, start()).await.expect("it installs");
    let again = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    assert_eq!(again.writes().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn roles_without_anybody_are_said_as_commands() {
    let cluster = bare();
    let plan = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    install::install(&admin(&cluster), &plan, start()).await.expect("it installs");
    let missing = install::unbound(&admin(&cluster), &place()).await.expect("it can be seen");
    let missing: Vec<_> = missing.iter().map(|command| format!("{command}\n")).collect();
    insta::assert_snapshot!(missing.concat());
    bind(&cluster);
    assert_eq!(install::unbound(&admin(&cluster), &place()).await, Some(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_install_is_told_so_before_anything_is_written() {
    let cluster = bare();
    let nobody = access(&cluster, "ann", &[]);
    let trouble = install::plan(&nobody, &place()).await.expect_err("it is refused");
    assert_eq!(
        trouble.to_string(),
        "Namespace sluice: refused with HTTP 403: namespaces \"sluice\" is forbidden: User \"ann\" cannot get resource \"namespaces\" in API group \"\" in the namespace \"sluice\". Ask the cluster's admin for this right, or choose a context that has it."
    );
}

#[test]
fn what_is_printed_is_what_kubectl_can_apply() {
    let text = install::print(&place()).expect("our own files");
    let documents: Vec<Value> = serde_yaml::from_multiple(&text).expect("it is YAML");
    assert_eq!(documents.len(), 25);
    assert_eq!(
        install::command("arn:aws:x"),
        "sluice install --print | kubectl --context arn:aws:x apply --server-side --force-conflicts --field-manager sluice -f -"
    );
}
