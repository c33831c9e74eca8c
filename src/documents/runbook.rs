//! `SECURITY-RUNBOOK.md`: what a person needs who has to undo a default deny without sluice, or has
//! never seen one. From the fleet file and the policy files alone, so that it can be written, and is
//! true, when no cluster answers. Pure: same files and notes, same bytes.

use chrono::{NaiveDate, Weekday};

use super::{
    markdown::{Rows, code, md},
    notes::{self, Kind, Notes, Writer},
};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, PolicyFiles},
        settings::{BlockedDays, Settings, WaveSettings, WaveSize, WorkingHours},
    },
    domain::{
        flow::Direction,
        names::Text,
        owner::Owner,
        policy::{PINNED, Pinned, Role},
        soak::length,
        time::{Timestamp, span},
        valve,
    },
};

/// Its name at the root of the workspace.
pub const FILE: &str = "SECURITY-RUNBOOK.md";

/// What a runbook is written from.
pub struct Runbook<'r> {
    pub fleet: &'r FleetFile,
    pub files: &'r PolicyFiles,
    /// What people wrote before.
    pub notes: &'r Notes,
    /// The due date that it had before.
    pub due: Option<NaiveDate>,
    pub generated: Timestamp,
}

/// Where a person puts the namespace into a command.
const NS: &str = "NAMESPACE";

/// The whole file.
pub fn text(runbook: &Runbook<'_>) -> String {
    let today = runbook.generated.date_naive();
    let reviewed = notes::reviewed(runbook.notes, today).map(|one| one.day);
    let due = notes::due(reviewed, runbook.due, today);
    let mut writer = Writer::new(runbook.notes.clone());
    writer.line("");
    writer.opening(runbook, reviewed, due);
    writer.take_back();
    writer.commands(runbook);
    writer.why_the_whole_set();
    writer.without_sluice();
    writer.people(runbook.fleet);
    writer.rollout(&runbook.fleet.settings);
    writer.layout();
    writer.notes(notes::NAMESPACE, "what this team adds", "");
    writer.orphans("## Notes on clusters that are not in sluice.yaml any more");
    notes::seal(Kind::Runbook, runbook.generated, due, &writer.out)
}

impl Writer {
    fn opening(&mut self, runbook: &Runbook<'_>, reviewed: Option<NaiveDate>, due: NaiveDate) {
        self.para("# Security runbook: default-deny NetworkPolicies");
        self.para(
            "Written by `sluice runbook --write` from sluice.yaml and the policy files. Write between the lines \
             `notes` and `end of notes`: that is kept. Edits elsewhere are refused, not lost.",
        );
        let mut table = Rows::new(&["", ""]);
        table.row(["Generated".to_owned(), format!("{} UTC", runbook.generated.format("%Y-%m-%d %H:%M"))]);
        table.row(["Clusters".to_owned(), runbook.fleet.clusters.len().to_string()]);
        table.row(["Last review".to_owned(), reviewed.map_or("not yet".to_owned(), |day| day.to_string())]);
        table.row(["Next review due".to_owned(), format!("{due} (monthly)")]);
        self.para(&table.out);
        self.reviews();
    }

    fn take_back(&mut self) {
        self.para("## Traffic is denied that should not be: take it back now");
        self.para(
            "Taking a namespace back is always allowed, by anybody on call, at any time. It needs the API server of \
             that cluster and nothing else. It opens one direction of one namespace; nothing else changes.",
        );
        self.para(
            "1. In the cockpit: go to the row, `ctrl-r` twice.\n\
             2. On a command line: `sluice rollback --context CONTEXT -n NAMESPACE --direction egress` (or ingress).\n\
             3. Without sluice: the commands of the cluster below, in their order. The first restores traffic in one \
             write; the others remove what would isolate again, the default deny last.",
        );
        self.para(
            "Which direction: egress of the namespace whose pods call, ingress of the namespace whose pods are \
             called. `kubectl --context CONTEXT get networkpolicy -n NAMESPACE` shows which of the two is closed. Who \
             cannot tell takes back both.",
        );
        self.para(
            "- `NotFound` of the first command: the default deny is gone already. Go on with the next one.\n\
             - `context was not found`: `kubectl config get-contexts` lists what your kubeconfig has; the names \
             below are those of the kubeconfig that sluice.yaml is for.\n\
             - `Forbidden`: `kubectl --context CONTEXT auth can-i delete networkpolicies -n NAMESPACE` says what you \
             may; call the next person of the list below.\n\
             - It hangs: interrupt it and run it again. Once the first one went through, nothing is closed wherever \
             the others stop.",
        );
        self.para(
            "Then look whether it ended: `kubectl --context CONTEXT get networkpolicy -n NAMESPACE` (on Cilium also \
             `ciliumnetworkpolicy`) must show none of the names of that direction, the pods become ready, and new \
             connections work. Connections that failed may need the pod to be restarted: some programs elect a leader \
             or resolve a name only once. The namespace's owner may do that: `kubectl --context CONTEXT rollout \
             restart deployment NAME -n NAMESPACE`. sluice closes nothing again by itself.",
        );
        let argo = Owner::ArgoCd { application: Text::new("APPLICATION") };
        let flux = Owner::FluxKustomization { ns: Text::new("FLUX-NAMESPACE"), name: Text::new("NAME") };
        let suspend: Vec<_> = [argo, flux].iter().filter_map(Owner::suspend).collect();
        self.para(
            "If a policy comes back, a tool applies it from git. Suspend that tool, in the cluster where it runs, take \
             it back again, and revert the commit:",
        );
        let without_flux = "kubectl patch kustomizations.kustomize.toolkit.fluxcd.io NAME -n FLUX-NAMESPACE \
                            --type=merge -p '{\"spec\":{\"suspend\":true}}'";
        self.para(&format!(
            "```sh\n# Argo CD; Flux; Flux without its command line\n{}\n{without_flux}\n```",
            suspend.join("\n")
        ));
    }

