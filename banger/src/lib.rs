//! Turns a container image into a bootable ext4 root file system.
