import Wire

/// `{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}`; the same on all of Binance's markets.
struct BinanceRequests: ControlLanguage {
    func subscribe(_ names: [String], id: Int64) -> [UInt8] { request("SUBSCRIBE", names, id) }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] { request("UNSUBSCRIBE", names, id) }
    func list(id: Int64) -> [UInt8]? { Array("{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":\(id)}".utf8) }

    private func request(_ method: String, _ names: [String], _ id: Int64) -> [UInt8] {
        Array("{\"method\":\"\(method)\",\"params\":[".utf8)
            + names.map(quoted).joined(separator: [UInt8(ascii: ",")])
            + Array("],\"id\":\(id)}".utf8)
    }

    /// A JSON string.
    private func quoted(_ text: String) -> [UInt8] {
        var bytes = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case ..<0x20:
                bytes += Array((byte < 0x10 ? "\\u000" : "\\u00").utf8) + Array(String(byte, radix: 16).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return bytes
    }
}
