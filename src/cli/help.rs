//! Examples under the help of the commands that people type most. A test parses each of them, and the
//! manual page prints them too.

/// Of `sluice` itself.
pub fn main() -> String {
    format!("{MAIN}\n\n{}", super::exit::help())
}

pub const MAIN: &str = "\
Examples:
  sluice demo                              # a simulated fleet, nothing else to install
  sluice                                   # the cockpit
  sluice --context prod-eu --read-only     # one cluster, and nothing can be changed
  sluice plan                              # what may go today; for the rest every reason
  sluice apply --cluster staging -n shop --direction egress --dry-run
  sluice rollback --cluster staging -n shop --yes";

pub const DEMO: &str = "\
Examples:
  sluice demo
  sluice demo --person on-call             # sees what is denied, may take back
  sluice demo --speed 60                   # a minute a second
  sluice demo --serve --directory fleet    # for kubectl and the other commands, in another terminal";

pub const STATUS: &str = "\
Examples:
  sluice status
  sluice status --context prod-eu -o json";

pub const PREFLIGHT: &str = "\
Examples:
  sluice preflight
  sluice preflight --cluster prod-eu -o json
  sluice preflight --manifests rendered/   # YAML or JSON, before there is a cluster";

pub const DENIALS: &str = "\
Examples:
  sluice denials --for 30s -n shop
  sluice denials --follow -o json          # one object a line, until interrupted";

pub const AUTHOR: &str = "\
Examples:
  sluice author --cluster prod-eu -n shop --dry-run
  sluice author --all
  sluice author --all --harbor landed      # what a flip of the setting would rewrite; writes nothing
  sluice author --all --offline --facts facts.yaml";

pub const APPLY: &str = "\
Examples:
  sluice apply --cluster staging -n shop --direction egress --dry-run
  sluice apply --cluster staging -n shop --direction egress
  sluice apply --cluster prod-eu -n shop --direction egress --to-git ../gitops";

pub const ADVANCE: &str = "\
Examples:
  sluice advance --dry-run                 # previews each row of the wave that may go
  sluice advance --direction ingress";

pub const ROLLBACK: &str = "\
Examples:
  sluice rollback --cluster prod-eu -n shop
  sluice rollback --cluster prod-eu -n shop --direction egress --yes
  sluice rollback --cluster prod-eu --all-namespaces --yes";

pub const PLAN: &str = "\
Examples:
  sluice plan
  sluice plan --direction egress -o json";

pub const HOLD: &str = "\
Examples:
  sluice hold --cluster prod-eu -n shop --reason \"vendor incident\" --for 2d
  sluice hold --fleet --reason \"change freeze\" --until 2027-01-03";

pub const EXCLUDE: &str = "\
Examples:
  sluice exclude --cluster prod-eu -n legacy --reason \"being retired\" --until 2026-12-31";

pub const WAIVE: &str = "\
Examples:
  sluice waive --cluster eu -n web --direction egress --cronjob year-end --reason \"runs in January\"
  sluice waive --cluster eu -n web --direction egress --quiet --reason \"a cold standby\" --until 30d
In the cockpit W waives what the cursor is on, and Y in its form copies the command.";

pub const OVERRIDE: &str = "\
Examples:
  sluice apply --cluster eu -n web --direction egress --dry-run    # prints the digest
  sluice override ask --cluster eu -n web --direction egress --digest 4f1c09a2b7e3 --covers soak --reason \"the vendor moves tonight\"
  sluice override confirm NAME             # somebody else";

pub const INIT: &str = "\
Examples:
  sluice init                              # every context of the kubeconfig
  sluice init --context staging            # this one only; may be repeated";

pub const COLLECT: &str = "\
Examples:
  sluice collect --context staging --data collect    # from this machine, by the kubeconfig
  sluice collect --dnstap tcp:0.0.0.0:6000           # in the cluster, as assets/collect has it
  sluice collect --no-hubble --flows calico-json:/var/log/calico/flowlogs/flows.log";

pub const WATCH: &str = "\
Examples:
  sluice watch                             # until SIGTERM; assets/watch has the manifests";

pub const INSTALL: &str = "\
Examples:
  sluice install --dry-run
  sluice install --state-cluster staging
  sluice install --print | kubectl apply --server-side -f -";

pub const REVIEW_ASK: &str = "\
Examples:
  sluice review ask -n shop --purpose \"orders are sent there\"
  sluice review ask -n shop --destination hooks.example.net --port TCP/443 --purpose orders --expires 30d";

pub const HANDOVER: &str = "\
Examples:
  sluice report handover
  sluice report handover --since 8h --write";

pub const JOURNAL: &str = "\
Examples:
  sluice report journal -o json > journal.jsonl
  sluice report verify journal.jsonl       # needs nothing but the copy";

pub const COMPLETIONS: &str = "\
Examples:
  sluice completions bash > ~/.local/share/bash-completion/completions/sluice
  sluice completions zsh > ~/.zfunc/_sluice
  sluice completions fish > ~/.config/fish/completions/sluice.fish";

pub const MAN: &str = "\
Examples:
  sluice man | man -l -
  sluice man > ~/.local/share/man/man1/sluice.1";
