//! The setters of option structs. `banger_tree::setters` is the same for the crates above it; this crate
//! depends on no other of the project.

/// Gives an option struct one chainable setter for each field, called `with_` and the field's name.
/// A setter of an optional field takes the value itself or an `Option`.
macro_rules! setters {
    ($type:ty { $($rest:tt)* }) => {
        impl $type { setters!(@ $($rest)*); }
    };
    (@) => {};
    (@ $setter:ident => $field:ident: Option<$kind:ty>, $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $setter(mut self, $field: impl Into<Option<$kind>>) -> Self {
            self.$field = $field.into();
            self
        }
        setters!(@ $($rest)*);
    };
    (@ $setter:ident => $field:ident: $kind:ty, $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $setter(mut self, $field: $kind) -> Self {
            self.$field = $field;
            self
        }
        setters!(@ $($rest)*);
    };
}
