//! How much the rules of a definition could cost at worst, by the bounds of their schema: a server
//! refuses definitions that could cost too much (scene 70). The formulas are cel-go's for names,
//! selections, loops, comparisons and text functions; what differs is the size of computed values,
//! which counts as unbounded more often. So an estimate near a limit may fall on the other side.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

use super::cel::Expression;
use super::cel_check::selects;
use super::custom::node::{Node, Sort};
use super::errors::FieldError;

/// One rule may cost so much.
const RULE_LIMIT: f64 = 10_000_000.0;
/// All rules of a schema together.
const SCHEMA_LIMIT: f64 = 100_000_000.0;
/// The dearest rules are named where all together cost too much; cheap ones never.
const NAMED: usize = 4;
const WORTH_NAMING: f64 = SCHEMA_LIMIT / 100.0;
/// The longest request, in bytes; nothing unbounded is larger.
const REQUEST: f64 = 3.0 * 1024.0 * 1024.0;
/// Reading a text, by character.
const TEXT: f64 = 0.1;
/// Matching a regular expression, by its length.
const REGEX: f64 = 0.25;

/// The costs of the rules of one schema.
#[derive(Default)]
pub struct Costs {
    total: f64,
    rules: Vec<(String, f64)>,
}

impl Costs {
    /// Notes what a rule at this path costs; `times` is how often it may be asked for one object.
    /// Gives back what is wrong with it alone.
    pub fn note(&mut self, at: &str, expression: &Expression, node: &Node, times: f64) -> Option<FieldError> {
        let cost = estimate(expression, node) * times;
        self.total += cost;
        if cost >= WORTH_NAMING {
            self.rules.push((at.to_owned(), cost));
        }
        (cost > RULE_LIMIT)
            .then(|| FieldError::forbidden(at, too_much("estimated rule cost", cost, RULE_LIMIT)))
    }

    /// What is wrong with all rules together, of the schema at this path.
    pub fn conclude(mut self, at: &str) -> Vec<FieldError> {
        if self.total <= SCHEMA_LIMIT {
            return Vec::new();
        }
        self.rules.sort_by(|a, b| b.1.total_cmp(&a.1));
        let said =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let dearest = self.rules.into_iter().take(NAMED);
        let mut found: Vec<FieldError> = dearest.map(|(at, _)| FieldError::forbidden(at, said)).collect();
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        found.push(FieldError::forbidden(at, too_much(name, self.total, SCHEMA_LIMIT)));
        found
    }
}

