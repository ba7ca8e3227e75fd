//! Events for `tracing`, with the feature of this name.

/// Makes an event of a level, as `tracing::event!` does. Texts in it must hold no secret.
#[cfg(feature = "tracing")]
macro_rules! trace {
    ($level:ident, $($event:tt)*) => {
        tracing::event!(target: "banger_oci", tracing::Level::$level, $($event)*)
    };
}

/// Without the feature nothing is evaluated.
#[cfg(not(feature = "tracing"))]
macro_rules! trace {
    ($level:ident, $($event:tt)*) => {};
}

pub(crate) use trace;
