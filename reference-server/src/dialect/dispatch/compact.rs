//! Compaction: the history is replaced by a summary and its newest messages, with numbers that begin anew.
//!
//! The epoch of the numbers changes with them, so that a client which still holds a number of before is told.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Server;
use super::answer::Refusal;
use super::conversation::{Conversation, Phase, Row, chunk, new_log};
use crate::bugs::Bug;

/// How many of the newest messages of the human are kept, with what follows them.
const KEPT: usize = 2;
/// How much of a message the summary quotes, and of how many.
const QUOTED: usize = 80;
const MOST_QUOTED: usize = 50;

/// Compacts a conversation in which no turn runs.
pub(super) async fn compact(server: &Arc<Server>, conversation: &Arc<Conversation>) -> Result<Value, Refusal> {
    let _changing = conversation.changing.lock().await;
    {
        let state = conversation.state();
        if matches!(state.phase, Phase::Running { .. }) && !server.hub.bugs.has(Bug::CompactsInTurn) {
            return Err(Refusal::busy());
        }
        if state.closing {
            return Err(Refusal::closed());
        }
    }
    locked(server, conversation).await
}

/// As [`compact`], by whoever holds `changing` and knows that no turn runs.
pub(super) async fn locked(server: &Arc<Server>, conversation: &Arc<Conversation>) -> Result<Value, Refusal> {
    let (rows, epoch) = conversation.rows(server);
    let prompts: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].role == "user").collect();
    let from = prompts.len().checked_sub(KEPT).map_or(0, |nth| prompts[nth]);
    let result = |compacted: bool, removed: usize, latest: usize, epoch: &str| json!({ "conversationId": conversation.id, "compacted": compacted, "removed": removed, "latestSeq": latest, "epoch": epoch });
    if from == 0 {
        return Ok(result(false, 0, rows.len(), &epoch));
    }
    let old = conversation.log();
    let new = new_log(server, &conversation.id).await?;
    let summary = json!({ "type": "text", "text": summary(&rows[..from]) });
    let kept = rows[from..].iter().map(|row| chunk(&row.role, &row.turn, &row.chunk));
    server.hub.append_all(&new, std::iter::once(chunk("system", "", &summary)).chain(kept).collect()).await?;
    conversation.note(server, "chunks", &json!(new)).await?;
    server.hub.delete(&old).await?;
    let (rows, epoch) = conversation.rows(server);
    let result = result(true, from, rows.len(), &epoch);
    let mut notice = result.clone();
    notice["type"] = json!("conversation.compacted");
    server.broadcast(&notice);
    Ok(result)
}

/// What was said before, in short.
fn summary(rows: &[Row]) -> String {
    let prompts: Vec<String> = rows
        .iter()
        .filter(|row| row.role == "user")
        .filter_map(|row| row.chunk["text"].as_str())
        .map(|text| text.chars().take(QUOTED).collect())
        .collect();
    let skipped = prompts.len().saturating_sub(MOST_QUOTED);
    format!("Earlier in this conversation ({} chunks) the user said: {}", rows.len(), prompts[skipped..].join(" / "))
}
