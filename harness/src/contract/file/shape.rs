//! Holds a TOML document against a JSON Schema and says what does not fit, in the words of the file.
//!
//! serde stops at the first key it does not know and says little about tables of which one key chooses the kind; this
//! pass finds every such problem, knows what would have been allowed, and points at the offending text. What passes here
//! is then read by serde.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::words::{nearest, short, suggest};

/// Every misfit between `root` and `schema`.
pub(super) fn misfits(root: &Spanned<DeTable<'_>>, schema: &Value) -> Vec<Problem> {
    let mut pass = Pass { schema, found: Vec::new() };
    pass.table(root.get_ref(), 0..0, schema, "the file");
    pass.found
}

struct Pass<'s> {
    schema: &'s Value,
    found: Vec<Problem>,
}

impl<'s> Pass<'s> {
    fn problem(&mut self, span: Range<usize>, what: String, label: &str, help: String) {
        self.found.push(Problem { span, what, label: label.to_owned(), help });
    }

    /// The alternatives that a schema allows, without references and without `null`, which TOML does not have.
    fn options(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut schema = schema;
        while let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            let Some(target) = self.schema.pointer(to.trim_start_matches('#')) else { break };
            schema = target;
        }
        let several = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
        match several {
            Some(several) => several.iter().flat_map(|one| self.options(one)).collect(),
            None if schema.get("type").and_then(Value::as_str) == Some("null") => Vec::new(),
            None => vec![schema],
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &'s Value, name: &str) {
        let options = self.options(schema);
        let fitting: Vec<&'s Value> = options.iter().copied().filter(|option| takes(option, value.get_ref())).collect();
        if fitting.is_empty() {
            let wanted = wanted(&options);
            let what = format!("`{name}` is {}, but must be {wanted}", kind(value.get_ref()));
            return self.problem(value.span(), what, &format!("must be {wanted}"), help_for(&options, name));
        }
        match value.get_ref() {
            DeValue::String(text) => self.word(text, value.span(), &fitting, name),
            DeValue::Integer(digits) => {
                let number = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
                let bounds: Vec<(i128, i128)> = fitting.iter().map(|option| bounds(option)).collect();
                if !bounds.iter().any(|(low, high)| number.is_some_and(|n| *low <= n && n <= *high)) {
                    let (low, high) = bounds[0];
                    let what = format!("`{name} = {}` is out of range", short(digits.as_str()));
                    self.problem(value.span(), what, "out of range", format!("give a whole number from {low} to {high}"));
                }
            }
            DeValue::Array(items) => {
                for option in fitting {
                    if let Some(of) = option.get("items") {
                        for item in items.iter() {
                            self.value(item, of, name);
                        }
                    }
                }
            }
            DeValue::Table(table) => self.choice(table, value.span(), &fitting, name),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// A text of which only certain words are allowed.
    fn word(&mut self, text: &str, span: Range<usize>, options: &[&'s Value], name: &str) {
        let mut words = Vec::new();
        for option in options {
            match (option.get("const").and_then(Value::as_str), option.get("enum").and_then(Value::as_array)) {
                (Some(word), _) => words.push(word),
                (None, Some(several)) => words.extend(several.iter().filter_map(Value::as_str)),
                (None, None) => return,
            }
        }
        if !words.contains(&text) {
            let what = format!("`{name}` cannot be `{}`", short(text));
            self.problem(span, what, "not a known word", suggest(text, &words, "possible here"));
        }
    }

    /// A table of which one key may choose the kind.
    fn choice(&mut self, table: &DeTable<'_>, span: Range<usize>, options: &[&'s Value], name: &str) {
        if let [only] = options {
            return self.table(table, span, only, name);
        }
        let keys: Vec<&str> = options.iter().flat_map(|option| properties(option)).collect();
        let chosen: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).filter(|key| keys.contains(key)).collect();
        if let [_, second, ..] = chosen.as_slice() {
            let (key, _) = table.get_key_value(*second).expect("the key was found in this table");
            let what = format!("`{name}` holds {} kinds at once: {}", chosen.len(), list(&chosen));
            return self.problem(key.span(), what, "only one is possible", "give each a table of its own".to_owned());
        }
        match options.iter().find(|option| chosen.iter().any(|key| properties(option).any(|p| p == *key))) {
            Some(option) => self.table(table, span, option, name),
            None => match table.iter().next() {
                Some((key, _)) => {
                    let what = format!("`{}` is not possible in `{name}`", short(key.get_ref()));
                    self.problem(key.span(), what, "unknown", suggest(key.get_ref(), &keys, "possible here"));
                }
                None => {
                    let help = format!("give one of {}", list(&keys));
                    self.problem(span, format!("`{name}` is empty"), "nothing is said here", help);
                }
            },
        }
    }

    fn table(&mut self, table: &DeTable<'_>, span: Range<usize>, schema: &'s Value, name: &str) {
        let known: Vec<&str> = properties(schema).collect();
        for (key, value) in table {
            let word = key.get_ref().as_ref();
            if let Some(of) = schema.get("properties").and_then(|all| all.get(word)) {
                self.value(value, of, word);
            } else {
                match schema.get("additionalProperties") {
                    Some(Value::Bool(false)) => {
                        // A key that is there already cannot have been meant.
                        let near = nearest(word, known.iter().copied().filter(|k| !table.contains_key(*k)));
                        let meant = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                        let help = format!("{meant}allowed here: {}", list(&known));
                        self.problem(key.span(), format!("`{}` is not known in `{name}`", short(word)), "unknown key", help);
                    }
                    Some(of @ Value::Object(_)) => {
                        let words = schema.pointer("/propertyNames/enum").and_then(Value::as_array);
                        if let Some(words) = words.map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>())
                            && !words.contains(&word)
                        {
                            let help = suggest(word, &words, "possible here");
                            self.problem(key.span(), format!("`{}` is not known in `{name}`", short(word)), "unknown key", help);
                        }
                        self.value(value, of, word);
                    }
                    Some(_) | None => {}
                }
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(key) {
                let says = schema.pointer(&format!("/properties/{key}/description")).and_then(Value::as_str).unwrap_or_default();
                let help = format!("add `{key}`: {}", says.lines().next().unwrap_or_default().trim_end_matches('.'));
                self.problem(span.clone(), format!("`{key}` is missing in `{name}`"), "in here", help);
            }
        }
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str())
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        Some(_) | None => Vec::new(),
    }
}

