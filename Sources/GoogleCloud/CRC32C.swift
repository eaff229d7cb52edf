/// CRC-32C (Castagnoli), the checksum of Google's services: reflected, polynomial 0x1EDC6F41, as in RFC 3720, appendix
/// B.4. Bit by bit: for secrets, of which there are few and short ones.
enum CRC32C {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var remainder = UInt32.max
        for byte in bytes {
            remainder ^= UInt32(byte)
            for _ in 0..<8 {
                // The polynomial, its bits in reverse.
                remainder = remainder >> 1 ^ (remainder & 1 == 0 ? 0 : 0x82F6_3B78)
            }
        }
        return ~remainder
    }
}
