//! What a CEL compiler finds before anything runs: names nobody declared, fields a schema does not
//! have, values of two kinds compared (scenes 70 and 75). Types are followed as far as schemas and
//! literals tell them; where they do not, nothing is claimed. It never estimates costs.

use std::sync::{Arc, OnceLock};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use serde_json::json;

use super::cel::{self as language, Expression};
use super::custom::node::{Node, Sort};

/// What is known of a value before it is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'a> {
    Anything,
    /// It fits this schema.
    Of(&'a Node),
    /// The same, but its fields are written as they are: no schema of a client's.
    Raw(&'a Node),
    /// It is of this plain type, named as CEL does.
    Plain(&'static str),
}

/// The name of a type, such as `bool`, where it is sure.
pub type Sure = Option<&'static str>;

/// A declared name and what is known of it.
pub type Declared<'a> = (&'a str, Known<'a>);

/// The compiled expression and the type of its value, as far as that is sure; or what the compiler
/// says against it.
pub fn compile(text: &str, declared: &[Declared<'_>]) -> Result<(Arc<Expression>, Sure), String> {
    let expression = language::compile(text).map_err(|said| format!("compilation failed: {said}"))?;
    let sure = check(&expression, declared)?;
    Ok((expression, sure))
}

fn check(expression: &Expression, declared: &[Declared<'_>]) -> Result<Sure, String> {
    let scope = declared.iter().map(|(name, known)| ((*name).to_owned(), *known)).collect();
    let mut checker = Checker { expression, scope, found: Vec::new() };
    let known = checker.infer(expression.tree());
    if checker.found.is_empty() {
        return Ok(plain(known));
    }
    checker.found.sort();
    let said = checker.found.iter().map(|(at, said)| language::issue(expression.text(), *at, said));
    Err(format!("compilation failed: {}", said.collect::<Vec<String>>().join("\n")))
}

/// A name of a schema as an expression writes it; nothing if no expression can.
pub fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let first = name.chars().next()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if first.is_ascii_digit() || !name.chars().all(fits) {
        return None;
    }
    let mut out = name.replace("__", "__underscores__");
    for (sign, word) in [(".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")] {
        out = out.replace(sign, word);
    }
    Some(out)
}

/// Whether a field may be selected under this name: the escaped one, or a reserved word as it is, which
/// servers of today take as well (scene 70).
pub fn selects(name: &str, field: &str) -> bool {
    escaped(name).as_deref() == Some(field) || (name == field && RESERVED.contains(&name))
}

/// Words that are no identifiers.
pub const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The fields every whole object shows to rules, whatever its schema says of them.
pub fn object_fields() -> &'static Node {
    static MADE: OnceLock<Node> = OnceLock::new();
    MADE.get_or_init(|| {
        let text = json!({"type": "string"});
        Node::part(&json!({"type": "object", "properties": {
            "apiVersion": text, "kind": text,
            "metadata": {"type": "object", "properties": {"name": text, "generateName": text}},
        }}))
    })
}

struct Checker<'e, 'n> {
    expression: &'e Expression,
    scope: Vec<(String, Known<'n>)>,
    found: Vec<((isize, isize), String)>,
}

impl<'n> Checker<'_, 'n> {
    fn complain(&mut self, id: u64, said: String) {
        self.found.push((self.expression.position(id), said));
    }

    fn infer(&mut self, tree: &IdedExpr) -> Known<'n> {
        match &tree.expr {
            Expr::Ident(name) => self.ident(tree.id, name),
            Expr::Literal(literal) => literal_type(literal),
            Expr::Select(select) => self.select(tree.id, select),
            Expr::Call(call) => self.call(tree.id, call),
            Expr::Comprehension(all) => self.comprehension(all),
            Expr::List(list) => {
                for one in &list.elements {
                    self.infer(one);
                }
                Known::Plain("list")
            }
            Expr::Map(map) => {
                map.entries.iter().for_each(|entry| self.entry(&entry.expr));
                Known::Plain("map")
            }
            Expr::Struct(made) => {
                made.entries.iter().for_each(|entry| self.entry(&entry.expr));
                Known::Anything
            }
            Expr::Unspecified => Known::Anything,
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => {
                self.infer(&field.value);
            }
            EntryExpr::MapEntry(entry) => {
                self.infer(&entry.key);
                self.infer(&entry.value);
            }
        }
    }

    fn ident(&mut self, id: u64, name: &str) -> Known<'n> {
        const TYPES: [&str; 10] =
            ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];
        if let Some((_, known)) = self.scope.iter().rev().find(|(declared, _)| declared == name) {
            return *known;
        }
        if !TYPES.contains(&name) {
            self.complain(id, format!("undeclared reference to '{name}' (in container '')"));
        }
        Known::Anything
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Known<'n> {
        let known = match self.infer(&select.operand) {
            Known::Of(node) => self.field(id, node, &select.field),
            Known::Raw(node) => match (node.below(&select.field), node.sort) {
                (Some(below), _) => raw(below),
                (None, Sort::Object) => self.undefined(id, &select.field),
                (None, _) => Known::Anything,
            },
            Known::Anything | Known::Plain(_) => Known::Anything,
        };
        if select.test { Known::Plain("bool") } else { known }
    }

    fn field(&mut self, id: u64, node: &'n Node, field: &str) -> Known<'n> {
        if node.sort != Sort::Object {
            return Known::Anything;
        }
        if let (Some(held), true) = (node.additional.as_deref(), node.properties.is_empty()) {
            return known(held);
        }
        if let Some(shown) = object_fields().properties.get(field).filter(|_| node.is_object) {
            return known(shown);
        }
        match node.properties.iter().find(|(name, _)| selects(name, field)) {
            Some((_, below)) => known(below),
            None => self.undefined(id, field),
        }
    }

    fn undefined(&mut self, id: u64, field: &str) -> Known<'n> {
        self.complain(id, format!("undefined field '{field}'"));
        Known::Anything
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Known<'n> {
        let target = call.target.as_ref().map(|target| match &target.expr {
            Expr::Ident(name) if self.is_library(name) => Known::Anything,
            _ => self.infer(target),
        });
        let args: Vec<Known<'n>> = call.args.iter().map(|arg| self.infer(arg)).collect();
        let name = call.func_name.as_str();
        if !is_operator(name) && !FUNCTIONS.contains(&name) {
            self.complain(id, format!("undeclared reference to '{name}' (in container '')"));
            return Known::Anything;
        }
        self.compare(id, name, &args);
        match (name, target, args.first()) {
            ("_[_]", None, Some(Known::Of(node))) => inside(node),
            ("_?_:_", None, _) if args.get(1) == args.get(2) => args[1],
            ("size" | "indexOf" | "lastIndexOf" | "int", ..) => Known::Plain("int"),
            ("string" | "lowerAscii" | "upperAscii" | "trim" | "substring" | "join" | "format", ..) => {
                Known::Plain("string")
            }
            (
                "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "@in"
                | "contains" | "startsWith" | "endsWith" | "matches" | "hasValue",
                ..,
            ) => Known::Plain("bool"),
            _ => Known::Anything,
        }
    }

    /// Whether a name in front of a function is its library's and not a variable.
    fn is_library(&self, name: &str) -> bool {
        ["optional", "strings"].contains(&name) && !self.scope.iter().any(|(declared, _)| declared == name)
    }

    /// Two plain values of different types never fit `==`.
    fn compare(&mut self, id: u64, name: &str, args: &[Known<'n>]) {
        let [left, right] = args else { return };
        let (Some(left), Some(right)) = (simple(*left), simple(*right)) else { return };
        if matches!(name, "_==_" | "_!=_") && left != right {
            let said = format!("found no matching overload for '{name}' applied to '({left}, {right})'");
            self.complain(id, said);
        }
    }

    fn comprehension(&mut self, all: &ComprehensionExpr) -> Known<'n> {
        let item = match self.infer(&all.iter_range) {
            Known::Of(node) if node.sort == Sort::Array => inside(node),
            Known::Of(_) | Known::Raw(_) | Known::Anything | Known::Plain(_) => Known::Anything,
        };
        let result = match self.infer(&all.accu_init) {
            Known::Plain("bool") => Known::Plain("bool"),
            Known::Plain(_) | Known::Of(_) | Known::Raw(_) | Known::Anything => Known::Anything,
        };
        let before = self.scope.len();
        self.scope.push((all.accu_var.clone(), result));
        self.scope.push((all.iter_var.clone(), item));
        self.infer(&all.loop_cond);
        self.infer(&all.loop_step);
        self.scope.truncate(before + 1);
        let result = self.infer(&all.result);
        self.scope.truncate(before);
        result
    }
}

