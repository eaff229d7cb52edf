import CCurl
import Foundation

/// One blocking request to a server that gives tokens or secrets. Certificates are verified, redirects not followed.
struct WebRequest {
    var method = "GET"
    var url: String
    /// Whole header lines.
    var headers: [String] = []
    var body: String?
    var timeoutMilliseconds: Int64 = 20_000
    /// Whether HTTPS_PROXY and NO_PROXY of the environment are obeyed.
    var usesProxy = true
    /// What the server is sent and may send back: left out of errors.
    var secrets: [String] = []

    private static let secretFields = ["assertion", "subject_token", "refresh_token", "client_secret"]

    /// A POST of form fields, in their order.
    static func form(_ url: String, _ fields: [(name: String, value: String)]) -> WebRequest {
        let body = fields.map { "\(encode($0.name))=\(encode($0.value))" }.joined(separator: "&")
        return WebRequest(
            method: "POST", url: url, headers: ["Content-Type: application/x-www-form-urlencoded"],
            body: body, secrets: fields.filter { secretFields.contains($0.name) }.map(\.value))
    }

    /// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
    static func encode(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return result
    }

    /// Sends it and waits. `server` names it in errors, whose end is `remedy` where there was no answer.
    func send(
        to server: String, remedy: String = "look at the network and at HTTPS_PROXY"
    ) throws(CredentialsError) -> WebAnswer {
        var response = cc_response()
        defer { cc_response_free(&response) }
        // libcurl alone would only know Debian's own bundle.
        let authorities = ProcessInfo.processInfo.environment["SSL_CERT_FILE"] ?? ""
        var lines = headers.map { strdup($0) }
        defer { for line in lines { free(line) } }
        let code = lines.withUnsafeMutableBufferPointer { lines in
            lines.withMemoryRebound(to: UnsafePointer<CChar>?.self) { lines in
                let bytes = body.map { Array($0.utf8) }
                return cc_fetch(
                    method, url, lines.baseAddress, Int32(lines.count), bytes, bytes?.count ?? 0,
                    timeoutMilliseconds, usesProxy ? 1 : 0, authorities.isEmpty ? nil : authorities,
                    &response)
            }
        }
        guard code == 0 else {
            let reason = withUnsafeBytes(of: response.error) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw CredentialsError(
                description: "\(server): \(reason); \(WebRequest.isCertificateFault(code) ?? remedy)",
                isTransient: WebRequest.isCertificateFault(code) == nil)
        }
        return WebAnswer(
            status: Int(response.status), headers: response.headers.map { String(cString: $0) } ?? "",
            body: response.body.map { Data(bytes: $0, count: response.body_size) } ?? Data(),
            secrets: secrets)
    }

    /// The remedy where a certificate was the cause (CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE).
    private static func isCertificateFault(_ code: Int32) -> String? {
        switch code {
        case 60: "trust the authority of that certificate: SSL_CERT_FILE names a PEM file"
        case 77: "SSL_CERT_FILE, or the package ca-certificates, holds no certificates"
        default: nil
        }
    }
}

/// What a server answered.
struct WebAnswer {
    var status: Int
    /// All header lines as they came.
    var headers: String
    var body: Data
    /// What the request held.
    var secrets: [String] = []

    /// The body as a JSON object; nil where it is something else.
    var object: [String: Any]? {
        try? JSONSerialization.jsonObject(with: body) as? [String: Any]
    }

    /// Google's libraries try again after these.
    var isTransient: Bool { [408, 429, 500, 502, 503, 504].contains(status) || isTransientWord }

    private var isTransientWord: Bool {
        ["internal_failure", "server_error", "temporarily_unavailable"].contains(errorWord ?? "")
    }

    /// The short name of the error: `invalid_grant` of OAuth, `PERMISSION_DENIED` of Google's services.
    var errorWord: String? {
        if let word = object?["error"] as? String { return word }
        return (object?["error"] as? [String: Any])?["status"] as? String
    }

    /// What the server says is wrong, for an error. Anything that could be a token, a key or an assertion is left out:
    /// servers repeat what they were sent.
    var reason: String {
        guard let object else { return body.isEmpty ? "no text" : "a text that is not JSON" }
        let inner = object["error"] as? [String: Any]
        let words = [errorWord, object["error_description"] as? String, inner?["message"] as? String]
        let plain = words.compactMap { $0 }.joined(separator: ": ")
        let text = WebAnswer.harmless(secrets.reduce(plain) { $0.replacingOccurrences(of: $1, with: "[…]") })
        return text.isEmpty ? "no reason given" : text
    }

    /// The text without control characters and words that no prose has, at most 300 characters long.
    static func harmless(_ text: String) -> String {
        let plain = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
        let words = plain.split(separator: " ").map { word in
            let isName = word.utf8.count <= 24 || isResource(word)
            return isName ? String(word) : "[…]"
        }
        return String(words.joined(separator: " ").prefix(300))
    }

    /// Whether a long word is a resource's name or a permission's: parts of at most 63 letters, digits and hyphens, most
    /// of them lower-case words, with slashes or dots between them.
    private static func isResource(_ word: Substring) -> Bool {
        let inner = word.trimmingCharacters(in: CharacterSet(charactersIn: "'\".,:;()[]"))
        guard inner.hasPrefix("projects/") || inner.hasPrefix("secretmanager.") || inner.hasPrefix("iam.")
        else { return false }
        return inner.split(whereSeparator: { "/.:@".contains($0) }).allSatisfy { $0.utf8.count <= 63 }
    }

    /// The server's clock, seconds since the epoch, from its Date header.
    var time: Int? {
        for line in headers.split(whereSeparator: \.isNewline) where line.lowercased().hasPrefix("date:") {
            return UTCTime.http(line.dropFirst(5))
        }
        return nil
    }

    /// How this machine's clock differs from the server's, as the end of an error; empty where it is less than a minute.
    /// Signed tokens are refused when the two clocks disagree.
    func clockFault(now: Int) -> String {
        guard let time, abs(now - time) >= 60 else { return "" }
        let direction = now > time ? "ahead of" : "behind"
        return "; this machine's clock is \(abs(now - time)) s \(direction) the server's: set it (NTP)"
    }
}

/// The addresses that credentials name.
enum WebAddress {
    /// Whether secrets may be sent there: over TLS, or to this machine itself.
    static func isSafe(_ text: String) -> Bool {
        guard let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty,
            parts.user == nil, parts.password == nil
        else { return false }
        if parts.scheme == "https" { return true }
        return parts.scheme == "http" && ["127.0.0.1", "localhost", "[::1]", "::1"].contains(host)
    }
}
