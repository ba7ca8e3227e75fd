//! The measured figures that the simulation starts from. `docs/fleet.md` ("What the simulation starts from") says how they
//! were measured.

/// What one host does to get an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HostWork {
    /// Bytes that it fetches.
    pub(super) fetched_bytes: f64,
    /// CPU seconds, those of the downloads among them.
    pub(super) cpu_seconds: f64,
    /// Bytes that it writes to its disk: the image and what the cache keeps.
    pub(super) written_bytes: f64,
}

/// One image and its next version, in which the top layer changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageFigures {
    /// A conversion without anything in the cache.
    pub(super) convert: HostWork,
    /// A conversion of the next version.
    pub(super) convert_next: HostWork,
    /// A fetch of all windows.
    pub(super) fetch: HostWork,
    /// A fetch of the next version on a host that has the first one.
    pub(super) fetch_next: HostWork,
    /// CPU seconds of a push of all windows.
    pub(super) push_cpu_seconds: f64,
    /// CPU seconds of a push of the next version.
    pub(super) push_next_cpu_seconds: f64,
}

/// Debian with python3, and an application of 12 MB in a layer above it.
pub(super) const IMAGE: ImageFigures = ImageFigures {
    convert: HostWork { fetched_bytes: 83.7e6, cpu_seconds: 1.04, written_bytes: 338e6 },
    convert_next: HostWork { fetched_bytes: 8.0e6, cpu_seconds: 0.96, written_bytes: 262e6 },
    fetch: HostWork { fetched_bytes: 72.1e6, cpu_seconds: 0.67, written_bytes: 327e6 },
    fetch_next: HostWork { fetched_bytes: 8.9e6, cpu_seconds: 0.28, written_bytes: 263e6 },
    push_cpu_seconds: 1.60,
    push_next_cpu_seconds: 1.46,
};

/// Bytes a second that the disk of a host writes: `docs/benchmarks.md`, "Where the time goes".
pub(super) const DISK_BYTES_PER_SECOND: f64 = 300e6;
