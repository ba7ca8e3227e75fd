//! Limits on the cost of one foreign input. Each stage charges the costs that it causes; a cost beyond its
//! limit is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Advice, ErrorContext, ErrorKind, Failure, Setting};

/// A cost that a small input can make large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cost {
    /// Components of paths and of symlink targets that are resolved.
    PathComponents,
    /// Bytes of the tree in memory: inodes, names, symlink targets, extended attributes.
    /// [`ENTRY_ALLOWANCE_BYTES`] of them come with each entry and are not charged.
    TreeBytes,
    /// Bytes of the image that files, directories, symlinks and extended attributes take, in whole
    /// blocks.
    ImageBytes,
    /// Bytes that decompression produces.
    InflatedBytes,
    /// Entries of all layers, and directories made for missing parents.
    Entries,
    /// Layers of one image.
    Layers,
    /// Values in the JSON documents of one image.
    DocumentNodes,
    /// Addresses of foreign layers.
    Urls,
}

impl Cost {
    /// All costs, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::PathComponents,
        Self::TreeBytes,
        Self::ImageBytes,
        Self::InflatedBytes,
        Self::Entries,
        Self::Layers,
        Self::DocumentNodes,
        Self::Urls,
    ];

    /// Returns the name of the cost, as programs and options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PathComponents => "path-components",
            Self::TreeBytes => "tree-bytes",
            Self::ImageBytes => "image-bytes",
            Self::InflatedBytes => "inflated-bytes",
            Self::Entries => "entries",
            Self::Layers => "layers",
            Self::DocumentNodes => "document-nodes",
            Self::Urls => "urls",
        }
    }

    /// Returns the option that raises the limit, if there is one.
    pub const fn setting(self) -> Option<Setting> {
        match self {
            Self::PathComponents => Some(Setting("max_path_components")),
            Self::TreeBytes => Some(Setting("max_metadata_bytes")),
            Self::ImageBytes => Some(Setting("max_content_bytes")),
            Self::InflatedBytes => Some(Setting("max_tar_bytes")),
            Self::Entries => Some(Setting("max_entries")),
            Self::Layers => Some(Setting("max_layers")),
            Self::DocumentNodes | Self::Urls => None,
        }
    }

    /// Returns the counted unit, as a plural.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PathComponents => "path components to resolve",
            Self::TreeBytes => "bytes of names, targets and attributes in memory, besides 300 an entry",
            Self::ImageBytes => "bytes of file content and directories, in whole blocks",
            Self::InflatedBytes => "bytes of tar",
            Self::Entries => "entries",
            Self::Layers => "layers",
            Self::DocumentNodes => "values in its documents",
            Self::Urls => "addresses of foreign layers",
        }
    }

    /// Returns the default limit.
    pub const fn default_limit(self) -> u64 {
        match self {
            Self::PathComponents => 4 << 20,
            Self::TreeBytes => 96 << 20,
            Self::ImageBytes => 64 << 30,
            Self::InflatedBytes => 128 << 30,
            Self::Entries => 10_000_000,
            Self::Layers => 512,
            Self::DocumentNodes => 1_000_000,
            Self::Urls => 64,
        }
    }

    const fn index(self) -> usize {
        // The order of `ALL`, which a test holds.
        match self {
            Self::PathComponents => 0,
            Self::TreeBytes => 1,
            Self::ImageBytes => 2,
            Self::InflatedBytes => 3,
            Self::Entries => 4,
            Self::Layers => 5,
            Self::DocumentNodes => 6,
            Self::Urls => 7,
        }
    }
}

/// Free memory for the tree that each entry of a layer adds. A usual entry takes less. Together with the
/// default of [`Cost::TreeBytes`] this gives the documented memory of a run: 150 MB, and 300 bytes for each
/// entry.
pub const ENTRY_ALLOWANCE_BYTES: u64 = 300;
/// Free components of a path, symlinks included. Almost every path has fewer.
pub const FREE_PATH_COMPONENTS: u64 = 32;

/// Memory of one inode: its place in the tree, the marks of the current layer, and the numbers and runs of a
/// writer.
pub const INODE_MEMORY_BYTES: u64 = 176;
/// Memory of one name besides its bytes: its place in the directory and the allocation.
pub const NAME_MEMORY_BYTES: u64 = 56;

/// A limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the input has more than {limit} {}", .cost.unit())]
pub struct OverBudget {
    /// The cost that is too high.
    pub cost: Cost,
    /// The limit.
    pub limit: u64,
}

impl OverBudget {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        726
    }

    /// Returns the option that raises the limit, if there is one.
    pub fn setting(&self) -> Option<Setting> {
        self.cost.setting()
    }
}

impl Failure for OverBudget {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Limit
    }

    fn advice(&self) -> Option<Advice> {
        self.setting().map(Advice::to_raise)
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("cost", self.cost.name()).with("limit", self.limit)
    }
}

/// The limits of one run and the amounts spent. Clones share these amounts, so all stages and threads of a
/// run charge one account.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: [u64; Cost::ALL.len()],
    spent: Arc<[AtomicU64; Cost::ALL.len()]>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { limits: Cost::ALL.map(Cost::default_limit), spent: Arc::default() }
    }
}

