//! Chainable setters of option structs.

/// Writes one setter for each field: `field: Type => with_field`.
macro_rules! setters {
    ($options:ident { $($field:ident: $type:ty => $setter:ident),* $(,)? }) => {
        impl $options {
            $(
                #[doc = concat!("Returns the options with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
pub(crate) use setters;
