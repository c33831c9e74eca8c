//! `sluice init`: a first `sluice.yaml` from the kubeconfig's contexts, and the next step.

use std::path::PathBuf;

use super::{
    args::{Global, Init},
    exit::Exit,
    print::Printer,
    session,
};
use crate::workspace::init;

pub fn run(global: &Global, args: &Init, printer: &mut Printer<'_>) -> Exit {
    let contexts = match session::contexts(global.kubeconfig.as_deref()) {
        Ok(contexts) => contexts.all(),
        Err(trouble) => {
            printer.say(&format!("{trouble}\n"));
            return Exit::Failed;
        }
    };
    let wanted = |name: &&str| global.contexts.is_empty() || global.contexts.iter().any(|one| one == name);
    let names: Vec<&str> = contexts.iter().map(|context| context.name.as_str()).filter(wanted).collect();
    if names.is_empty() {
        printer.say("The kubeconfig has no such context: name another one with --kubeconfig, or leave --context out.\n");
        return Exit::Usage;
    }
    let folder =
        args.directory.clone().or_else(|| global.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    if let Err(trouble) = init::write(&folder, &init::text(names.iter().copied())) {
        printer.say(&format!("{trouble}\n"));
        return Exit::Refused;
    }
    let path = folder.join(crate::workspace::root::FILE);
    printer.out(&format!(
        "Wrote {}.\nNext: look at every environment in it and commit it. `sluice preflight` says what must hold of each \
         cluster, and `sluice collect` begins the week of evidence. Before the first apply: name the state cluster under \
         `state:`, then `sluice install`; `sluice plan` says what may go.\n",
        path.display(),
    ));
    Exit::Done
}
