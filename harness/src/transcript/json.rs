//! JSON texts in one form: members by name, no white space, values redacted on the way.

use serde_json::Value;

use super::redact::Redactor;

impl Redactor {
    /// The text in its one form, when it is a JSON object or array.
    pub(super) fn json(&mut self, text: &str) -> Option<String> {
        let value: Value = serde_json::from_str(text.trim()).ok().filter(|value: &Value| value.is_object() || value.is_array())?;
        let mut out = String::new();
        self.value(&value, &mut Vec::new(), &mut out);
        Some(out)
    }

    fn value(&mut self, value: &Value, path: &mut Vec<String>, out: &mut String) {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                out.push('{');
                for (nth, (name, value)) in members.into_iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    let shown = self.text(name);
                    out.push_str(&Value::String(shown).to_string());
                    out.push(':');
                    path.push(name.clone());
                    self.value(value, path, out);
                    path.pop();
                }
                out.push('}');
            }
            Value::Array(elements) => {
                out.push('[');
                for (nth, value) in elements.iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    path.push(nth.to_string());
                    self.value(value, path, out);
                    path.pop();
                }
                out.push(']');
            }
            Value::Null => out.push_str("null"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let shown = self.scalar(value, path);
                out.push_str(&shown);
            }
        }
    }
}
