//! In-memory root file system tree of a container image: paths, attributes, content stores, editing by path.