fn too_much(name: &str, cost: f64, limit: f64) -> String {
    let factor = cost / limit;
    let factor = match factor {
        _ if factor > 100.0 => "more than 100x".to_owned(),
        _ if factor < 1.5 => format!("{factor:.6}x"),
        _ => format!("{factor:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, \
         maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// How many items, entries or bytes a value of a schema has at most; 1 for what has no parts.
pub fn size(node: &Node) -> f64 {
    let most = node.constraints.most(node.sort);
    match node.sort {
        Sort::Text => most.map_or(REQUEST - 2.0, |characters| characters * 4.0),
        Sort::Array => most.unwrap_or_else(|| {
            let item = node.items.as_deref().map_or(2.0, least_bytes);
            ((REQUEST - 2.0) / (item + 1.0)).floor()
        }),
        Sort::Object if node.properties.is_empty() => most.unwrap_or_else(|| {
            let entry = node.additional.as_deref().map_or(2.0, least_bytes);
            ((REQUEST - 2.0) / (entry + 6.0)).floor()
        }),
        Sort::Object | Sort::Integer | Sort::Number | Sort::Bool | Sort::IntOrText | Sort::Any => 1.0,
    }
}

/// The shortest a value can be written.
fn least_bytes(node: &Node) -> f64 {
    match node.sort {
        Sort::Integer | Sort::Number | Sort::IntOrText | Sort::Any => 1.0,
        Sort::Bool => 4.0,
        Sort::Text | Sort::Array => 2.0,
        Sort::Object => {
            let required = |name: &&String| node.constraints.required.contains(name);
            let fields =
                node.properties.iter().filter(|(name, below)| required(name) && below.default.is_none());
            2.0 + fields.map(|(name, below)| name.len() as f64 + 4.0 + least_bytes(below)).sum::<f64>()
        }
    }
}

/// The cost of asking once.
fn estimate(expression: &Expression, node: &Node) -> f64 {
    let scope = ["self", "oldSelf"].map(|name| (name.to_owned(), Some(node))).to_vec();
    Coster { scope }.of(expression.tree()).cost
}

/// What is known of an expression's value.
#[derive(Clone, Copy)]
struct Seen<'n> {
    cost: f64,
    node: Option<&'n Node>,
    size: f64,
}

impl<'n> Seen<'n> {
    fn plain(cost: f64) -> Self {
        Self { cost, node: None, size: 1.0 }
    }

    fn of(cost: f64, node: Option<&'n Node>) -> Self {
        Self { cost, node, size: node.map_or(REQUEST, size) }
    }
}

struct Coster<'n> {
    scope: Vec<(String, Option<&'n Node>)>,
}

impl<'n> Coster<'n> {
    fn of(&mut self, tree: &IdedExpr) -> Seen<'n> {
        match &tree.expr {
            Expr::Ident(name) => {
                let found = self.scope.iter().rev().find(|(declared, _)| declared == name);
                Seen::of(1.0, found.and_then(|(_, node)| *node))
            }
            Expr::Literal(LiteralValue::String(text)) => {
                Seen { cost: 0.0, node: None, size: text.inner().len() as f64 }
            }
            Expr::Literal(_) | Expr::Unspecified => Seen::plain(0.0),
            Expr::Select(select) => {
                let held = self.of(&select.operand);
                if select.test {
                    return Seen::plain(held.cost);
                }
                Seen::of(held.cost + 1.0, held.node.and_then(|node| field(node, &select.field)))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(all) => self.comprehension(all),
            Expr::List(list) => {
                let items: f64 = list.elements.iter().map(|one| self.of(one).cost).sum();
                Seen { cost: 10.0 + items, node: None, size: list.elements.len() as f64 }
            }
            Expr::Map(map) => {
                let entries: f64 = map.entries.iter().map(|entry| self.entry(&entry.expr)).sum();
                Seen { cost: 30.0 + entries, node: None, size: map.entries.len() as f64 }
            }
            Expr::Struct(made) => {
                let entries: f64 = made.entries.iter().map(|entry| self.entry(&entry.expr)).sum();
                Seen::plain(40.0 + entries)
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> f64 {
        match entry {
            EntryExpr::StructField(field) => self.of(&field.value).cost,
            EntryExpr::MapEntry(entry) => self.of(&entry.key).cost + self.of(&entry.value).cost,
        }
    }

    fn call(&mut self, call: &CallExpr) -> Seen<'n> {
        let parts: Vec<Seen<'n>> =
            call.target.iter().map(|target| &**target).chain(&call.args).map(|part| self.of(part)).collect();
        let sum: f64 = parts.iter().map(|part| part.cost).sum();
        let (first, second) = (parts.first().map_or(1.0, |p| p.size), parts.get(1).map_or(1.0, |p| p.size));
        let own = match call.func_name.as_str() {
            "_&&_" | "_||_" => 0.0,
            "_?_:_" => {
                let branches = parts.iter().skip(1);
                let dearest = branches.clone().fold(0.0, |most: f64, part| most.max(part.cost));
                let size = branches.fold(0.0, |most: f64, part| most.max(part.size));
                let cost = parts.first().map_or(0.0, |part| part.cost) + dearest;
                return Seen { cost, node: None, size };
            }
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => (first.min(second) * TEXT).ceil().max(1.0),
            "_+_" => {
                let size = first + second;
                return Seen { cost: sum + (size * TEXT).ceil().max(1.0), node: None, size };
            }
            "_[_]" => {
                let node = parts.first().and_then(|held| held.node).and_then(inside);
                return Seen::of(sum + 1.0, node);
            }
            "@in" => second.max(1.0),
            "startsWith" | "endsWith" => (second * TEXT).ceil(),
            "contains" => (first * TEXT).ceil() * (second * TEXT).ceil(),
            "matches" => ((first + 1.0) * TEXT).ceil() * (second * REGEX).ceil(),
            "split" | "replace" | "join" | "lowerAscii" | "upperAscii" | "trim" | "substring" | "indexOf"
            | "lastIndexOf" | "charAt" | "format" | "quote" => {
                return Seen { cost: sum + (first * TEXT).ceil().max(1.0), node: None, size: first };
            }
            _ => 1.0,
        };
        Seen::plain(sum + own)
    }

    fn comprehension(&mut self, all: &ComprehensionExpr) -> Seen<'n> {
        let range = self.of(&all.iter_range);
        let start = self.of(&all.accu_init);
        let item = range.node.filter(|node| node.sort == Sort::Array).and_then(inside);
        let before = self.scope.len();
        self.scope.push((all.accu_var.clone(), None));
        self.scope.push((all.iter_var.clone(), item));
        let turn = self.of(&all.loop_cond).cost + self.of(&all.loop_step).cost;
        self.scope.truncate(before + 1);
        let result = self.of(&all.result);
        self.scope.truncate(before);
        let cost = range.cost + start.cost + range.size * turn + result.cost;
        Seen { cost, node: None, size: range.size }
    }
}

fn field<'n>(node: &'n Node, field: &str) -> Option<&'n Node> {
    let named = node.properties.iter().find(|(name, _)| selects(name, field));
    named.map(|(_, below)| below).or(node.additional.as_deref())
}

fn inside(node: &Node) -> Option<&Node> {
    node.items.as_deref().or(node.additional.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cel::compile;
    use super::super::custom::node::Node;
    use super::{Costs, estimate, size};

    fn node(bounded: bool) -> Node {
        let text =
            if bounded { json!({"type": "string", "maxLength": 10}) } else { json!({"type": "string"}) };
        let mut list = json!({"type": "array", "items": text});
        if bounded {
            list["maxItems"] = json!(5);
        }
        Node::part(&json!({"type": "object", "properties": {"list": list, "n": {"type": "integer"}}}))
    }

    #[test]
    fn bounds_are_sizes() {
        assert_eq!(size(&node(true).properties["list"]), 5.0);
        // Three mebibytes less two brackets, in items of at least two bytes and a comma.
        assert_eq!(size(&node(false).properties["list"]), 1_048_575.0);
        let text = node(true).properties["list"].items.clone().expect("a list has items");
        assert_eq!(size(&text), 40.0);
    }

    #[test]
    fn costs_add_up_by_hand() {
        let cost = |text: &str| estimate(&compile(text).expect("the syntax is right"), &node(true));
        // Two names and a comparison.
        assert_eq!(cost("self.n > 1"), 3.0);
        // Names, and 41 characters by a tenth, rounded up to 5, times one for three letters.
        assert_eq!(cost("self.list[0].matches('abc')"), 8.0);
    }

    #[test]
    fn a_loop_in_a_loop_without_bounds_is_too_dear_and_with_bounds_is_not() {
        let rule = compile("self.list.all(x, self.list.all(y, x == y))").expect("the syntax is right");
        let mut costs = Costs::default();
        assert_eq!(costs.note("here", &rule, &node(true), 1.0), None);
        assert_eq!(costs.conclude("schema"), []);
        let mut costs = Costs::default();
        let alone = costs.note("here", &rule, &node(false), 1.0).expect("too dear");
        assert!(alone.message.contains("estimated rule cost exceeds budget by factor of more than 100x"));
        let fields: Vec<String> = costs.conclude("schema").into_iter().map(|one| one.field).collect();
        assert_eq!(fields, ["here", "schema"]);
    }
}
