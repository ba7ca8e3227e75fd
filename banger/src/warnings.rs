//! Warnings of a run.

/// Returns `kept`, with a last line for the dropped ones of `count` warnings.
pub(crate) fn with_rest(mut kept: Vec<String>, count: u64) -> Vec<String> {
    let more = count.saturating_sub(kept.len() as u64);
    if more > 0 {
        kept.push(format!("{more} more warnings like these"));
    }
    kept
}
