//! Images are built, checked by e2fsck, mounted and compared with their trees.

mod support;
