//! Tools that own an object and may undo what a person writes (sources of the marks:
//! argoproj/argo-cd, fluxcd, Helm, Rancher; read by `manifest`). sluice never suspends one itself:
//! it names the command, because a rollback that is undone a minute later is none.

use std::fmt;

use super::names::Text;

/// Who has to do with an object, by the marks on it. Absence of marks proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// Only of live objects: who wrote `spec` by `managedFields`, the last one first.
    pub managers: Vec<Text>,
    /// The tool that owns the object and may undo an edit.
    pub owner: Option<Owner>,
}

/// The tool that owns an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    ArgoCd {
        application: Text,
    },
    FluxKustomization {
        ns: Text,
        name: Text,
    },
    FluxHelmRelease {
        ns: Text,
        name: Text,
    },
    Helm {
        release: Text,
    },
    /// Another tool, in words.
    Tool(Text),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgoCd { application } => write!(f, "Argo CD application {application}"),
            Self::FluxKustomization { ns, name } => write!(f, "Flux Kustomization {ns}/{name}"),
            Self::FluxHelmRelease { ns, name } => write!(f, "Flux HelmRelease {ns}/{name}"),
            Self::Helm { release } => write!(f, "Helm release {release}"),
            Self::Tool(words) => write!(f, "{words}"),
        }
    }
}

impl Owner {
    /// What a person runs so that the tool does not undo a rollback; `None` where no command of ours
    /// is known to help (Helm writes at its next upgrade only).
    pub fn suspend(&self) -> Option<String> {
        match self {
            Self::ArgoCd { application } => Some(format!(
                "kubectl annotate applications.argoproj.io {application} -n argocd \
                 argocd.argoproj.io/skip-reconcile=true"
            )),
            Self::FluxKustomization { ns, name } => {
                Some(format!("flux suspend kustomization {name} -n {ns}"))
            }
            Self::FluxHelmRelease { ns, name } => Some(format!("flux suspend helmrelease {name} -n {ns}")),
            Self::Helm { .. } | Self::Tool(_) => None,
        }
    }
}
