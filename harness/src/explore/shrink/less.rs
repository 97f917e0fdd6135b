//! One step with less in it, through its serialized form, so that a new kind of step needs no rule here.

use serde_json::Value;

use crate::scenario::{Step, from_plain};

/// A step with less in it.
pub(super) fn of(step: &Step, value: &Value) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    if let Step::Writer(writer) = step {
        all.extend(from_plain(&serde_json::json!({ "publish": { "session": writer.session, "count": writer.count } })));
    }
    // The session's bound stays as it is, so it takes more events to exceed it than a bound of one would.
    if let Step::Evict(evict) = step {
        all.extend(from_plain(&serde_json::json!({ "publish": { "session": evict.session, "count": 5 } })));
    }
    if let Step::Seam(seam) = step {
        all.extend(from_plain(&serde_json::json!({ "subscribe": { "reader": seam.reader, "session": seam.session } })));
        let count = seam.publish.saturating_mul(seam.times);
        all.extend(from_plain(&serde_json::json!({ "publish": { "session": seam.session, "count": count } })));
    }
    // To leave is no fault.
    if let Step::Cut(cut) = step {
        all.extend(from_plain(&serde_json::json!({ "drop": { "reader": cut.reader } })));
    }
    if let Step::Churn(churn) = step {
        all.extend(from_plain(&serde_json::json!({ "subscribe": { "reader": "a", "session": churn.session } })));
    }
    let Some((kind, Value::Object(fields))) = value.as_object().and_then(|map| map.iter().next()) else { return all };
    let mut change = |field: &str, to: Option<Value>| {
        let mut fields = fields.clone();
        match to {
            Some(to) => fields.insert(field.to_owned(), to),
            None => fields.remove(field),
        };
        let less = serde_json::json!({ kind.as_str(): fields });
        // Back and forth, so that what is default by another way is left out as well.
        all.extend(from_plain(&less));
    };
    for (field, inner) in fields {
        change(field, None);
        lessen(inner, &mut |less| change(field, Some(less)));
    }
    all
}

/// Smaller values of the same form.
fn lessen(value: &Value, with: &mut dyn FnMut(Value)) {
    match value {
        Value::Number(n) => {
            let Some(n) = n.as_u64() else { return };
            // Nobody counts hundreds of events: of a large number an eighth goes at least.
            for less in [0, 1, n / 4, n / 2, n.saturating_sub((n / 8).max(1))] {
                if less < n {
                    with(Value::from(less));
                }
            }
        }
        Value::Object(map) => {
            for (key, inner) in map {
                lessen(inner, &mut |less| {
                    let mut map = map.clone();
                    map.insert(key.clone(), less);
                    with(Value::Object(map));
                });
                let mut without = map.clone();
                without.remove(key);
                with(Value::Object(without));
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}
