//! Rust source as text: its words without comments and literals, the paths it names, and which of it is test code.

use std::path::{Path, PathBuf};

/// One word or sign of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
    /// Inside a `#[cfg(test)]` item.
    pub in_test: bool,
}

/// A path that a source file names, made absolute in its crate: `media::mix::Mixer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub path: Vec<String>,
}

/// Where the repository begins.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// Every file below `root` with its path from there, without build output and hidden folders.
pub fn files(root: &Path) -> Vec<(String, String)> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !(name.starts_with("target") || name == ".git") {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let from_root = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push((from_root, text));
            }
        }
    }
    found.sort();
    found
}

/// The words and signs of `text`, without comments and without what literals say.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied().unwrap_or_default();
        let end = match c {
            '/' if next == '/' => (at..chars.len()).find(|&n| chars[n] == '\n').unwrap_or(chars.len()),
            '/' if next == '*' => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            '\'' => end_of_quote(&chars, at),
            _ if c.is_alphanumeric() || c == '_' => {
                let end = (at..chars.len()).find(|&n| !is_word(chars[n])).unwrap_or(chars.len());
                let word: String = chars[at..end].iter().collect();
                match (word.as_str(), chars.get(end)) {
                    ("r" | "br" | "cr", Some('"' | '#')) if is_raw_string(&chars, end) => end_of_raw(&chars, end),
                    ("b" | "c", Some('"')) => end_of_string(&chars, end),
                    _ => {
                        tokens.push(Token { line, text: word, in_test: false });
                        end
                    }
                }
            }
            _ if c.is_whitespace() => at + 1,
            _ => {
                let is_path = c == ':' && next == ':';
                let text = if is_path { "::".to_owned() } else { c.to_string() };
                tokens.push(Token { line, text, in_test: false });
                if is_path { at + 2 } else { at + 1 }
            }
        };
        line += chars[at..end].iter().filter(|&&c| c == '\n').count();
        at = end;
    }
    mark_tests(&mut tokens);
    tokens
}

/// The paths into the own crate that `tokens` of the module `module` name; `krate` is what the crate is called from
/// outside. `use` trees are taken apart.
pub fn named_paths(tokens: &[Token], module: &[String], krate: &str) -> Vec<Named> {
    let mut found = Vec::new();
    // The modules written out in the file that the current token stands in, each with its depth in braces.
    let mut inside: Vec<(String, isize)> = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        let next = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inside.retain(|(_, opened)| *opened < depth + 1);
            }
            "mod" if next(2) == "{" => inside.push((next(1).to_owned(), depth + 1)),
            // `some::super::thing` does not exist, but `$crate::thing` and `some::engine::thing` do.
            first if next(1) == "::" && (at == 0 || tokens[at - 1].text != "::") => {
                let here = || module.iter().cloned().chain(inside.iter().map(|(name, _)| name.clone())).collect();
                let start: Vec<String> = match first {
                    "crate" => Vec::new(),
                    "self" => here(),
                    "super" => {
                        let mut here: Vec<String> = here();
                        here.pop();
                        here
                    }
                    _ if first == krate => Vec::new(),
                    _ => continue,
                };
                follow(tokens, at + 2, start, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// The module that the file `path` (from its crate's `src/`) holds.
pub fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || (module.len() == 1 && (last == "lib" || last == "main"))) {
        module.pop();
    }
    module
}

/// Follows a path from `at`, behind its `::`. Returns where it ends.
fn follow(tokens: &[Token], mut at: usize, mut path: Vec<String>, found: &mut Vec<Named>) -> usize {
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        match tokens.get(at).map_or("", |token| token.text.as_str()) {
            "super" => {
                path.pop();
            }
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = if tokens[at].text == "," { at + 1 } else { follow(tokens, at, path.clone(), found) };
                }
                return at + 1;
            }
            "self" => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(Named { line, path });
    // `as name` in a tree.
    if tokens.get(at).is_some_and(|token| token.text == "as") { at + 2 } else { at }
}

/// Marks what belongs to an item under `#[cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let is = |n: usize, text: &str| tokens.get(at + n).is_some_and(|token| token.text == text);
        if !(is(0, "#") && is(1, "[") && is(2, "cfg")) {
            at += 1;
            continue;
        }
        let closed = end_of_group(tokens, at + 1);
        let condition = &tokens[at..closed];
        let has = |word: &str| condition.iter().any(|token| token.text == word);
        if has("test") && !has("not") {
            let end = end_of_item(tokens, closed);
            tokens[at..end].iter_mut().for_each(|token| token.in_test = true);
            at = end;
        } else {
            at = closed;
        }
    }
}

/// The end of the item that begins at `at`: its closing brace, or its semicolon where it has no braces.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" => return end_of_group(tokens, at),
            "(" | "[" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Behind the bracket that closes the one at `at`.
fn end_of_group(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n + 1;
        }
    }
    tokens.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_raw_string(chars: &[char], at: usize) -> bool {
    chars[at..].iter().find(|&&c| c != '#') == Some(&'"')
}

fn end_of_comment(chars: &[char], at: usize) -> usize {
    let (mut n, mut depth) = (at, 0);
    while n + 1 < chars.len() {
        match (chars[n], chars[n + 1]) {
            ('/', '*') => (depth, n) = (depth + 1, n + 2),
            ('*', '/') => (depth, n) = (depth - 1, n + 2),
            _ => n += 1,
        }
        if depth == 0 {
            return n;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut n = quote + 1;
    while n < chars.len() && chars[n] != '"' {
        n += if chars[n] == '\\' { 2 } else { 1 };
    }
    (n + 1).min(chars.len())
}

fn end_of_raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    let closes = |n: usize| chars[n] == '"' && (1..=hashes).all(|h| chars.get(n + h) == Some(&'#'));
    (at + hashes + 1..chars.len()).find(|&n| closes(n)).map_or(chars.len(), |n| n + hashes + 1)
}

/// A character literal, or the quote of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let from = at + 3;
        return (from..chars.len()).find(|&n| chars[n] == '\'').map_or(chars.len(), |n| n + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}
