/// Why a scan stopped. Where it stopped is the cursor's ``JSONCursor/offset``.
@frozen public enum ScanError: UInt8, Error, BitwiseCopyable {
    /// Not JSON, or JSON that ends too soon.
    case malformed
    /// JSON, but not of the type that was asked for.
    case wrongType
    /// A decimal whose text could not be given back byte for byte (`00.1`, `.5`, `5.`, `+1`, `1e5`, nothing at all),
    /// or one of more than 112 bits or 40 fraction digits.
    case decimal
    /// An integer beyond 64 bits.
    case integer
    /// Nested deeper than ``JSONCursor/depthMax``.
    case depth
}