    fn commands(&mut self, runbook: &Runbook<'_>) {
        self.para("## The commands of each cluster");
        self.para(&format!("Put the namespace in the place of `{NS}`."));
        for entry in &runbook.fleet.clusters {
            self.cluster(entry, has_fqdn(runbook.files, entry));
        }
    }

    fn cluster(&mut self, entry: &ClusterEntry, fqdn: bool) {
        self.para(&format!("### {} ({})", code(entry.name.as_str()), entry.environment.as_str()));
        let mut lines = Vec::new();
        for direction in Direction::ALL {
            lines.push(format!("# {direction}"));
            lines.extend(valve::by_hand(entry.context.as_str(), NS, direction, fqdn));
        }
        self.para(&format!("```sh\n{}\n```", lines.join("\n")));
        let title = format!("cluster {}", entry.name);
        self.notes(&notes::id(&["cluster", entry.name.as_str()]), &title, "");
    }

    fn why_the_whole_set(&mut self) {
        self.para("## Why deleting the default deny alone does not suffice");
        self.para(
            "Any NetworkPolicy that selects a pod isolates it in the directions that it names: from then on only what \
             some policy allows may pass. An allowlist isolates as much as a default deny. With the default deny \
             gone and an allowlist left, every pod of the namespace is still cut off from what is not listed. So the \
             whole set of the direction goes:",
        );
        let mut table = Rows::new(&["direction", "policies that isolate"]);
        for direction in Direction::ALL {
            let names: Vec<_> = Pinned::of(direction)
                .map(|p| match p.role {
                    Role::Fqdn => format!("`{}` ({}, where there is one)", p.name, p.kind),
                    Role::Valve | Role::Baseline | Role::Allowlist => format!("`{}`", p.name),
                })
                .collect();
            table.row([direction.to_string(), names.join(", ")]);
        }
        self.para(&table.out);
        self.para(
            "The other direction stays as it is. Policies of other names are not of this rollout: leave them, and tell \
             whoever owns them if they isolate.",
        );
    }

    fn without_sluice(&mut self) {
        self.para("## When sluice itself is not available");
        self.para(
            "sluice is not in the path of any packet. Policies that are live stay live and go on being enforced by the \
             network plugin; nothing opens or closes by itself because sluice, its collectors or its state cluster \
             are away.",
        );
        self.para(
            "- Soak clocks pause: minutes that nobody observed never count. Nothing advances until it is back.\n\
             - Denials are still there to see. Cilium: `kubectl --context CONTEXT port-forward -n kube-system \
             svc/hubble-relay 4245:80` (by who may read pods there), and beside it `hubble observe --verdict DROPPED \
             -n NAMESPACE --follow`. Calico with Goldmane: Whisker. Antrea: \
             `/var/log/antrea/networkpolicy/np.log` on the node.\n\
             - Take back by the commands above. Do not apply policy files by hand to repair something: the order \
             matters (the default deny open, then the allows, then the default deny closed), and a half of it \
             isolates.\n\
             - State cluster away: the cockpit and `sluice rollback` go on without it. What was done meanwhile is \
             shown as an incident when it is back; say in the notes who did what and when.",
        );
    }

