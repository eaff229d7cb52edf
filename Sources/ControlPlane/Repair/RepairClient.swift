import CCurl
import CKernel
import ExchangeAdapter
import Wire

/// Makes requests for what is past, one at a time.
final class RepairClient {
    /// Where a market's past is served.
    struct Place: Sendable {
        /// `https://host:port`
        var endpoint: String
        var tls: Configuration.TLS
        var proxy: ProxySettings
        var backfill: any Backfill

        /// What libcurl is told; nil: it looks at the environment itself.
        fileprivate var proxyText: String? {
            switch proxy {
            case .none: ""
            case .always(let proxy): proxy.description
            case .environment: nil
            }
        }
        fileprivate var proxyAuthorization: String? {
            guard case .always(let proxy) = proxy else { return nil }
            return proxy.authorization
        }
    }

    private let session: OpaquePointer

    /// nil where memory is short.
    init?() {
        guard let session = cc_session_new() else { return nil }
        self.session = session
    }

    deinit { cc_session_free(session) }

    /// Makes a request and waits for its end.
    func fetch(_ request: RepairPlanner.Request, at place: Place) -> RepairPlanner.Answer {
        var response = cc_response()
        defer { cc_response_free(&response) }
        let code = cc_session_get(
            session, place.endpoint + request.backfill.target, request.timeoutNanos / 1_000_000,
            place.tls.certificateAuthority, place.tls.verify ? 1 : 0, place.proxyText,
            place.proxyAuthorization, &response)
        let received = ck_realtime_nanos()
        guard code == 0 else {
            return .failed(
                withUnsafeBytes(of: response.error) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        let lines = response.headers.map { String(cString: $0) } ?? ""
        let used = RepairClient.number(in: lines, header: place.backfill.usedWeightHeader)
        guard response.status == 200 else {
            return .status(
                Int(response.status),
                retryAfterSeconds: RepairClient.retryAfterSeconds(in: lines, wallNanos: received),
                usedWeight: used)
        }
        if request.isInquiry { return .events(.trades([]), receivedTime: received, usedWeight: used) }
        // The scanner reads past the end.
        return withUnsafeTemporaryAllocation(byteCount: response.body_size + 64, alignment: 8) { room in
            if let body = response.body {
                room.copyMemory(from: .init(start: body, count: response.body_size))
            }
            let text = UnsafeRawBufferPointer(rebasing: room[..<response.body_size])
            do throws(BackfillError) {
                return .events(
                    try place.backfill.read(text, of: request.range, receivedTime: received),
                    receivedTime: received, usedWeight: used)
            } catch {
                return .unreadable(error.description, usedWeight: used)
            }
        }
    }

    /// The number that a header of the last answer holds.
    static func number(in lines: String, header: String) -> Int? {
        value(in: lines, header: header).flatMap { Int($0.filter { $0 != " " && $0 != "\t" }) }
    }

    /// What the last answer's `Retry-After` asks for, a date as well, in whole seconds and not less than it says.
    static func retryAfterSeconds(in lines: String, wallNanos: Int64) -> Int? {
        value(in: lines, header: "retry-after")
            .flatMap { RetryAfter.nanos($0, wallNanos: wallNanos) }
            .map { Int(($0 + 999_999_999) / 1_000_000_000) }
    }

    private static func value(in lines: String, header: String) -> Substring? {
        lines.split(whereSeparator: \.isNewline).last { line in
            line.firstIndex(of: ":").map { line[..<$0].lowercased() == header } ?? false
        }.flatMap { line in line.firstIndex(of: ":").map { line[line.index(after: $0)...] } }
    }
}
