/// The numbers that a close frame may carry (RFC 6455, 7.4, and IANA's WebSocket Close Code Number Registry).
enum CloseCode {
    static let normal: UInt16 = 1000
    static let protocolError: UInt16 = 1002
    static let invalidPayload: UInt16 = 1007
    static let tooLarge: UInt16 = 1009

    /// Whether a peer may send it. 1004 has no meaning yet; 1005, 1006 and 1015 are never sent.
    static func isSendable(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
