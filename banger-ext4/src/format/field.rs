//! Fixed-layout structures: fields with their offsets, encoded and decoded.

/// A value with one encoding of fixed length.
pub(crate) trait Field: Sized {
    /// Its length in bytes.
    const SIZE: usize;
    /// Reads it from its bytes.
    fn load(bytes: &[u8]) -> Self;
    /// Writes it into its bytes.
    fn store(&self, bytes: &mut [u8]);
}

macro_rules! little_endian {
    ($($number:ty),*) => {$(
        impl Field for $number {
            const SIZE: usize = size_of::<$number>();

            fn load(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("the layout gives each field its length"))
            }

            fn store(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
little_endian!(u8, u16, u32, u64);

/// A big-endian number, as the journal has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Be32(pub(crate) u32);

impl Field for Be32 {
    const SIZE: usize = 4;

    fn load(bytes: &[u8]) -> Self {
        Self(u32::from_be_bytes(bytes.try_into().expect("the layout gives each field its length")))
    }

    fn store(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_be_bytes());
    }
}

impl<T: Field, const N: usize> Field for [T; N] {
    const SIZE: usize = T::SIZE * N;

    fn load(bytes: &[u8]) -> Self {
        let mut parts = bytes.chunks_exact(T::SIZE);
        std::array::from_fn(|_| T::load(parts.next().expect("the layout gives each field its length")))
    }

    fn store(&self, bytes: &mut [u8]) {
        for (part, value) in bytes.chunks_exact_mut(T::SIZE).zip(self) {
            value.store(part);
        }
    }
}

/// Defines a structure of fields at stated offsets, with `SIZE`, `zeroed`, `decode` and `encode`.
/// Fields that leave a gap, overlap or miss the stated size do not compile.
macro_rules! on_disk {
    (
        $(#[$meta:meta])*
        struct $name:ident[$size:literal] { $($offset:literal $field:ident: $kind:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name {
            $(pub(crate) $field: $kind,)*
        }

        #[allow(clippy::arithmetic_side_effects, reason = "what overflows here does not compile")]
        const _: () = {
            let mut end = 0;
            $(
                assert!(end == $offset, "fields follow each other");
                end += <$kind as $crate::format::field::Field>::SIZE;
            )*
            assert!(end == $size, "the fields fill the structure");
        };

        impl $name {
            /// Bytes on disk.
            pub(crate) const SIZE: usize = $size;

            /// Returns the structure with all fields zero.
            pub(crate) fn zeroed() -> Self {
                Self::decode(&[0; $size])
            }

            /// Returns the structure that `bytes` encode.
            pub(crate) fn decode(bytes: &[u8; $size]) -> Self {
                use $crate::format::field::Field;
                Self { $($field: <$kind>::load(&bytes[$offset..$offset + <$kind as Field>::SIZE]),)* }
            }

            /// Returns the bytes on disk.
            pub(crate) fn encode(&self) -> [u8; $size] {
                use $crate::format::field::Field;
                let mut bytes = [0; $size];
                $(self.$field.store(&mut bytes[$offset..$offset + <$kind as Field>::SIZE]);)*
                bytes
            }
        }
    };
}
pub(crate) use on_disk;
