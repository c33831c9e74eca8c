//! The field tables of the kinds served: names, types, what is left out when empty, how server-side
//! apply owns lists, and the keys of strategic merges. Read once from `assets/sim/types.txt`, which
//! explains its own form. It holds no rule about values.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::custom::definition::Definition;

const TABLE: &str = include_str!("../../../assets/sim/types.txt");

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Text,
    /// A text with a Go type of its own, such as `v1.PolicyType`.
    Named(String),
    Int32,
    Int64,
    Bool,
    IntOrString,
    Quantity,
    Time,
    /// A time with exactly six digits after the second.
    MicroTime,
    Bytes,
    /// Anything; kept as it is.
    Any,
    List(Box<Type>),
    Map(Box<Type>),
    /// A type of the table, by name.
    Struct(String),
}

/// How field ownership divides a list, a map or an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Ownership {
    /// One owner for all of it.
    Whole,
    /// Field by field.
    Granular,
    /// A list of plain values, each owned alone.
    Set,
    /// A list of objects told apart by these fields.
    Keys(Vec<String>),
}

/// One field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    /// Kept although empty.
    pub pointer: bool,
    /// Written although empty.
    pub always: bool,
    pub ownership: Ownership,
    /// The key of a strategic merge of lists; empty for lists of plain values.
    pub merge: Option<String>,
}

/// One type of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
    /// Fields not listed are kept.
    pub open: bool,
    /// Owned as one.
    pub whole: bool,
}

impl Struct {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A kind of object that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    /// Its outermost type.
    pub root: String,
    /// Of a custom resource: the version of its definition.
    pub custom: Option<Arc<Definition>>,
}

impl Kind {
    /// A kind the tables do not know, such as a CNI's own policies: only its metadata is typed.
    pub fn custom(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            root: "Loose".to_owned(),
            custom: None,
        }
    }

    /// As in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The type of the whole object.
    pub fn root_type(&self) -> Type {
        Type::Struct(self.root.clone())
    }
}

/// The kind of this apiVersion and name.
pub fn kind(api_version: &str, name: &str) -> Option<&'static Kind> {
    table().kinds.iter().find(|one| one.kind == name && one.api_version() == api_version)
}

/// The kind behind a resource of a group.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    table().kinds.iter().find(|one| one.plural == plural && one.group == group)
}

/// The type of this name. Every name in the table is checked by a test, hence no Option.
pub fn object(name: &str) -> &'static Struct {
    table().types.get(name).expect("the table names only its own types; a test reads them all")
}

struct Table {
    kinds: Vec<Kind>,
    types: BTreeMap<String, Struct>,
}

fn table() -> &'static Table {
    static READ: OnceLock<Table> = OnceLock::new();
    READ.get_or_init(|| read(TABLE))
}

fn read(text: &str) -> Table {
    let mut table = Table { kinds: Vec::new(), types: BTreeMap::new() };
    for block in text.split("\n\n") {
        let mut lines = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).peekable();
        if lines.peek().is_some_and(|first| first.starts_with("type ")) {
            let head = lines.next().unwrap_or_default();
            let one = read_struct(head, lines);
            table.types.insert(one.name.clone(), one);
        } else {
            table.kinds.extend(lines.filter_map(read_kind));
        }
    }
    table
}

fn read_kind(line: &str) -> Option<Kind> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["kind", api_version, kind, plural, root] = words[..] else { return None };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Some(Kind { root: root.to_owned(), ..Kind::custom(group, version, kind, plural) })
}

fn read_struct<'a>(head: &str, lines: impl Iterator<Item = &'a str>) -> Struct {
    let mut words = head.split_whitespace().skip(1);
    let name = words.next().unwrap_or_default().to_owned();
    let mut out = Struct { name, fields: Vec::new(), open: false, whole: words.next() == Some("atomic") };
    for line in lines {
        if line == "..." {
            out.open = true;
        } else {
            out.fields.push(read_field(line));
        }
    }
    out
}

