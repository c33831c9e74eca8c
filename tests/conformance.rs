//! The simulated API server against recordings of a real one (`tests/conformance/README.md`).
//! Every step must answer as recorded; what is out of scope stands in `exceptions.txt` with its
//! reason, and must not pass by accident.

#[path = "conformance/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fmt::Write;

use harness::{replay, scene};

/// One exception: this step of this scene may differ.
fn exceptions() -> BTreeMap<(String, usize), String> {
    let path = scene::directory().join("exceptions.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let mut words = line.splitn(3, ' ');
        let scene = words.next().expect("a row names its scene").to_owned();
        let step = words.next().and_then(|s| s.parse().ok()).expect("a row names its step");
        let reason = words.next().expect("a row names its reason").to_owned();
        ((scene, step), reason)
    })
    .collect()
}

async fn check(name: &str) {
    let (steps, differences) = replay::play(name).await;
    let excepted = exceptions();
    let mut report = String::new();
    let mut differing: Vec<usize> = Vec::new();
    for difference in &differences {
        differing.push(difference.step);
        if excepted.contains_key(&(name.to_owned(), difference.step)) {
            continue;
        }
        let _ = writeln!(report, "--- {name} step {}: {}", difference.step, difference.about);
        for line in &difference.lines {
            let _ = writeln!(report, "    {line}");
        }
    }
    let listed = excepted.keys().filter(|(scene, _)| scene == name).map(|(_, step)| *step);
    for step in listed.filter(|step| !differing.contains(step)) {
        let _ = writeln!(report, "--- {name} step {step} is listed as an exception but passes");
    }
    differing.sort_unstable();
    differing.dedup();
    assert!(report.is_empty(), "\n{report}{name}: {} of {steps} steps differ\n", differing.len());
}

macro_rules! scenes {
    ($($function:ident $name:literal)*) => {
        const SCENES: &[&str] = &[$($name),*];
        $(
            #[tokio::test(start_paused = true)]
            async fn $function() {
                check($name).await;
            }
        )*
    };
}

scenes! {
    s01_version "01-version"
    s02_api_discovery "02-api-discovery"
    s03_discovery_aggregated "03-discovery-aggregated"
    s04_namespaces_list "04-namespaces-list"
    s05_namespaces_create_delete "05-namespaces-create-delete"
    s06_pagination "06-pagination"
    s07_selectors "07-selectors"
    s08_accept_forms "08-accept-forms"
    s09_list_resourceversion "09-list-resourceversion"
    s10_watch_basic "10-watch-basic"
    s11_watch_rv0_bookmarks "11-watch-rv0-bookmarks"
    s12_watch_list "12-watch-list"
    s13_watch_timeout "13-watch-timeout"
    s14_watch_expired "14-watch-expired"
    s15_watch_selectors "15-watch-selectors"
    s16_watch_forms "16-watch-forms"
    s17_watch_refused_and_namespace_end "17-watch-refused-and-namespace-end"
    s18_server_killed "18-server-killed"
    s20_networkpolicy_crud "20-networkpolicy-crud"
    s21_networkpolicy_delete_options "21-networkpolicy-delete-options"
    s22_networkpolicy_deletecollection "22-networkpolicy-deletecollection"
    s23_networkpolicy_generation "23-networkpolicy-generation"
    s30_apply_basic "30-apply-basic"
    s31_apply_conflict "31-apply-conflict"
    s32_apply_ownership "32-apply-ownership"
    s33_apply_errors "33-apply-errors"
    s40_dry_run "40-dry-run"
    s41_field_validation "41-field-validation"
    s42_networkpolicy_validation "42-networkpolicy-validation"
    s43_media_types_and_bodies "43-media-types-and-bodies"
    s44_order_of_checks "44-order-of-checks"
    s50_rbac_forbidden "50-rbac-forbidden"
    s51_authentication "51-authentication"
    s52_self_reviews "52-self-reviews"
    s53_impersonation "53-impersonation"
    s54_too_many_requests "54-too-many-requests"
    s60_leases "60-leases"
    s61_events "61-events"
    s62_configmaps "62-configmaps"
    s70_crd_lifecycle "70-crd-lifecycle"
    s71_customresource_validation "71-customresource-validation"
    s72_customresource_status_apply_watch "72-customresource-status-apply-watch"
    s75_validating_admission_policy "75-validating-admission-policy"
    s80_namespace_terminating "80-namespace-terminating"
    s81_namespace_no_controllers "81-namespace-no-controllers"
    s85_pods "85-pods"
    s86_portforward_errors "86-portforward-errors"
    s87_owner_references "87-owner-references"
    s90_list_1200 "90-list-1200"
    s99_openapi_networking_v1 "99-openapi-networking-v1"
}

#[test]
fn every_recording_in_scope_is_replayed() {
    let mut names: Vec<String> = std::fs::read_dir(scene::directory())
        .expect("the recordings are there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name != "00-fixture")
        .collect();
    names.sort();
    assert_eq!(names, SCENES);
    for (scene, _) in exceptions().keys() {
        assert!(SCENES.contains(&scene.as_str()), "exceptions.txt names {scene}, which is not replayed");
    }
}
