//! Which extended attributes go into the inode and which into a block.

use banger_tree::{Xattrs, escape_bytes};

use crate::format::acl;
use crate::format::xattr::{BLOCK_SPACE, Entry, INODE_SPACE, split_name};

/// Extended attributes of one inode, each list in the order of storage.
#[derive(Debug, Default)]
pub(crate) struct Placed<'a> {
    /// In the inode.
    pub(crate) in_inode: Vec<Entry<'a>>,
    /// Attributes in a block, if there are any.
    pub(crate) in_block: Vec<Entry<'a>>,
}

/// Returns the place of each of `xattrs`, or the reason why they do not fit. It puts as much as possible into
/// the inode, so that they fit whenever that is possible.
pub(crate) fn place(xattrs: &Xattrs) -> Result<Placed<'_>, String> {
    place_within(xattrs, INODE_SPACE, BLOCK_SPACE)
}

/// Like [`place`], for these numbers of bytes in inode and block.
pub(crate) fn place_within(
    xattrs: &Xattrs,
    inode_space: usize,
    block_space: usize,
) -> Result<Placed<'_>, String> {
    let mut entries = xattrs.iter().map(|(name, value)| entry(name, value)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by(|a, b| a.order().cmp(&b.order()));
    let mut is_in_inode = fullest_subset(&entries, inode_space).into_iter();
    let mut placed = Placed::default();
    for entry in entries {
        let inside = is_in_inode.next().expect("one answer for each entry");
        if inside { placed.in_inode.push(entry) } else { placed.in_block.push(entry) }
    }
    let size: usize = placed.in_block.iter().map(Entry::size).sum();
    if size > block_space {
        return Err(format!(
            "extended attributes take {size} bytes more than fit into the inode, and {block_space} is the most"
        ));
    }
    Ok(placed)
}

fn entry<'a>(full: &'a [u8], value: &'a [u8]) -> Result<Entry<'a>, String> {
    let (name_index, name) = split_name(full)
        .ok_or_else(|| format!("it has no namespace for the extended attribute {}", escape_bytes(full)))?;
    if name.len() > 255 {
        return Err(format!("the name of an extended attribute has {} bytes, 255 is the most", name.len()));
    }
    let value = match full {
        acl::ACCESS | acl::DEFAULT => {
            acl::to_disk(value).ok_or_else(|| format!("{} is malformed", escape_bytes(full)))?.into()
        }
        _ => value.into(),
    };
    Ok(Entry { name_index, name, value })
}

/// Returns which entries to take so that they fill `space` bytes as far as can be.
fn fullest_subset(entries: &[Entry<'_>], space: usize) -> Vec<bool> {
    // `reached[n][s]`: some of the first n entries take exactly s units of 4 bytes.
    let units = space / 4;
    let sizes: Vec<usize> = entries.iter().map(|entry| entry.size() / 4).collect();
    let mut reached = vec![vec![false; units + 1]];
    reached[0][0] = true;
    for (row, size) in sizes.iter().enumerate() {
        let with = |sum: usize| sum.checked_sub(*size).is_some_and(|before| reached[row][before]);
        let next = (0..=units).map(|sum| reached[row][sum] || with(sum)).collect();
        reached.push(next);
    }
    let last = reached.len() - 1;
    let mut sum = (0..=units).rev().find(|sum| reached[last][*sum]).expect("nothing at all takes 0");
    let mut chosen = vec![false; entries.len()];
    for row in (0..entries.len()).rev() {
        if !reached[row][sum] {
            chosen[row] = true;
            sum -= sizes[row];
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattrs(list: &[(&str, usize)]) -> Xattrs {
        list.iter().map(|(name, length)| (name.as_bytes(), vec![b'v'; *length])).collect()
    }

    #[test]
    fn t09_inode_and_block_filled_to_the_byte() {
        // An entry takes 16 bytes, its name and its value, the two rounded up to 4.
        for (list, in_inode, in_block) in [
            (&[("user.a", 68)][..], 1, 0),
            (&[("user.a", 69)], 0, 1),
            (&[("user.a", 24), ("user.bb", 24)], 2, 0),
            (&[("user.a", 28), ("user.b", 24)], 1, 1),
            (&[("user.a", 4040), ("user.b", 68)], 1, 1),
            (&[("user.a", 48), ("user.b", 24), ("user.c", 24), ("user.d", 3972)], 2, 2),
        ] {
            let xattrs = xattrs(list);
            let placed = place(&xattrs).unwrap();
            assert_eq!((placed.in_inode.len(), placed.in_block.len()), (in_inode, in_block), "{list:?}");
        }
        for list in [&[("user.a", 4041)][..], &[("user.a", 4040), ("user.b", 69)]] {
            assert!(place(&xattrs(list)).unwrap_err().contains("4060 is the most"), "{list:?}");
        }
    }

    #[test]
    fn t09_sorted_by_index_length_name() {
        let xattrs = xattrs(&[("trusted.a", 900), ("user.bb", 900), ("user.b", 900), ("security.x", 900)]);
        let order: Vec<_> = place(&xattrs).unwrap().in_block.iter().map(|e| (e.name_index, e.name)).collect();
        assert_eq!(order, [(1, &b"b"[..]), (1, b"bb"), (4, b"a"), (6, b"x")]);
        assert!(place(&Xattrs::from_iter([("nfs4.acl", "x")])).is_err());
        assert!(place(&Xattrs::from_iter([("system.posix_acl_access", "x")])).is_err());
    }
}
