//! Damage of an image.

use std::error::Error;
use std::fmt;

use crate::failure::ErrorContext;

/// One damaged structure of an image. Its text describes the damage. Each implementation of
/// [`Rootfs`](crate::Rootfs) has its own kinds of damage, which are not part of the API.
#[derive(Debug)]
pub struct Corruption {
    kind: Box<dyn Error + Send + Sync>,
    inode: Option<u32>,
    block: Option<u64>,
    group: Option<u32>,
}

impl Corruption {
    /// Damage of this kind, whose text is shown.
    pub fn new(kind: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: kind.into(), inode: None, block: None, group: None }
    }

    /// Sets the number of the damaged inode.
    #[must_use]
    pub fn with_inode(mut self, number: impl Into<Option<u32>>) -> Self {
        self.inode = number.into();
        self
    }

    /// Sets the number of the damaged block.
    #[must_use]
    pub fn with_block(mut self, number: impl Into<Option<u64>>) -> Self {
        self.block = number.into();
        self
    }

    /// Sets the number of the damaged block group.
    #[must_use]
    pub fn with_group(mut self, number: impl Into<Option<u32>>) -> Self {
        self.group = number.into();
        self
    }

    /// Returns the number of the inode that is damaged, if the damage is one inode's.
    pub fn inode(&self) -> Option<u32> {
        self.inode
    }

    /// Returns the number of the block that is damaged, if the damage is one block's.
    pub fn block(&self) -> Option<u64> {
        self.block
    }

    /// Returns the number of the block group that is damaged, if the damage is one group's.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Adds the numbers to the context of a failure.
    pub(crate) fn add_to(&self, context: ErrorContext) -> ErrorContext {
        let numbers = [
            ("inode", self.inode.map(u64::from)),
            ("block", self.block),
            ("block_group", self.group.map(u64::from)),
        ];
        numbers.into_iter().fold(context, |context, (name, number)| match number {
            Some(number) => context.with(name, number),
            None => context,
        })
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)
    }
}
