//! Writes and edits ext4 file systems from a tree, without root, mounts or mkfs.