fn read_field(line: &str) -> Field {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let ty = read_type(words.next().unwrap_or_default());
    let ownership = if matches!(ty, Type::List(_)) { Ownership::Whole } else { Ownership::Granular };
    let mut field = Field { name, ty, pointer: false, always: false, ownership, merge: None };
    for word in words {
        match word {
            "*" => field.pointer = true,
            "!" => field.always = true,
            "atomic" => field.ownership = Ownership::Whole,
            "set" => field.ownership = Ownership::Set,
            _ => {
                if let Some(keys) = word.strip_prefix("map=") {
                    field.ownership = Ownership::Keys(keys.split(',').map(str::to_owned).collect());
                } else if let Some(key) = word.strip_prefix("merge=") {
                    field.merge = Some(key.to_owned());
                }
            }
        }
    }
    field
}

fn read_type(word: &str) -> Type {
    if let Some(of) = word.strip_prefix("[]") {
        return Type::List(Box::new(read_type(of)));
    }
    if let Some(of) = word.strip_prefix("{}") {
        return Type::Map(Box::new(read_type(of)));
    }
    if let Some(name) = word.strip_prefix('~') {
        let full = if name.contains('.') { name.to_owned() } else { format!("v1.{name}") };
        return Type::Named(full);
    }
    match word {
        "text" => Type::Text,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "bool" => Type::Bool,
        "intOrString" => Type::IntOrString,
        "quantity" => Type::Quantity,
        "time" => Type::Time,
        "microTime" => Type::MicroTime,
        "bytes" => Type::Bytes,
        "any" => Type::Any,
        name => Type::Struct(name.to_owned()),
    }
}

impl Type {
    /// What Go calls it in an error.
    pub fn go_name(&self) -> String {
        match self {
            Self::Text | Self::Quantity | Self::Bytes | Self::Any => "string".to_owned(),
            Self::Named(name) => name.clone(),
            Self::Int32 | Self::IntOrString => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Time => "v1.Time".to_owned(),
            Self::MicroTime => "v1.MicroTime".to_owned(),
            Self::List(of) => format!("[]{}", of.go_name()),
            Self::Map(of) => format!("map[string]{}", of.go_name()),
            Self::Struct(name) => format!("v1.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ownership, Type, by_plural, kind, object, table};

    fn names(ty: &Type, out: &mut Vec<String>) {
        match ty {
            Type::List(of) | Type::Map(of) => names(of, out),
            Type::Struct(name) => out.push(name.clone()),
            Type::Text
            | Type::Named(_)
            | Type::Int32
            | Type::Int64
            | Type::Bool
            | Type::IntOrString
            | Type::Quantity
            | Type::Time
            | Type::MicroTime
            | Type::Bytes
            | Type::Any => {}
        }
    }

    #[test]
    fn every_type_the_table_names_is_in_the_table() {
        let mut wanted: Vec<String> = table().kinds.iter().map(|kind| kind.root.clone()).collect();
        for one in table().types.values() {
            one.fields.iter().for_each(|field| names(&field.ty, &mut wanted));
        }
        let missing: Vec<_> = wanted.into_iter().filter(|name| !table().types.contains_key(name)).collect();
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn a_policy_is_owned_in_four_pieces() {
        let policy = kind("networking.k8s.io/v1", "NetworkPolicy").expect("served");
        assert_eq!(by_plural("networking.k8s.io", "networkpolicies"), Some(policy));
        let spec = object("NetworkPolicySpec");
        let order: Vec<&str> = spec.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(order, ["podSelector", "ingress", "egress", "policyTypes"]);
        assert_eq!(spec.fields[1].ownership, Ownership::Whole);
        assert!(object("LabelSelector").whole);
        assert_eq!(
            object("PodSpec").field("containers").and_then(|f| f.merge.clone()),
            Some("name".to_owned())
        );
    }
}
