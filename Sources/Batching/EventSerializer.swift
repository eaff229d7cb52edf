import MarketData

/// Turns event structs into the JSON of the message contract: no white space, keys in exactly this order, absent
/// fields left out.
enum EventSerializer {
    /// Room that an event's JSON may take behind its prefix, whatever is in it: fifteen decimals of 56 bytes with
    /// their keys in the largest (ticker) make 1,500; a dead letter has its frame in base64.
    static func bound(_ record: UnsafeRawBufferPointer) -> Int {
        guard record.load(as: EventKind.self) == .deadLetter else { return 2_048 }
        return 2_048 + (Int(record.load(as: DeadLetter.self).frameLength) + 2) / 3 * 4
    }

    /// What stands before the sequence's digits.
    static func prefix(kind: EventKind, exchange: String, symbol: String?) -> [UInt8] {
        var text = "{\"type\":\"\(kind.name)\",\"exchange\":\(JSONEscaping.quoted(exchange))"
        if let symbol { text += ",\"symbol\":\(JSONEscaping.quoted(symbol))" }
        return Array((text + ",\"sequence\":").utf8)
    }

    /// Writes what follows the sequence's digits, the closing brace included.
    @inline(__always)
    static func write(_ record: UnsafeRawBufferPointer, _ header: EventHeader, to json: inout JSONCursor) {
        json.time(",\"eventTime\":", header.eventTime)
        json.time(",\"receivedTime\":", header.receivedTime)
        switch header.kind {
        case .trade: trade(record.load(as: Trade.self), &json)
        case .aggTrade: aggTrade(record.load(as: AggTrade.self), &json)
        case .kline: kline(record.load(as: Kline.self), &json)
        case .ticker: ticker(record.load(as: Ticker.self), &json)
        case .miniTicker: miniTicker(record.load(as: MiniTicker.self), &json)
        case .bookTicker: bookTicker(record.load(as: BookTicker.self), &json)
        case .averagePrice: averagePrice(record.load(as: AveragePrice.self), &json)
        case .markPrice: markPrice(record.load(as: MarkPrice.self), &json)
        case .gap: gap(record.load(as: Gap.self), &json)
        case .deadLetter: deadLetter(record, &json)
        // No adapter makes these yet.
        case .depth: break
        }
        if header.isFromREST { json.literal(",\"source\":\"rest\"") }
        json.byte(UInt8(ascii: "}"))
    }

    @inline(__always) private static func side(_ side: Side, _ json: inout JSONCursor) {
        if side == .buy {
            json.literal(",\"aggressor\":\"buy\"")
        } else {
            json.literal(",\"aggressor\":\"sell\"")
        }
    }

    private static func trade(_ event: Trade, _ json: inout JSONCursor) {
        json.field(",\"tradeId\":", event.tradeID)
        json.field(",\"price\":\"", event.price)
        json.field(",\"quantity\":\"", event.quantity)
        json.time(",\"tradeTime\":", event.tradeTime)
        side(event.aggressor, &json)
        json.field(",\"execution\":\"", event.execution)
    }

    private static func aggTrade(_ event: AggTrade, _ json: inout JSONCursor) {
        json.field(",\"aggregateId\":", event.aggregateID)
        json.field(",\"price\":\"", event.price)
        json.field(",\"quantity\":\"", event.quantity)
        json.field(",\"firstTradeId\":", event.firstTradeID)
        json.field(",\"lastTradeId\":", event.lastTradeID)
        json.time(",\"tradeTime\":", event.tradeTime)
        side(event.aggressor, &json)
    }

    private static let intervals = IntervalText(Interval.names)
    private static let windows = IntervalText(TickerWindow.names)

    private static func kline(_ event: Kline, _ json: inout JSONCursor) {
        json.literal(",\"interval\":\"")
        intervals.write(event.header.variant, &json)
        json.byte(UInt8(ascii: "\""))
        json.field(",\"openTime\":", event.openTime)
        json.field(",\"closeTime\":", event.closeTime)
        json.field(",\"open\":\"", event.open)
        json.field(",\"high\":\"", event.high)
        json.field(",\"low\":\"", event.low)
        json.field(",\"close\":\"", event.close)
        json.field(",\"volume\":\"", event.volume)
        json.field(",\"quoteVolume\":\"", event.quoteVolume)
        json.field(",\"takerBuyVolume\":\"", event.takerBuyVolume)
        json.field(",\"takerBuyQuoteVolume\":\"", event.takerBuyQuoteVolume)
        json.field(",\"tradeCount\":", event.tradeCount)
        json.field(",\"firstTradeId\":", event.firstTradeID)
        json.field(",\"lastTradeId\":", event.lastTradeID)
        if event.isClosed {
            json.literal(",\"closed\":true")
        } else {
            json.literal(",\"closed\":false")
        }
    }

