//! The hashes that order the names of an indexed directory. Only half MD4 is written.

/// `s_def_hash_version` and `hash_version`: that of the first versions.
pub(crate) const LEGACY: u8 = 0;
/// Half MD4.
pub(crate) const HALF_MD4: u8 = 1;
/// The Tiny Encryption Algorithm.
pub(crate) const TEA: u8 = 2;
/// A hash that means "end of directory" to readers; no name may have it.
const EOF_HASH: u32 = 0xffff_fffe;
/// The start value of the hash without a seed: that of MD4.
const MD4_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Whether bytes of names above 127 count as negative (from `s_flags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signedness {
    /// As `char` on x86.
    Signed,
    /// As `char` on Arm.
    Unsigned,
}

/// Hash of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameHash {
    /// The value in the index, with the lowest bit clear.
    pub(crate) major: u32,
    /// Breaks ties when directories are read in hash order.
    pub(crate) minor: u32,
}

impl NameHash {
    fn new(hash: u32, minor: u32) -> Self {
        let major = hash & !1;
        Self { major: if major == EOF_HASH { EOF_HASH.wrapping_sub(2) } else { major }, minor }
    }
}

/// Returns the hash of `name` with `s_hash_seed` in an index of this `hash_version`; `None` for an unknown
/// version.
pub(crate) fn name_hash(
    hash_version: u8,
    name: &[u8],
    s_hash_seed: &[u8; 16],
    signedness: Signedness,
) -> Option<NameHash> {
    Some(match hash_version {
        LEGACY => legacy(name, signedness),
        HALF_MD4 => half_md4(name, s_hash_seed, signedness),
        TEA => tea(name, s_hash_seed, signedness),
        _ => return None,
    })
}

/// Returns the half MD4 of `name` with `s_hash_seed`.
pub(crate) fn half_md4(name: &[u8], s_hash_seed: &[u8; 16], signedness: Signedness) -> NameHash {
    let mut state = start(s_hash_seed);
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, &words_of(rest, signedness));
        rest = rest.get(32..).unwrap_or_default();
    }
    NameHash::new(state[1], state[2])
}

fn tea(name: &[u8], s_hash_seed: &[u8; 16], signedness: Signedness) -> NameHash {
    const DELTA: u32 = 0x9e37_79b9;
    let mut state = start(s_hash_seed);
    let mut rest = name;
    while !rest.is_empty() {
        let [a, b, c, d]: [u32; 4] = words_of(rest, signedness);
        let ([mut x, mut y, ..], mut sum) = (state, 0_u32);
        let mixed = |half: u32, sum: u32, first: u32, second: u32| {
            (half << 4).wrapping_add(first) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(second)
        };
        for _ in 0..16 {
            sum = sum.wrapping_add(DELTA);
            x = x.wrapping_add(mixed(y, sum, a, b));
            y = y.wrapping_add(mixed(x, sum, c, d));
        }
        state[0] = state[0].wrapping_add(x);
        state[1] = state[1].wrapping_add(y);
        rest = rest.get(16..).unwrap_or_default();
    }
    NameHash::new(state[0], state[1])
}

fn legacy(name: &[u8], signedness: Signedness) -> NameHash {
    let (mut hash, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    for byte in name {
        let mut next = before.wrapping_add(hash ^ signedness.value_of(*byte).wrapping_mul(7_152_373));
        if next & 0x8000_0000 != 0 {
            next = next.wrapping_sub(0x7fff_ffff);
        }
        (before, hash) = (hash, next);
    }
    NameHash::new(hash << 1, 0)
}

fn start(s_hash_seed: &[u8; 16]) -> [u32; 4] {
    if *s_hash_seed == [0; 16] {
        return MD4_START;
    }
    let mut words = s_hash_seed.chunks_exact(4);
    std::array::from_fn(|_| {
        let word = words.next().expect("16 bytes have four words");
        u32::from_le_bytes(word.try_into().expect("four bytes"))
    })
}

impl Signedness {
    fn value_of(self, byte: u8) -> u32 {
        match self {
            Self::Unsigned => u32::from(byte),
            Self::Signed => i32::from(i8::from_le_bytes([byte])).cast_unsigned(),
        }
    }
}

/// Returns the words of input that the next bytes of a name make, four bytes each; the length of the rest
/// pads them.
fn words_of<const WORDS: usize>(rest: &[u8], signedness: Signedness) -> [u32; WORDS] {
    let length = u32::try_from(rest.len()).expect("names have at most 255 bytes");
    let half = length | (length << 8);
    let padding = half | (half << 16);
    let mut words = [padding; WORDS];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        for byte in bytes {
            *word = signedness.value_of(*byte).wrapping_add(*word << 8);
        }
    }
    words
}

fn transform(state: &mut [u32; 4], input: &[u32; 8]) {
    const K2: u32 = 0x5a82_7999;
    const K3: u32 = 0x6ed9_eba1;
    let choose = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let mut round = *state;
    mix(&mut round, input, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19], 0, choose);
    mix(&mut round, input, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13], K2, majority);
    mix(&mut round, input, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15], K3, parity);
    for (word, mixed) in state.iter_mut().zip(round) {
        *word = word.wrapping_add(mixed);
    }
}

/// Does one round of eight steps on `state`: which input words in turn, and four rotations.
fn mix(
    state: &mut [u32; 4],
    input: &[u32; 8],
    order: [usize; 8],
    rotations: [u32; 4],
    constant: u32,
    function: impl Fn(u32, u32, u32) -> u32,
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (step, word) in order.into_iter().enumerate() {
        let sum = a
            .wrapping_add(function(b, c, d))
            .wrapping_add(input[word])
            .wrapping_add(constant)
            .rotate_left(rotations[step % 4]);
        (a, b, c, d) = (d, sum, b, c);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t03_hashes_of_other_indexes() {
        let seed: [u8; 16] = std::array::from_fn(|at| u8::try_from(at + 1).unwrap());
        let long: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-long-name-over-32";
        for (name, by_tea, by_legacy) in [
            (&b"a"[..], (0xf535_28f0, 0xea54_fb01), 0xe74b_53e2),
            (b"hello", (0x1a56_92b6, 0x2fd9_857d), 0x3225_2546),
            (long, (0xeced_03fa, 0xa7d6_d126), 0x4f40_acf6),
            (b"\xe9t\xe9", (0x4173_26ec, 0xd4bf_7359), 0xcbfc_35a2),
        ] {
            let hash = |version| name_hash(version, name, &seed, Signedness::Signed);
            let (major, minor) = by_tea;
            assert_eq!(hash(TEA), Some(NameHash { major, minor }), "{name:?}");
            assert_eq!(hash(LEGACY), Some(NameHash { major: by_legacy, minor: 0 }), "{name:?}");
            assert_eq!(hash(HALF_MD4), Some(half_md4(name, &seed, Signedness::Signed)));
            assert_eq!(hash(6), None, "the one of encrypted names");
        }
    }

    #[test]
    fn t03_no_name_has_the_hash_that_ends_a_directory() {
        for (hash, major) in
            [(0xffff_fffe, 0xffff_fffc), (0xffff_ffff, 0xffff_fffc), (0xffff_fffd, 0xffff_fffc)]
        {
            assert_eq!(NameHash::new(hash, 7), NameHash { major, minor: 7 });
        }
    }

    /// The expected values come from `debugfs -R "dx_hash -h half_md4 …"` on x86.
    #[test]
    fn t03_hashes_of_names() {
        let seed: [u8; 16] = std::array::from_fn(|at| u8::try_from(at + 1).unwrap());
        let long: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-long-name-over-32";
        for (name, seeded, unseeded) in [
            (&b"a"[..], (0x8d08_ec4c, 0x2fbc_cd78), (0xd5fa_7d7a, 0xacb4_8187)),
            (b"hello", (0xe2dd_f968, 0xc8bc_0924), (0x1746_da32, 0x4200_13b5)),
            (long, (0x8fe6_b73c, 0xa8a1_8ee8), (0xf775_da4c, 0x5284_63ff)),
            (b"\xe9t\xe9", (0x1c42_0e00, 0x3ce0_dd64), (0x5428_9c74, 0xabf3_4552)),
        ] {
            let hash = |(major, minor)| NameHash { major, minor };
            assert_eq!(half_md4(name, &seed, Signedness::Signed), hash(seeded), "{name:?}");
            assert_eq!(half_md4(name, &[0; 16], Signedness::Signed), hash(unseeded), "{name:?}");
            let differs = half_md4(name, &seed, Signedness::Unsigned) != hash(seeded);
            assert_eq!(differs, !name.is_ascii(), "signedness matters above 127 only");
        }
    }
}