impl Budget {
    /// Returns a budget without limits, for input that the caller made.
    pub fn unlimited() -> Self {
        Self { limits: [u64::MAX; Cost::ALL.len()], spent: Arc::default() }
    }

    /// Returns the budget with another limit for `cost`.
    #[must_use]
    pub fn with_limit(mut self, cost: Cost, limit: u64) -> Self {
        self.limits[cost.index()] = limit;
        self
    }

    /// Returns a budget with the same limits and nothing spent.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { limits: self.limits, spent: Arc::default() }
    }

    /// Returns the limit of `cost`.
    pub fn limit(&self, cost: Cost) -> u64 {
        self.limits[cost.index()]
    }

    /// Returns the amount spent of `cost`.
    pub fn spent(&self, cost: Cost) -> u64 {
        self.spent[cost.index()].load(Ordering::Relaxed)
    }

    /// Returns the amount left of `cost`.
    pub fn left(&self, cost: Cost) -> u64 {
        self.limit(cost).saturating_sub(self.spent(cost))
    }

    /// Spends `amount`.
    ///
    /// # Errors
    /// [`OverBudget`] if less than `amount` is left. Then this call spends nothing.
    pub fn charge(&self, cost: Cost, amount: u64) -> Result<(), OverBudget> {
        let limit = self.limit(cost);
        let add = |spent: u64| spent.checked_add(amount).filter(|sum| *sum <= limit);
        match self.spent[cost.index()].fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(OverBudget { cost, limit }),
        }
    }

    /// Spends the part of `amount` above `free`. If `amount` is smaller than `free`, the difference pays back
    /// earlier charges of this cost. So n calls spend at most the limit and n times `free` together.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    pub fn charge_above(&self, cost: Cost, amount: u64, free: u64) -> Result<(), OverBudget> {
        match amount.checked_sub(free) {
            Some(0) => Ok(()),
            Some(above) => self.charge(cost, above),
            None => {
                // The amount is almost always 0, and a read costs less than a write.
                if self.spent(cost) > 0 {
                    self.refund(cost, free - amount);
                }
                Ok(())
            }
        }
    }

    /// Refunds `amount` of an earlier charge, for example for a file that a later layer hides.
    pub fn refund(&self, cost: Cost, amount: u64) {
        let take = |spent: u64| Some(spent.saturating_sub(amount));
        let _before = self.spent[cost.index()].fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_numbered_in_their_order() {
        for (index, cost) in Cost::ALL.into_iter().enumerate() {
            assert_eq!(cost.index(), index, "{cost:?}");
        }
    }

    #[test]
    fn clones_share_what_is_spent_and_nothing_passes_the_limit() {
        let budget = Budget::default().with_limit(Cost::Entries, 10);
        let clone = budget.clone();
        assert_eq!(clone.charge(Cost::Entries, 7), Ok(()));
        assert_eq!(budget.charge(Cost::Entries, 4), Err(OverBudget { cost: Cost::Entries, limit: 10 }));
        assert_eq!((budget.spent(Cost::Entries), budget.left(Cost::Entries)), (7, 3));
        budget.refund(Cost::Entries, 2);
        assert_eq!(clone.charge(Cost::Entries, 5), Ok(()));
        assert_eq!(
            budget.charge(Cost::Entries, u64::MAX),
            Err(OverBudget { cost: Cost::Entries, limit: 10 })
        );
        assert_eq!(budget.renewed().left(Cost::Entries), 10);
    }

    #[test]
    fn what_comes_free_is_given_back_to_dear_ones_and_never_saved_up() {
        let budget = Budget::default().with_limit(Cost::TreeBytes, 100);
        for _ in 0..50 {
            assert_eq!(budget.charge_above(Cost::TreeBytes, 10, 30), Ok(()));
        }
        assert_eq!(budget.charge_above(Cost::TreeBytes, 130, 30), Ok(()));
        assert_eq!(budget.left(Cost::TreeBytes), 0);
        assert_eq!(
            budget.charge_above(Cost::TreeBytes, 31, 30),
            Err(OverBudget { cost: Cost::TreeBytes, limit: 100 })
        );
        assert_eq!(budget.charge_above(Cost::TreeBytes, 10, 30), Ok(()));
        assert_eq!(budget.left(Cost::TreeBytes), 20);
    }

    #[test]
    fn errors_tell_the_limit_and_advice_names_the_option() {
        for cost in Cost::ALL {
            let over = OverBudget { cost, limit: 7 };
            assert_eq!(over.to_string(), format!("the input has more than 7 {}", cost.unit()));
            let advice = over.advice().map(|advice| advice.worded(|setting| setting.0.to_owned()));
            let want =
                cost.setting().map(|setting| format!("if the input is to be trusted, raise {}", setting.0));
            assert_eq!(advice, want);
        }
        assert!(Budget::unlimited().charge(Cost::Entries, u64::MAX).is_ok());
    }
}
