//! Shared state of all connections of the agent.

use std::sync::Arc;

use super::slots::Slots;
use crate::root::Root;

/// Shared state of all connections.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) root: Root,
    pub(crate) slots: Arc<Slots>,
}