fn takes(schema: &Value, value: &DeValue<'_>) -> bool {
    let types = types(schema);
    let any = types.is_empty() && schema.get("properties").is_none();
    any && !matches!(value, DeValue::Datetime(_))
        || types.iter().any(|t| match value {
            DeValue::String(_) => *t == "string",
            DeValue::Integer(_) => *t == "integer" || *t == "number",
            DeValue::Float(_) => *t == "number",
            DeValue::Boolean(_) => *t == "boolean",
            DeValue::Datetime(_) => false,
            DeValue::Array(_) => *t == "array",
            DeValue::Table(_) => *t == "object",
        })
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wanted(options: &[&Value]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for t in options.iter().flat_map(|option| types(option)) {
        let name = match t {
            "string" => "a text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            _ => "a table",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "a text, number, list or table".to_owned() } else { names.join(" or ") }
}

fn help_for(options: &[&Value], name: &str) -> String {
    let words: Vec<&str> = options.iter().filter_map(|option| option.get("const").and_then(Value::as_str)).collect();
    let keys: Vec<&str> = options.iter().flat_map(|option| properties(option)).collect();
    match (words.is_empty(), keys.is_empty()) {
        (false, true) => format!("possible words: {}", list(&words)),
        (true, false) => format!("write it as a table, `{name} = {{ … }}`, with {}", list(&keys)),
        (false, false) => format!("possible words: {}; or a table with one of {}", list(&words), list(&keys)),
        (true, true) => format!("change the value of `{name}`"),
    }
}

/// The whole numbers that fit: the schema's own bounds, else those of the type that is read into.
fn bounds(schema: &Value) -> (i128, i128) {
    let of = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
    let high = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => u8::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        Some("uint32") => u32::MAX.into(),
        Some("int32") => i32::MAX.into(),
        // TOML's own bound.
        Some(_) | None => i64::MAX.into(),
    };
    (of("minimum").unwrap_or_else(|| i64::MIN.into()), of("maximum").unwrap_or(high))
}
