//! What every connection of the agent needs.

use std::sync::Arc;

use super::slots::Slots;
use crate::root::Root;

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) root: Root,
    pub(crate) slots: Arc<Slots>,
}
