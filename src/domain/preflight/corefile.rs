//! Reads a Corefile as CoreDNS does: server blocks, snippets, imports, placeholders, quotes and
//! comments (grammar: coredns/caddy `caddyfile/lexer.go` and `parse.go`). Pure and total: what does
//! not parse is told with its file and line. Imported files are handed in.

use std::collections::BTreeMap;

use crate::domain::names::Text;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corefile {
    pub blocks: Vec<Block>,
    /// Patterns that matched no file, which is no error.
    pub empty: Vec<Text>,
}

/// One server block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Zones without scheme and port, lower case, without the last dot; the root is `.`.
    pub zones: Vec<String>,
    pub plugins: Vec<Plugin>,
    pub place: Place,
}

/// One line of a block, with the lines inside its braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugin {
    pub name: String,
    pub args: Vec<String>,
    pub place: Place,
}

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `Corefile`, or the imported file.
    pub file: Text,
    /// From 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// Why it is no Corefile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Broken {
    pub place: Place,
    pub why: Text,
}

/// What surrounds a Corefile.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Files that it may import, by path: of mounted ConfigMaps.
    pub files: &'a BTreeMap<String, String>,
    /// The container's environment; `None`: set, but its value is not in the manifest.
    pub env: &'a BTreeMap<String, Option<String>>,
    /// The folder of the Corefile, for relative paths.
    pub folder: &'a str,
}

/// CoreDNS's own limit.
const IMPORTS: usize = 10_000;
/// Tokens read in all, imports included. A ConfigMap holds at most 1 MiB.
const TOKENS: usize = 200_000;

pub fn parse(text: &str, around: Around<'_>) -> Result<Corefile, Broken> {
    let mut parser = Parser {
        rest: Vec::new(),
        around,
        snippets: BTreeMap::new(),
        imports: 0,
        read: 0,
        last: Place { file: Text::new("Corefile"), line: 1 },
        out: Corefile::default(),
    };
    parser.push(lex("Corefile", text)?)?;
    while !parser.rest.is_empty() {
        parser.block()?;
    }
    Ok(parser.out)
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    place: Place,
    /// First of its line.
    first: bool,
}

struct Parser<'a> {
    /// What is still to be read, last one first.
    rest: Vec<Token>,
    around: Around<'a>,
    snippets: BTreeMap<String, Vec<Token>>,
    imports: usize,
    read: usize,
    last: Place,
    out: Corefile,
}