    private static func ticker(_ event: Ticker, _ json: inout JSONCursor) {
        json.literal(",\"window\":\"")
        windows.write(event.header.variant, &json)
        json.byte(UInt8(ascii: "\""))
        json.field(",\"openTime\":", event.openTime)
        json.field(",\"closeTime\":", event.closeTime)
        json.field(",\"open\":\"", event.open)
        json.field(",\"high\":\"", event.high)
        json.field(",\"low\":\"", event.low)
        json.field(",\"last\":\"", event.last)
        json.field(",\"lastQuantity\":\"", event.lastQuantity)
        json.field(",\"previousClose\":\"", event.previousClose)
        json.field(",\"change\":\"", event.change)
        json.field(",\"changePercent\":\"", event.changePercent)
        json.field(",\"weightedAverage\":\"", event.weightedAverage)
        json.field(",\"bid\":\"", event.bid)
        json.field(",\"bidQuantity\":\"", event.bidQuantity)
        json.field(",\"ask\":\"", event.ask)
        json.field(",\"askQuantity\":\"", event.askQuantity)
        json.field(",\"volume\":\"", event.volume)
        json.field(",\"quoteVolume\":\"", event.quoteVolume)
        json.field(",\"tradeCount\":", event.tradeCount)
        json.field(",\"firstTradeId\":", event.firstTradeID)
        json.field(",\"lastTradeId\":", event.lastTradeID)
    }

    private static func miniTicker(_ event: MiniTicker, _ json: inout JSONCursor) {
        json.field(",\"open\":\"", event.open)
        json.field(",\"high\":\"", event.high)
        json.field(",\"low\":\"", event.low)
        json.field(",\"last\":\"", event.last)
        json.field(",\"volume\":\"", event.volume)
        json.field(",\"quoteVolume\":\"", event.quoteVolume)
    }

    private static func bookTicker(_ event: BookTicker, _ json: inout JSONCursor) {
        json.field(",\"updateId\":", event.updateID)
        json.field(",\"bid\":\"", event.bid)
        json.field(",\"bidQuantity\":\"", event.bidQuantity)
        json.field(",\"ask\":\"", event.ask)
        json.field(",\"askQuantity\":\"", event.askQuantity)
    }

    private static func averagePrice(_ event: AveragePrice, _ json: inout JSONCursor) {
        if event.interval != 0 {
            json.literal(",\"interval\":\"")
            var letters = event.interval
            while letters != 0 {
                json.byte(UInt8(truncatingIfNeeded: letters))
                letters >>= 8
            }
            json.byte(UInt8(ascii: "\""))
        }
        json.field(",\"price\":\"", event.price)
        json.time(",\"tradeTime\":", event.tradeTime)
    }

    private static func markPrice(_ event: MarkPrice, _ json: inout JSONCursor) {
        json.field(",\"markPrice\":\"", event.markPrice)
        json.field(",\"indexPrice\":\"", event.indexPrice)
        json.field(",\"settlementPrice\":\"", event.settlementPrice)
        json.field(",\"fundingRate\":\"", event.fundingRate)
        json.field(",\"nextFundingTime\":", event.nextFundingTime)
        json.field(",\"averageMarkPrice\":\"", event.averageMarkPrice)
    }

    private static func gap(_ event: Gap, _ json: inout JSONCursor) {
        func word(_ text: String) {
            for byte in text.utf8 { json.byte(byte) }
        }
        json.literal(",\"of\":\"")
        word(EventKind(rawValue: event.header.variant)?.name ?? "unknown")
        if let interval = event.interval {
            json.literal("\",\"interval\":\"")
            intervals.write(interval, &json)
        }
        json.literal("\",\"firstMissing\":")
        json.integer(event.firstMissing)
        json.literal(",\"lastMissing\":")
        json.integer(event.lastMissing)
        json.literal(",\"state\":\"")
        word(event.state.name)
        json.literal("\",\"cause\":\"")
        word(event.cause.name)
        json.byte(UInt8(ascii: "\""))
    }

    private static func deadLetter(_ record: UnsafeRawBufferPointer, _ json: inout JSONCursor) {
        let event = record.load(as: DeadLetter.self)
        json.literal(",\"reason\":\"")
        for byte in event.reason.text.utf8 { json.byte(byte) }
        json.literal("\",\"offset\":")
        json.integer(UInt64(event.offset))
        json.literal(",\"frame\":\"")
        let begin = MemoryLayout<DeadLetter>.stride
        json.base64(UnsafeRawBufferPointer(rebasing: record[begin..<begin + Int(event.frameLength)]))
        json.byte(UInt8(ascii: "\""))
    }
}

/// Spellings of at most seven bytes, each in a word with its length on top: written without a String.
struct IntervalText: Sendable {
    private let words: [UInt64]

    init(_ names: [String]) {
        words = names.map { name in
            name.utf8.enumerated().reduce(UInt64(name.utf8.count) << 56) {
                $0 | UInt64($1.element) << (8 * $1.offset)
            }
        }
    }

    @inline(__always) func write(_ index: UInt8, _ json: inout JSONCursor) {
        let word = words[Int(index)]
        UnsafeMutableRawPointer(json.at).storeBytes(of: word, as: UInt64.self)
        json.at += Int(truncatingIfNeeded: word >> 56)
    }
}