    fn people(&mut self, fleet: &FleetFile) {
        self.para("## Whom to call");
        let escalation = &fleet.settings.escalation;
        if escalation.is_empty() {
            self.para("Nobody is named yet: list them in their order under `escalation:` in sluice.yaml.");
        } else {
            let steps =
                escalation.iter().enumerate().map(|(at, who)| format!("{}. {}", at + 1, md(who.as_str())));
            self.para(&steps.collect::<Vec<_>>().join("\n"));
        }
        if fleet.owners.is_empty() {
            return;
        }
        let mut table = Rows::new(&["namespaces", "owner", "contact"]);
        for entry in &fleet.owners {
            let names: Vec<_> = entry.namespaces.iter().map(|ns| code(ns.as_str())).collect();
            let contact = entry.contact.as_ref().map_or("-".to_owned(), |contact| md(contact.as_str()));
            table.row([names.join(", "), md(entry.owner.as_str()), contact]);
        }
        self.para(&table.out);
    }

    fn rollout(&mut self, settings: &Settings) {
        self.para("## How the rollout goes");
        self.para(&format!(
            "Per namespace and direction: {} of flows are reviewed, policies are written from them, flagged \
             destinations get a named decision, and the set is applied in a wave. Each wave soaks {} of observed time \
             without an open denial before the next may start. `sluice plan` says where everything stands.",
            span(settings.baseline),
            length(settings.soak.needed.num_minutes()),
        ));
        let mut table = Rows::new(&["direction", "staging", "production", "at most at once"]);
        for (direction, sizes) in
            [(Direction::Egress, &settings.egress), (Direction::Ingress, &settings.ingress)]
        {
            table.row([
                direction.to_string(),
                sizes_of(&sizes.staging),
                format!("{}, and so on", sizes_of(&sizes.production)),
                at_most(sizes),
            ]);
        }
        self.para(&table.out);
        self.para(&times(settings.hours.as_ref(), &settings.blocked));
    }

    fn layout(&mut self) {
        self.para("## Where the policies lie");
        self.para(
            "In the workspace, `network-policies/<cluster>/<namespace>/`, one object a file. The names never change: \
             rollback, drift checks and this runbook rest on them. Rules that people add stand in \
             `egress-allowlist.extra.yaml` and `ingress-allowlist.extra.yaml` and survive a regeneration; the evidence is \
             in `network-policies/discovery/<namespace>.md`.",
        );
        let mut table = Rows::new(&["file", "kind", "purpose"]);
        for pinned in &PINNED {
            let purpose = match (pinned.role, pinned.direction) {
                (Role::Valve, Direction::Egress) => "selects every pod, allows nothing out",
                (Role::Valve, Direction::Ingress) => "selects every pod, allows nothing in",
                (Role::Baseline, _) => "DNS, NTP, pods of the cluster among themselves",
                (Role::Allowlist, Direction::Egress) => "the namespace's own destinations",
                (Role::Allowlist, Direction::Ingress) => "the namespace's own callers",
                (Role::Fqdn, _) => "names whose addresses change; only on Cilium, optional",
            };
            table.row([format!("`{}.yaml`", pinned.name), pinned.kind.to_string(), purpose.to_owned()]);
        }
        self.para(&table.out);
    }
}

/// Does any namespace of the cluster have the optional policy?
fn has_fqdn(files: &PolicyFiles, entry: &ClusterEntry) -> bool {
    let fqdn = |set: &valve::Set| PINNED.iter().any(|p| p.role == Role::Fqdn && set.contains_key(p.name));
    files.sets.iter().any(|((cluster, ..), authored)| *cluster == entry.name && fqdn(&authored.set))
}

fn sizes_of(sizes: &[WaveSize]) -> String {
    let word = |size: &WaveSize| match size {
        WaveSize::Rows(rows) => rows.to_string(),
        WaveSize::Rest => "all that are left".to_owned(),
    };
    sizes.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn at_most(sizes: &WaveSettings) -> String {
    format!("{} % of production", sizes.at_most_percent)
}

fn times(hours: Option<&WorkingHours>, blocked: &[BlockedDays]) -> String {
    let day = |day: &Weekday| day.to_string().to_lowercase();
    let mut out = match hours {
        None => "Rows may be applied at any hour.".to_owned(),
        Some(hours) => format!(
            "Rows are applied {} from {} until {} (in the zone that sluice.yaml names).",
            hours.days.iter().map(day).collect::<Vec<_>>().join(", "),
            hours.from.format("%H:%M"),
            hours.until.format("%H:%M"),
        ),
    };
    for days in blocked {
        let why: &Text = &days.why;
        out.push_str(&format!(
            " Nothing is applied from {} to {}: {}.",
            days.from,
            days.to,
            md(why.as_str())
        ));
    }
    out.push_str(" Taking back is possible at any time.");
    out
}