impl Parser<'_> {
    fn push(&mut self, mut tokens: Vec<Token>) -> Result<(), Broken> {
        self.read += tokens.len();
        if self.read > TOKENS {
            return Err(self.broken(format!("it grows beyond {TOKENS} words")));
        }
        if let Some(token) = tokens.first_mut() {
            token.first = true;
        }
        self.rest.extend(tokens.into_iter().rev());
        Ok(())
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.rest.pop()?;
        self.last = token.place.clone();
        Some(token)
    }

    /// Does the next token stand on a new line (or is there none)?
    fn at_line_start(&self) -> bool {
        self.rest.last().is_none_or(|token| token.first)
    }

    fn next_is(&self, text: &str) -> bool {
        self.rest.last().is_some_and(|token| token.text == text)
    }

    fn broken(&self, why: impl Into<String>) -> Broken {
        Broken { place: self.last.clone(), why: Text::from(why.into()) }
    }

    /// Labels and contents of one server block, or one snippet.
    fn block(&mut self) -> Result<(), Broken> {
        let keys = self.labels()?;
        let place = self.last.clone();
        if keys.is_empty() && !self.next_is("{") {
            return Ok(());
        }
        let braced = self.next_is("{");
        if let [name] = keys.as_slice()
            && let Some(name) = name.strip_prefix('(').and_then(|name| name.strip_suffix(')'))
        {
            return self.snippet(name.to_owned(), braced);
        }
        if braced {
            self.next();
        }
        let plugins = self.plugins(braced)?;
        let zones = keys.iter().map(|key| zone(key)).collect();
        self.out.blocks.push(Block { zones, plugins, place });
        Ok(())
    }

    fn labels(&mut self) -> Result<Vec<String>, Broken> {
        let mut keys = Vec::new();
        let mut wants_more = false;
        while let Some(token) = self.rest.last() {
            if token.text == "import" && token.first && !wants_more {
                if !keys.is_empty() {
                    break;
                }
                self.import()?;
                continue;
            }
            if token.text == "{" {
                break;
            }
            if token.text == "}" {
                self.next();
                return Err(self.broken("`}` without `{` before it"));
            }
            if !keys.is_empty() && token.first && !wants_more {
                break;
            }
            let Some(token) = self.next() else { break };
            let text = self.filled(&token.text)?;
            for key in text.split_whitespace() {
                let bare = key.trim_end_matches(',');
                wants_more = bare.len() != key.len();
                keys.extend(bare.split(',').filter(|part| !part.is_empty()).map(str::to_owned));
            }
        }
        if wants_more {
            return Err(self.broken("another zone should follow the comma"));
        }
        Ok(keys)
    }

    /// Keeps the words between its braces.
    fn snippet(&mut self, name: String, braced: bool) -> Result<(), Broken> {
        if !braced {
            return Err(self.broken(format!("the snippet ({name}) has no `{{`")));
        }
        if self.snippets.contains_key(&name) {
            return Err(self.broken(format!("the snippet ({name}) is there twice")));
        }
        self.next();
        let (mut depth, mut tokens) = (1_u32, Vec::new());
        while let Some(token) = self.next() {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.snippets.insert(name, tokens);
                return Ok(());
            }
            tokens.push(token);
        }
        Err(self.broken(format!("the snippet ({name}) is not closed")))
    }

    fn plugins(&mut self, braced: bool) -> Result<Vec<Plugin>, Broken> {
        let mut out = Vec::new();
        loop {
            let Some(token) = self.rest.last() else {
                return if braced {
                    Err(self.broken("a server block is not closed: `}` is missing"))
                } else {
                    Ok(out)
                };
            };
            match token.text.as_str() {
                "}" => {
                    self.next();
                    return if braced { Ok(out) } else { Err(self.broken("`}` without `{` before it")) };
                }
                "import" => self.import()?,
                "{" => {
                    self.next();
                    return Err(self.broken("`{` where a plugin should stand"));
                }
                _ => out.extend(self.plugin()?),
            }
        }
    }

    fn plugin(&mut self) -> Result<Option<Plugin>, Broken> {
        let Some(token) = self.next() else { return Ok(None) };
        let mut plugin =
            Plugin { name: self.filled(&token.text)?, args: Vec::new(), place: token.place.clone() };
        let mut depth = 0_u32;
        while let Some(token) = self.rest.last() {
            let (text, first) = (token.text.clone(), token.first);
            match text.as_str() {
                _ if first && depth == 0 => break,
                "import" if first => {
                    self.import()?;
                    continue;
                }
                "{" => depth += 1,
                "}" if depth == 0 => {
                    self.next();
                    return Err(self.broken("`}` without `{` before it"));
                }
                "}" => depth -= 1,
                _ if depth == 0 => {
                    let filled = self.filled(&text)?;
                    plugin.args.push(filled);
                }
                _ => {}
            }
            self.next();
        }
        match depth {
            0 => Ok(Some(plugin)),
            _ => Err(self.broken(format!("the braces of {} are not closed", Text::new(&plugin.name)))),
        }
    }

    /// Puts the words of a snippet or of files in the place of an `import`.
    fn import(&mut self) -> Result<(), Broken> {
        self.next();
        self.imports += 1;
        if self.imports > IMPORTS {
            return Err(self.broken(format!("more than {IMPORTS} imports: a file or snippet imports itself")));
        }
        if self.at_line_start() {
            return Err(self.broken("import without a name"));
        }
        let Some(token) = self.next() else { return Err(self.broken("import without a name")) };
        let pattern = self.filled(&token.text)?;
        if !self.at_line_start() {
            return Err(self.broken("import takes one name only"));
        }
        if let Some(tokens) = self.snippets.get(&pattern) {
            let tokens = tokens.clone();
            return self.push(tokens);
        }
        let path = absolute(self.around.folder, &pattern);
        let wild = path.matches(['*', '?', '[']).count();
        if wild > 1 {
            return Err(self.broken(format!("import {}: one wildcard at most", Text::new(&pattern))));
        }
        let found: Vec<(&String, &String)> =
            self.around.files.iter().filter(|(name, _)| matches(&path, name)).collect();
        match (found.is_empty(), wild) {
            (true, 0) => Err(self.broken(format!("import {}: there is no such file", Text::new(&pattern)))),
            (true, _) => {
                self.out.empty.push(Text::new(&pattern));
                Ok(())
            }
            (false, _) => {
                let mut all = Vec::new();
                for (name, text) in found {
                    let mut tokens = lex(name, text)?;
                    if let Some(token) = tokens.first_mut() {
                        token.first = true;
                    }
                    all.extend(tokens);
                }
                self.push(all)
            }
        }
    }

    /// With `{$VAR}` and `{%VAR%}` filled in, as at CoreDNS's start.
    fn filled(&self, text: &str) -> Result<String, Broken> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, open, close)) = [("{$", "}"), ("{%", "%}")]
            .into_iter()
            .filter_map(|(open, close)| Some((rest.find(open)?, open, close)))
            .min_by_key(|(at, ..)| *at)
        {
            let behind = &rest[at + open.len()..];
            let Some(end) = behind.find(close) else { break };
            out.push_str(&rest[..at]);
            match self.around.env.get(&behind[..end]) {
                Some(Some(value)) => out.push_str(value),
                None => {}
                Some(None) => {
                    let name = Text::new(&behind[..end]);
                    return Err(
                        self.broken(format!("the value of the variable {name} is not in the manifest"))
                    );
                }
            }
            rest = &behind[end + close.len()..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Words with their lines. A word in quotes may hold anything; `#` at the start of a word begins a
/// comment.
fn lex(file: &str, text: &str) -> Result<Vec<Token>, Broken> {
    let file = Text::new(file.rsplit('/').next().unwrap_or(file));
    let (mut out, mut word): (Vec<Token>, String) = (Vec::new(), String::new());
    let (mut line, mut begun, mut first) = (1_u32, 1_u32, true);
    let (mut quoted, mut escaped, mut comment, mut open) = (false, false, false, false);
    let mut take = |word: &mut String, line: u32, first: &mut bool| {
        let place = Place { file: file.clone(), line };
        out.push(Token { text: std::mem::take(word), place, first: std::mem::take(first) });
    };
    for c in text.trim_start_matches('\u{feff}').chars() {
        if quoted {
            match c {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                '"' if !escaped => {
                    (quoted, open) = (false, false);
                    take(&mut word, begun, &mut first);
                    continue;
                }
                '\n' => line += 1,
                _ => {}
            }
            if escaped && c != '"' {
                word.push('\\');
            }
            escaped = false;
            word.push(c);
        } else if c.is_whitespace() {
            if open {
                open = false;
                take(&mut word, begun, &mut first);
            }
            if c == '\n' {
                line += 1;
                (comment, first) = (false, true);
            }
        } else if comment {
        } else if !open {
            begun = line;
            match c {
                '#' => comment = true,
                '"' => (quoted, open) = (true, true),
                _ => {
                    open = true;
                    word.push(c);
                }
            }
        } else {
            word.push(c);
        }
    }
    if quoted {
        return Err(Broken { place: Place { file, line: begun }, why: Text::new("a quote is not closed") });
    }
    if open {
        take(&mut word, begun, &mut first);
    }
    Ok(out)
}

/// `dns://Shop.Example.:5353` is `shop.example`.
fn zone(label: &str) -> String {
    let label = label.split_once("://").map_or(label, |(_, rest)| rest);
    let bare = match label.rsplit_once(':') {
        Some((zone, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !zone.ends_with(':') => zone,
        Some(_) | None => label,
    };
    let bare = bare.trim_end_matches('.').to_ascii_lowercase();
    if bare.is_empty() { ".".to_owned() } else { bare }
}

fn absolute(folder: &str, path: &str) -> String {
    let joined = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("{folder}/{path}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path with at most one `*`, which stops at a slash. Other wildcards match themselves only.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|middle| !middle.contains('/')),
    }
}
