//! Test support for banger: real images, a real registry, tree comparison.