/// What the functions of this language are called.
const FUNCTIONS: [&str; 43] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "duration",
    "timestamp",
    "type",
    "dyn",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "substring",
    "format",
    "quote",
    "hasValue",
    "value",
    "or",
    "orValue",
    "of",
    "none",
];

fn is_operator(name: &str) -> bool {
    name.starts_with(['_', '@', '!', '-']) || name == "optional.of" || name == "optional.none"
}

fn literal_type(literal: &LiteralValue) -> Known<'static> {
    match literal {
        LiteralValue::Boolean(_) => Known::Plain("bool"),
        LiteralValue::Bytes(_) => Known::Plain("bytes"),
        LiteralValue::Double(_) => Known::Plain("double"),
        LiteralValue::Int(_) => Known::Plain("int"),
        LiteralValue::UInt(_) => Known::Plain("uint"),
        LiteralValue::String(_) => Known::Plain("string"),
        LiteralValue::Null => Known::Plain("null_type"),
    }
}

/// What is known of a value of a schema. One that may be anything tells nothing.
fn known(node: &Node) -> Known<'_> {
    match node.sort {
        Sort::Any | Sort::IntOrText => Known::Anything,
        Sort::Object | Sort::Array | Sort::Text | Sort::Integer | Sort::Number | Sort::Bool => {
            Known::Of(node)
        }
    }
}

