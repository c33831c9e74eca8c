//! CEL, the language of rules in definitions and admission policies: compiled once, evaluated on
//! JSON, and every failure in the words of the real server (scenes 70, 71 and 75).
//! The language itself is the `cel` crate's. Of Kubernetes' additions it has the string functions and
//! optional values. An expression with anything else is refused as undeclared: `authorizer`, the
//! libraries of lists, sets, regular expressions, addresses, quantities, URLs, versions and formats,
//! and macros of two variables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cel::common::ast::{Expr, IdedExpr, SelectExpr};
use cel::objects::{Key, Map, OptionalValue};
use cel::{Context, Env, ExecutionError, Program, Value as Cel, extensions};
use serde_json::Value;

/// So many expressions are kept compiled; beyond that the memory starts anew.
const KEPT: usize = 1024;

/// A compiled expression.
pub struct Expression {
    program: Program,
    text: String,
}

/// What names stand for while an expression is evaluated.
pub type Bindings<'a> = [(&'a str, Cel)];

type Compiled = Result<Arc<Expression>, String>;

/// Compiles an expression, or says what is wrong with its syntax as the server lists it:
/// `ERROR: <input>:1:18: Syntax error: …`, the line, and a pointer below it.
pub fn compile(text: &str) -> Compiled {
    static KNOWN: OnceLock<Mutex<HashMap<String, Compiled>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = known.get(text) {
        return compiled.clone();
    }
    if known.len() >= KEPT {
        known.clear();
    }
    let compiled = compile_anew(text);
    known.insert(text.to_owned(), compiled.clone());
    compiled
}

fn compile_anew(text: &str) -> Compiled {
    match environment().compile(text) {
        Ok(program) => Ok(Arc::new(Expression { program, text: text.to_owned() })),
        Err(errors) => {
            let said = errors.errors.iter().map(|one| issue(text, one.pos, &one.msg));
            Err(said.collect::<Vec<String>>().join("\n"))
        }
    }
}

/// One finding as the compiler prints it; line and column count from 1.
pub fn issue(text: &str, (line, column): (isize, isize), message: &str) -> String {
    let index = usize::try_from(line - 1).unwrap_or(0);
    let shown = text.split('\n').nth(index).unwrap_or_default().replace('\t', " ");
    let dots = ".".repeat(usize::try_from(column - 1).unwrap_or(0));
    format!("ERROR: <input>:{line}:{column}: {message}\n | {shown}\n | {dots}^")
}

fn environment() -> &'static Arc<Env> {
    static MADE: OnceLock<Arc<Env>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut env = Env::stdlib();
        env.add_extension(extensions::strings).expect("the library declares each of its names once");
        Arc::new(env)
    })
}

impl Expression {
    /// The tree, for the check before anything runs.
    pub fn tree(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a node, from 1.
    pub fn position(&self, id: u64) -> (isize, isize) {
        let start = self.program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize);
        let before: Vec<char> = self.text.chars().take(start).collect();
        let line = before.iter().filter(|c| **c == '\n').count();
        let column = before.iter().rev().take_while(|c| **c != '\n').count();
        (isize::try_from(line + 1).unwrap_or(1), isize::try_from(column + 1).unwrap_or(1))
    }

    /// Whether it looks at this variable.
    pub fn mentions(&self, variable: &str) -> bool {
        self.program.references().has_variable(variable)
    }

    /// The value, or what went wrong in the words of the server: `no such key: mode`.
    pub fn evaluate(&self, bindings: &Bindings<'_>) -> Result<Cel, String> {
        let mut context = Context::with_env(Arc::clone(environment()));
        for (name, value) in bindings {
            context.add_variable_from_value(*name, value.clone());
        }
        self.program.execute(&context).map_err(|error| words(&error, self.tree(), &context))
    }
}

/// What cel-go says of the same failure.
fn words(error: &ExecutionError, tree: &IdedExpr, context: &Context<'_, '_>) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload(overload) if overload.function() == "_._" => {
            let field = failing_select(tree, context).map_or("", |select| select.field.as_str());
            format!("no such key: {field}")
        }
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::ValuesNotComparable(..) => "no such overload".to_owned(),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(Cel::Int(at)) => format!("index out of bounds: {at}"),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        ExecutionError::UndeclaredReference(name) => format!("no such attribute(s): {name}"),
        other => other.to_string(),
    }
}

/// The field of null or of a plain value that an expression asked for; the error does not name it.
fn failing_select<'t>(tree: &'t IdedExpr, context: &Context<'_, '_>) -> Option<&'t SelectExpr> {
    let mut found = None;
    walk(tree, &mut |node| {
        if let (None, Expr::Select(select)) = (found, &node.expr) {
            let holder = Cel::resolve(&select.operand, context);
            if holder.is_ok_and(|value| !matches!(value, Cel::Map(_))) {
                found = Some(select);
            }
        }
    });
    found
}

