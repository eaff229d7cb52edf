import Glibc

/// What `Retry-After` says (RFC 9110, section 10.2.3).
enum RetryTime: Equatable, ExpressibleByIntegerLiteral {
    case seconds(Int)
    /// The moment so long after the answer, ns: sent as a date, which knows whole seconds, and so up to one later.
    case date(Int64)

    init(integerLiteral seconds: Int) { self = .seconds(seconds) }

    /// The header line with its end. `wall`: now, ns since the epoch.
    func line(wall: Int64) -> String {
        switch self {
        case .seconds(let seconds): return "Retry-After: \(seconds)\r\n"
        case .date(let nanos):
            var time = time_t((wall + nanos + 999_999_999) / 1_000_000_000)
            var parts = tm()
            gmtime_r(&time, &parts)
            var text = [CChar](repeating: 0, count: 64)
            let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            return "Retry-After: "
                + String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + "\r\n"
        }
    }
}
