//! Pulls container images and flattens their layers into a tree, without a daemon or root.
