//! Chainable setters for structs that later versions may extend.

/// Gives a struct the setters `with_FIELD`, which take a value of the field's own type.
macro_rules! setters {
    ($type:ident { $($setter:ident($field:ident: $kind:ty)),* $(,)? }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, $field: $kind) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