/// Visits every node, the innermost first.
pub fn walk<'t>(tree: &'t IdedExpr, visit: &mut impl FnMut(&'t IdedExpr)) {
    match &tree.expr {
        Expr::Call(call) => {
            call.target.iter().for_each(|target| walk(target, visit));
            call.args.iter().for_each(|arg| walk(arg, visit));
        }
        Expr::Comprehension(all) => {
            for part in [&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result] {
                walk(part, visit);
            }
        }
        Expr::List(list) => list.elements.iter().for_each(|one| walk(one, visit)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| walk_entry(&entry.expr, visit)),
        Expr::Struct(made) => made.entries.iter().for_each(|entry| walk_entry(&entry.expr, visit)),
        Expr::Select(select) => walk(&select.operand, visit),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    visit(tree);
}

fn walk_entry<'t>(entry: &'t cel::common::ast::EntryExpr, visit: &mut impl FnMut(&'t IdedExpr)) {
    match entry {
        cel::common::ast::EntryExpr::StructField(field) => walk(&field.value, visit),
        cel::common::ast::EntryExpr::MapEntry(entry) => {
            walk(&entry.key, visit);
            walk(&entry.value, visit);
        }
    }
}

/// JSON as CEL sees it without a schema: whole numbers are ints.
pub fn value(json: &Value) -> Cel {
    match json {
        Value::Null => Cel::Null,
        Value::Bool(is) => Cel::Bool(*is),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(real)) => Cel::Float(real),
            (None, None) => Cel::Null,
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(value).collect())),
        Value::Object(fields) => map(fields.iter().map(|(key, field)| (key.clone(), value(field)))),
    }
}

/// A map with text keys.
pub fn map(entries: impl Iterator<Item = (String, Cel)>) -> Cel {
    let entries = entries.map(|(key, value)| (Key::String(Arc::new(key)), value));
    Cel::Map(Map { map: Arc::new(entries.collect()) })
}

/// An optional value, as `optionalOldSelf` gives it.
pub fn optional(value: Option<Cel>) -> Cel {
    Cel::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

#[cfg(test)]
mod tests {
    use cel::Value as Cel;
    use serde_json::json;

    use super::{compile, optional, value};

    fn outcome(text: &str) -> String {
        let object = json!({"name": "a", "n": 2, "list": [{"by": "x"}], "none": null, "text": "t"});
        let bindings = [
            ("object", value(&object)),
            ("oldObject", value(&json!(null))),
            ("oldSelf", optional(None)),
            ("seen", optional(Some(value(&json!("x"))))),
        ];
        match compile(text) {
            Err(said) => said,
            Ok(expression) => match expression.evaluate(&bindings) {
                Ok(Cel::Bool(is)) => is.to_string(),
                Ok(other) => format!("{other:?}"),
                Err(said) => said,
            },
        }
    }

    #[test]
    fn values_come_out_as_the_language_says() {
        for (text, wanted) in [
            ("has(object.name) && !has(object.nosuch)", "true"),
            ("object.n == 2 && size(object.list) == 1 && object.list.size() == 1", "true"),
            ("object.list[object.list.size() - 1].by == 'x'", "true"),
            ("object.list.exists(d, d.by == 'x') && object.list.all(d, d.by != 'y')", "true"),
            ("object.list.map(d, d.by) == ['x'] && 'x' in object.list.map(d, d.by)", "true"),
            ("object.list.filter(d, d.by == 'y').size() == 0", "true"),
            ("oldObject == null", "true"),
            ("!oldSelf.hasValue() && seen.value() == 'x' && oldSelf.orValue('y') == 'y'", "true"),
            ("object.?nosuch.orValue('d') == 'd'", "true"),
            ("'a,b'.split(',')[1].upperAscii() == 'B' && ['a', 'b'].join('-') == 'a-b'", "true"),
            ("object.name.matches('^[a-z]$') && object.name.startsWith('a')", "true"),
            ("timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')", "true"),
            ("[{'a': 1}, {'a': 2}].filter(d, d in [{'a': 1}]) == [{'a': 1}]", "true"),
            ("object.nosuch == 1 || true", "true"),
        ] {
            assert_eq!(outcome(text), wanted, "{text}");
        }
    }

    #[test]
    fn failures_are_said_as_the_server_says_them() {
        for (text, wanted) in [
            ("object.nosuch == 'x'", "no such key: nosuch"),
            ("oldObject.status.phase == 'x'", "no such key: status"),
            ("has(object.none.deep)", "no such key: deep"),
            ("object.text.deep == 1", "no such key: deep"),
            ("object.list[7].by == 'x'", "index out of bounds: 7"),
            ("1 / (object.n - 2) == 1", "division by zero"),
            ("object.n + object.name == 3", "no such overload"),
            ("object.n > object.name", "no such overload"),
            (
                "object.nosuch == ",
                "ERROR: <input>:1:18: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', \
                 '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, \
                 IDENTIFIER}\n | object.nosuch == \n | .................^",
            ),
        ] {
            assert_eq!(outcome(text), wanted, "{text}");
        }
    }
}
