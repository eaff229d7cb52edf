import ExchangeAdapter
import Wire

extension BinanceAdapter {
    /// Deals the streams out over as few connections as ``BinanceLimits/streamsPerConnection`` allows, one after the
    /// other, so that neighbours in a list (mostly the busiest symbols come first) do not share one. All connections
    /// are opened in combined mode, without streams, and subscribe then: the length of a URL is limited, and unknown.
    public func connections(
        for streams: [StreamPlan], endpoint: Endpoint, market: Int, tls: Int, firstSlot: Int
    ) -> [ConnectionPlan] {
        let limit = BinanceLimits.streamsPerConnection
        let count = (streams.count + limit - 1) / limit
        return (0..<count).map { index in
            let names = stride(from: index, to: streams.count, by: count).map { streams[$0].name }
            return ConnectionPlan(
                slot: firstSlot + index, market: market, endpoint: endpoint,
                target: timeUnit == .microseconds ? "/stream?timeUnit=MICROSECOND" : "/stream",
                tls: tls, controlFrames: SubscribeRequests.frames(for: names), streamCount: names.count,
                limits: limits)
        }
    }
}

/// `{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}`; the same on all of Binance's markets.
struct BinanceRequests: ControlLanguage {
    func subscribe(_ names: [String], id: Int64) -> [UInt8] { request("SUBSCRIBE", names, id) }
    func unsubscribe(_ names: [String], id: Int64) -> [UInt8] { request("UNSUBSCRIBE", names, id) }
    func list(id: Int64) -> [UInt8]? { Array("{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":\(id)}".utf8) }

    private func request(_ method: String, _ names: [String], _ id: Int64) -> [UInt8] {
        Array("{\"method\":\"\(method)\",\"params\":[".utf8)
            + names.map(SubscribeRequests.quoted).joined(separator: [UInt8(ascii: ",")])
            + Array("],\"id\":\(id)}".utf8)
    }
}

/// `{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}`
enum SubscribeRequests {
    /// Requests for all `names`, within ``BinanceLimits``; ids from 1.
    static func frames(for names: [String]) -> [ControlFrame] {
        var frames: [ControlFrame] = []
        var open: [UInt8] = []
        var count = 0
        let head = Array("{\"method\":\"SUBSCRIBE\",\"params\":[".utf8)
        // The longest id that 64 bits hold, so that its length never matters.
        let tailBytes = "],\"id\":}".utf8.count + 19
        func close() {
            let id = Int64(frames.count + 1)
            frames.append(ControlFrame(id: id, payload: head + open + Array("],\"id\":\(id)}".utf8)))
            open.removeAll(keepingCapacity: true)
            count = 0
        }
        for name in names {
            let text = quoted(name)
            let bytes = head.count + open.count + 1 + text.count + tailBytes
            if count == BinanceLimits.namesPerRequest || (count > 0 && bytes > BinanceLimits.requestBytes) {
                close()
            }
            if count > 0 { open.append(UInt8(ascii: ",")) }
            open += text
            count += 1
        }
        if count > 0 { close() }
        return frames
    }

    /// A JSON string.
    static func quoted(_ text: String) -> [UInt8] {
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
