//! The setters of option structs, in all crates of the project above this one.

/// Gives an option struct one chainable setter for each field, called `with_` and the field's name.
/// A setter of an optional field takes the value itself or an `Option`.
#[doc(hidden)]
#[macro_export]
macro_rules! setters {
    ($type:ty { $($rest:tt)* }) => {
        impl $type { $crate::setters!(@ $($rest)*); }
    };
    (@) => {};
    (@ $setter:ident => $field:ident: Option<$kind:ty>, $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $setter(mut self, $field: impl Into<Option<$kind>>) -> Self {
            self.$field = $field.into();
            self
        }
        $crate::setters!(@ $($rest)*);
    };
    (@ $setter:ident => $field:ident: $kind:ty, $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $setter(mut self, $field: $kind) -> Self {
            self.$field = $field;
            self
        }
        $crate::setters!(@ $($rest)*);
    };
}