fn raw(node: &Node) -> Known<'_> {
    match known(node) {
        Known::Of(node) => Known::Raw(node),
        other => other,
    }
}

fn inside(node: &Node) -> Known<'_> {
    let held = match node.sort {
        Sort::Array => node.items.as_deref(),
        Sort::Object => node.additional.as_deref(),
        Sort::Text | Sort::Integer | Sort::Number | Sort::Bool | Sort::IntOrText | Sort::Any => None,
    };
    held.map_or(Known::Anything, known)
}

/// The type CEL gives a value, where it is sure.
fn plain(known: Known<'_>) -> Sure {
    match known {
        Known::Anything => None,
        Known::Plain(name) => Some(name),
        Known::Of(node) | Known::Raw(node) => match node.sort {
            Sort::Object if node.properties.is_empty() => Some("map"),
            Sort::Object => Some("object"),
            Sort::Array => Some("list"),
            Sort::Text => Some(text_type(&node.constraints.format)),
            Sort::Integer => Some("int"),
            Sort::Number => Some("double"),
            Sort::Bool => Some("bool"),
            Sort::IntOrText | Sort::Any => None,
        },
    }
}

/// What CEL makes of a text of this format.
pub fn text_type(format: &str) -> &'static str {
    match format {
        "byte" => "bytes",
        "duration" => "duration",
        "date" | "date-time" => "timestamp",
        _ => "string",
    }
}

/// The same for the types that `==` tells apart for certain; what may be null is left out.
fn simple(known: Known<'_>) -> Sure {
    if matches!(known, Known::Of(node) | Known::Raw(node) if node.nullable) {
        return None;
    }
    plain(known).filter(|name| ["bool", "int", "uint", "double", "string", "bytes"].contains(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::custom::node::Node;
    use super::{Known, compile, escaped};

    fn said(text: &str) -> String {
        let node = Node::root(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "mode": {"type": "string"}, "wave": {"type": "integer"}, "foo-bar": {"type": "string"},
                "namespace": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true},
                "note": {"type": "string", "nullable": true}, "open": {},
                "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
                "targets": {"type": "array", "items": {"type": "object", "properties": {
                    "name": {"type": "string"}}}},
            }},
        }}));
        let declared = [("self", Known::Of(&node)), ("params", Known::Anything)];
        match compile(text, &declared) {
            Ok((_, sure)) => sure.unwrap_or_default().to_owned(),
            Err(said) => said,
        }
    }

    #[test]
    fn what_fits_is_not_complained_about() {
        for text in [
            "self.spec.mode == 'x' && self.spec.wave > 1 && self.metadata.name == self.kind",
            "self.spec.__namespace__ == 'a' && self.spec.namespace == 'a' && self.spec.foo__dash__bar != 'b'",
            "self.spec.targets.all(t, has(t.name)) && self.spec.targets[0].name == 'a'",
            "self.spec.labels.anything == 1 && self.spec.open.deep.down && self.spec.port == 'x'",
            "params.max == 1 && self.spec.note == null && type(params) == string",
            "optional.of(self.spec.wave).hasValue() && self.spec.?mode.orValue('x') == 'x'",
            "self.spec.targets.map(t, t.name).exists(n, n == 'a')",
        ] {
            assert_eq!(said(text), "bool", "{text}");
        }
    }

    #[test]
    fn a_wrong_name_is_shown_where_it_stands() {
        let wanted = "compilation failed: ERROR: <input>:1:5: undefined field 'nosuch'\n | \
                      self.nosuch == 1\n | ....^";
        assert_eq!(said("self.nosuch == 1"), wanted);
        let wanted = "compilation failed: ERROR: <input>:1:1: undeclared reference to 'object' (in \
                      container '')\n | object.spec == 1\n | ^";
        assert_eq!(said("object.spec == 1"), wanted);
        let wanted = "compilation failed: ERROR: <input>:2:2: undefined field 'x'\n | t.x)\n | .^";
        assert_eq!(said("self.spec.targets.all(t,\nt.x)"), wanted);
        assert!(said("quantity(self.spec.mode) == 1").contains("undeclared reference to 'quantity'"));
        let wanted = "found no matching overload for '_==_' applied to '(int, string)'";
        assert!(said("self.spec.wave == 'x'").contains(wanted));
        assert_eq!(said("self.spec.wave"), "int");
        assert_eq!(said("params.anything"), "");
    }

    #[test]
    fn names_are_escaped_as_documented() {
        for (name, wanted) in [
            ("namespace", Some("__namespace__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("my_field", Some("my_field")),
            ("my__field", Some("my__underscores__field")),
            ("1st", None),
            ("$ref", None),
        ] {
            assert_eq!(escaped(name).as_deref(), wanted, "{name}");
        }
    }
}
