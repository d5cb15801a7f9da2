/// How many spaces the bomb holds before its `{}`: a little over 64 MiB.
const SPACES: u32 = 1 + RUN * RUNS;
/// The longest run one code can repeat.
const RUN: u32 = 258;
const RUNS: u32 = 260_112;
/// CRC-32 of all the spaces and the `{}`, as `zlib.crc32` gives it.
const CRC32: u32 = 0xf7b7_46e0;

/// A gzip member (RFC 1952) of about 400 KiB that inflates to 64 MiB of valid JSON: white space
/// and `{}`.
pub(super) fn gzip_bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    // One last block with the fixed codes (RFC 1951 sections 3.2.3 and 3.2.6).
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.push_code(literal(b' '), 8);
    for _ in 0..RUNS {
        bits.push_code(LENGTH_258, 8);
        bits.push_code(DISTANCE_1, 5);
    }
    bits.push_code(literal(b'{'), 8);
    bits.push_code(literal(b'}'), 8);
    bits.push_code(END_OF_BLOCK, 7);

    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(bits.finish());
    gzip.extend(CRC32.to_le_bytes());
    gzip.extend((SPACES + 2).to_le_bytes());
    gzip
}

const LENGTH_258: u32 = 0b1100_0101;
const DISTANCE_1: u32 = 0;
const END_OF_BLOCK: u32 = 0;

/// The fixed code of a literal below 144.
fn literal(byte: u8) -> u32 {
    0b0011_0000 + u32::from(byte)
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// Adds a number, least significant bit first.
    fn push(&mut self, value: u32, width: u32) {
        self.pending |= value << self.count;
        self.count += width;
        while self.count >= 8 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Adds a Huffman code, most significant bit first.
    fn push_code(&mut self, code: u32, width: u32) {
        self.push(code.reverse_bits() >> (32 - width), width);
    }

    fn finish(mut self) -> Vec<u8> {
        self.push(0, 7);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn it_is_small_and_inflates_to_64_mib_of_json() {
        let bomb = gzip_bomb();
        assert!(bomb.len() < 500 * 1024, "{}", bomb.len());
        let mut inflated = Vec::new();
        GzDecoder::new(bomb.as_slice())
            .read_to_end(&mut inflated)
            .unwrap();
        assert!(inflated.len() > 64 * 1024 * 1024);
        assert_eq!(inflated.trim_ascii(), b"{}");
    }
}
