import Synchronization

/// The token that requests must carry now; it may be replaced while the API runs.
final class TokenGate: Sendable {
    private let token: Mutex<BearerToken?>

    /// Nil: requests need none.
    init(_ token: BearerToken?) { self.token = Mutex(token) }

    /// Whether a token is needed.
    var isGuarded: Bool { token.withLock { $0 != nil } }

    /// Whether a request with that `Authorization` header may come in.
    func admits(_ header: String?) -> Bool { token.withLock { $0 }?.admits(header) ?? true }

    func replace(_ new: BearerToken) { token.withLock { $0 = new } }
}

/// Compares tokens in a time that tells nothing about where they differ.
struct BearerToken: Sendable {
    private let expected: [UInt8]

    init(_ token: String) { expected = Array(token.utf8) }

    /// Whether an `Authorization` header carries the token.
    func admits(_ header: String?) -> Bool {
        guard let header else { return false }
        let bytes = Array(header.utf8)
        let scheme = bytes.prefix(7).map { (65...90).contains($0) ? $0 | 0x20 : $0 }
        guard scheme == Array("bearer ".utf8) else { return false }
        let given = bytes.dropFirst(7)
        var difference = given.count ^ expected.count
        for index in expected.indices {
            let byte = index < given.count ? given[given.startIndex + index] : 0
            difference |= Int(byte ^ expected[index])
        }
        return difference == 0
    }
}
