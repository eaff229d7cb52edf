import CDeflate

/// Both directions of one connection's permessage-deflate. Owned by the I/O thread.
struct MessageDeflate: ~Copyable {
    private let inflater: OpaquePointer
    /// Nil where the agreed window is too small for zlib to write with: messages of ours then go uncompressed, which
    /// every peer must take.
    private var deflater: OpaquePointer?

    /// Nil where memory is short.
    init?(_ agreement: DeflateAgreement) {
        guard
            let inflater = cd_inflater_new(
                Int32(agreement.serverWindowBits), agreement.serverForgets ? 0 : 1)
        else { return nil }
        self.inflater = inflater
        deflater = cd_deflater_new(
            agreement.level, Int32(agreement.clientWindowBits), agreement.clientForgets ? 0 : 1)
    }

    deinit {
        cd_inflater_free(inflater)
        cd_deflater_free(deflater)
    }

    /// What became of a message.
    enum Outcome: Equatable {
        case bytes(Int)
        /// More than the room.
        case tooLarge
        case corrupt
    }

    /// One compressed message; it may take `room` bytes at `target`.
    func inflate(_ bytes: UnsafePointer<UInt8>, _ count: Int, into target: UnsafeMutableRawPointer, room: Int)
        -> Outcome
    {
        let written = cd_inflate(inflater, target, room, bytes, count)
        if written >= 0 { return .bytes(Int(written)) }
        return written == Int64(CD_TOO_LARGE) ? .tooLarge : .corrupt
    }

    /// A message's payload compressed; nil where it has to go as it is.
    mutating func deflate(_ payload: [UInt8]) -> [UInt8]? {
        guard let deflater else { return nil }
        let bound = cd_deflate_bound(deflater, payload.count)
        var written: Int64 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: bound) { room, count in
            written = cd_deflate(deflater, room.baseAddress, bound, payload, payload.count)
            count = max(0, Int(written))
        }
        guard written >= 0 else {
            // Its window has run ahead of the peer's: it is of no more use.
            cd_deflater_free(deflater)
            self.deflater = nil
            return nil
        }
        return bytes
    }
}
