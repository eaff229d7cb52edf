/// Tells the stream of a frame that came without a wrapper from what its payload says.
enum StreamNaming {
    /// `e` of a payload with a symbol, and the stream's suffix.
    private static let suffixes = [
        "trade": "trade", "aggTrade": "aggTrade", "blockTrade": "blockTrade", "24hrTicker": "ticker",
        "24hrMiniTicker": "miniTicker", "1hTicker": "ticker_1h", "4hTicker": "ticker_4h",
        "1dTicker": "ticker_1d",
        "avgPrice": "avgPrice", "referencePrice": "referencePrice", "bookTicker": "bookTicker",
        "depthUpdate": "depth", "markPriceUpdate": "markPrice", "indexPriceUpdate": "indexPrice",
        "forceOrder": "forceOrder",
    ]

    /// The stream's name, nil where the payload is no market data.
    static func name(of payload: UnsafeRawBufferPointer) -> [UInt8]? {
        let scanner = FrameScanner(bytes: payload)
        let start = scanner.skipSpace(0)
        guard start < payload.count else { return nil }
        if payload[start] == UInt8(ascii: "[") {
            let first = scanner.skipSpace(start + 1)
            guard let event = scanner.text("e", of: first),
                let suffix = suffixes[String(decoding: event, as: UTF8.self)]
            else { return nil }
            return Array("!\(suffix)@arr".utf8)
        }
        if let event = scanner.text("e", of: start) { return single(scanner, start, event) }
        guard let symbol = scanner.text("s", of: start), scanner.member("u", of: start) != nil,
            scanner.member("b", of: start) != nil, scanner.member("B", of: start) != nil
        else { return nil }
        return lowercasedASCII(symbol) + Array("@bookTicker".utf8)
    }

    private static func single(_ scanner: FrameScanner, _ start: Int, _ event: [UInt8]) -> [UInt8]? {
        let kind = String(decoding: event, as: UTF8.self)
        // A liquidation keeps its symbol one level down; an index has a pair.
        let symbol =
            scanner.text("s", of: start)
            ?? scanner.member("o", of: start).flatMap { scanner.text("s", of: $0.lowerBound) }
            ?? scanner.text("i", of: start)
        guard let symbol else { return nil }
        if kind == "kline" {
            guard let bar = scanner.member("k", of: start),
                let interval = scanner.text("i", of: bar.lowerBound)
            else { return nil }
            return lowercasedASCII(symbol) + Array("@kline_".utf8) + interval
        }
        guard let suffix = suffixes[kind] else { return nil }
        return lowercasedASCII(symbol) + Array("@\(suffix)".utf8)
    }

    /// Lower case for ASCII letters only: other letters of a symbol stay as they are.
    static func lowercasedASCII(_ text: [UInt8]) -> [UInt8] {
        text.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    }
}
