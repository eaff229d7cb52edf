import CCurl

/// How a request ended, as far as the scheduler must know.
struct RequestOutcome: Equatable {
    var code: PublishCode
    /// The connection is broken, or suspected to be.
    var isLinkFault = false
    /// The token that was refused is not the one that would be sent now.
    var isStaleToken = false
    /// HTTP 200 came without grpc-status.
    var lacksStatus = false
    /// The other side's or libcurl's words; empty on success.
    var text = ""
    /// The wait that the service asks for, ns.
    var retryDelay: Int64 = 0

    init(_ code: PublishCode, isLinkFault: Bool = false, text: String = "", retryDelay: Int64 = 0) {
        self.code = code
        self.isLinkFault = isLinkFault
        self.text = text
        self.retryDelay = retryDelay
    }

    /// What libcurl knows, judged by the rules of gRPC over HTTP/2
    /// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). `messages`: how many were sent; nil for
    /// requests other than Publish. `acceptsWhole`: false only in the test that shows what that is for.
    init(_ result: cc_result, messages: Int?, acceptsWhole: Bool = true) {
        guard result.curl_code == 0 else {
            self.init(curl: result)
            return
        }
        // An answer over HTTP/1.1 comes from something that has not understood the request, and so has not stored it.
        guard result.http_version == 2 else {
            self.init(
                .unavailable, isLinkFault: true,
                text:
                    "the answer came over HTTP/1 (status \(result.http_status)); the endpoint speaks no HTTP/2"
            )
            return
        }
        if result.grpc_status >= 0 {
            let code = PublishCode(rawValue: UInt8(truncatingIfNeeded: result.grpc_status)) ?? .unknown
            guard code != .ok else {
                self.init(.ok)
                return
            }
            let delay = PubSubAnswer.retryDelay(details: String(cString: result.status_details)) ?? 0
            self.init(code, text: String(cString: result.grpc_message), retryDelay: delay)
            return
        }
        guard result.http_status == 200 else {
            self.init(
                RequestOutcome.code(http: Int(result.http_status)), text: "HTTP status \(result.http_status)")
            return
        }
        // libcurl 7.88.1 loses the last stream's trailers on a GOAWAY. A unary server sends a message only on OK, so
        // a whole answer with an id for each message is as good as the status.
        let answer = UnsafeRawBufferPointer(start: result.response, count: result.response_size)
        let isWhole =
            messages.map { PubSubAnswer.messageIDs(answer) == $0 } ?? (PubSubAnswer.messageIDs(answer) != nil)
        self.init(
            isWhole && acceptsWhole ? .ok : .unknown,
            text: isWhole && acceptsWhole ? "" : "the answer has no grpc-status")
        lacksStatus = true
    }

    private init(curl result: cc_result) {
        let own = String(cString: result.error)
        let text = own.isEmpty ? String(cString: cc_code_text(result.curl_code)) : own
        switch result.curl_code {
        case cc_code_timeout:
            // The stream alone was reset; but a connection that is dead shows itself in no other way.
            self.init(.deadlineExceeded, isLinkFault: true, text: text)
        case cc_code_stream:
            self.init(.unknown, text: text)
        case 60, 77:
            // CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE
            self.init(
                .unavailable, isLinkFault: true,
                text: "\(text) (SSL_CERT_FILE names the PEM file of the authorities to trust)")
        default:
            self.init(.unavailable, isLinkFault: true, text: text)
        }
    }

    /// gRPC's code for an answer that has none (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
    static func code(http status: Int) -> PublishCode {
        switch status {
        case 400: .internal
        case 401: .unauthenticated
        case 403: .permissionDenied
        case 404: .unimplemented
        case 429, 502, 503, 504: .unavailable
        default: .unknown
        }
    }
}
