//! Numbers against another implementation: the values that the RFC's authors generate, and the
//! SHA-256 that they publish of what ECMAScript (V8) writes for them (cyberphone/json-canonicalization,
//! `testdata/README.md`, "ES6 Numbers").
//!
//! First come chosen values, then those that follow the smallest normal double, then what a chain of
//! SHA-256 gives. `ETDI_LONG=1` looks at ten million of them.

use std::fmt::Write;

use ring::digest::{Context, SHA256, digest};

use super::number;

/// How many, and the SHA-256 of the lines `bits in hexadecimal,number`.
const SHORT: (usize, &str) =
    (100_000, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7");
const LONG: (usize, &str) =
    (10_000_000, "b9f8a44a91d46813b21b9602e72f112613c91408db0b8341fb94603d9db135e0");

const FIRST: [u64; 4] =
    [0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001];

/// A tenth of each other, first negative, then positive.
#[rustfmt::skip]
const BOTH_SIGNS: [u64; 50] = [
    0x446696695dbd1cc3, 0x443211ede4974a35, 0x43fce97ca0f21056, 0x43c7213080c1a6ac,
    0x439280f39a348556, 0x435d9b1f5d20d557, 0x4327af4c4a80aaac, 0x42f2f2a36ecd5556,
    0x42be51057e155558, 0x428840d131aaaaac, 0x4253670dc1555557, 0x421f0b4935555557,
    0x41e8d5d42aaaaaac, 0x41b3de4355555556, 0x417fca0555555556, 0x41496e6aaaaaaaab,
    0x4114585555555555, 0x40e046aaaaaaaaab, 0x40aa0aaaaaaaaaaa, 0x4074d55555555555,
    0x4040aaaaaaaaaaab, 0x400aaaaaaaaaaaab, 0x3fd5555555555555, 0x3fa1111111111111,
    0x3f6b4e81b4e81b4f, 0x3f35d867c3ece2a5, 0x3f0179ec9cbd821e, 0x3ecbf647612f3696,
    0x3e965e9f80f29212, 0x3e61e54c672874db, 0x3e2ca213d840baf8, 0x3df6e80fe033c8c6,
    0x3dc2533fe68fd3d2, 0x3d8d51ffd74c861c, 0x3d5774ccac3d3817, 0x3d22c3d6f030f9ac,
    0x3cee0624b3818f79, 0x3cb804ea293472c7, 0x3c833721ba905bd3, 0x3c4ebe9c5db3c61e,
    0x3c18987d17c304e5, 0x3be3ad30dfcf371d, 0x3baf7b816618582f, 0x3b792f9ab81379bf,
    0x3b442615600f9499, 0x3b101e77800c76e1, 0x3ad9ca58cce0be35, 0x3aa4a1e0a3e6fe90,
    0x3a708180831f320d, 0x3a3a68cd9e985016,
];

/// Powers of ten, neighbours of them, of one and of the limits, and halves between two spellings.
#[rustfmt::skip]
const EDGES: [u64; 64] = [
    0x4024000000000000, 0x4014000000000000, 0x3fe0000000000000, 0x3fa999999999999a,
    0x3f747ae147ae147b, 0x3f40624dd2f1a9fc, 0x3f0a36e2eb1c432d, 0x3ed4f8b588e368f1,
    0x3ea0c6f7a0b5ed8d, 0x3e6ad7f29abcaf48, 0x3e35798ee2308c3a, 0x3ed539223589fa95,
    0x3ed4ff26cd5a7781, 0x3ed4f95a762283ff, 0x3ed4f8c60703520c, 0x3ed4f8b72f19cd0d,
    0x3ed4f8b5b31c0c8d, 0x3ed4f8b58d1c461a, 0x3ed4f8b5894f7f0e, 0x3ed4f8b588ee37f3,
    0x3ed4f8b588e47da4, 0x3ed4f8b588e3849c, 0x3ed4f8b588e36bb5, 0x3ed4f8b588e36937,
    0x3ed4f8b588e368f8, 0x3ed4f8b588e368f1, 0x3ff0000000000000, 0xbff0000000000000,
    0xbfeffffffffffffa, 0xbfeffffffffffffb, 0x3feffffffffffffa, 0x3feffffffffffffb,
    0x3feffffffffffffc, 0x3feffffffffffffe, 0xbfefffffffffffff, 0xbfefffffffffffff,
    0x3fefffffffffffff, 0x3fefffffffffffff, 0x3fd3333333333332, 0x3fd3333333333333,
    0x3fd3333333333334, 0x0010000000000000, 0x000ffffffffffffd, 0x000fffffffffffff,
    0x7fefffffffffffff, 0xffefffffffffffff, 0x4340000000000000, 0xc340000000000000,
    0x4430000000000000, 0x44b52d02c7e14af5, 0x44b52d02c7e14af6, 0x44b52d02c7e14af7,
    0x444b1ae4d6e2ef4e, 0x444b1ae4d6e2ef4f, 0x444b1ae4d6e2ef50, 0x3eb0c6f7a0b5ed8c,
    0x3eb0c6f7a0b5ed8d, 0x41b3de4355555553, 0x41b3de4355555554, 0x41b3de4355555555,
    0x41b3de4355555556, 0x41b3de4355555557, 0xbecbf647612f3696, 0x43143ff3c1cb0959,
];

fn bits() -> impl Iterator<Item = u64> {
    let chain = std::iter::successors(Some([0; 32]), |block: &[u8; 32]| {
        digest(&SHA256, block).as_ref().try_into().ok()
    });
    let chained = chain.skip(1).flat_map(|block| {
        let words = block.as_chunks::<8>().0.to_vec();
        words.into_iter().map(u64::from_le_bytes)
    });
    let is_number = |bits: &u64| f64::from_bits(*bits) != 0.0 && f64::from_bits(*bits).is_finite();
    let signs = [1 << 63, 0];
    FIRST
        .into_iter()
        .chain(signs.into_iter().flat_map(|sign| BOTH_SIGNS.into_iter().map(move |it| it | sign)))
        .chain(EDGES)
        .chain((0..2000).map(|step| 0x0010000000000000 + step))
        .chain(chained.filter(is_number))
}

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    let (count, expected) = if std::env::var_os("ETDI_LONG").is_some() { LONG } else { SHORT };
    let mut hash = Context::new(&SHA256);
    let mut line = String::new();
    for bits in bits().take(count) {
        line.clear();
        writeln!(line, "{bits:x},{}", number(bits)).unwrap();
        hash.update(line.as_bytes());
    }
    let found: String = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, expected, "{count} numbers");
}
