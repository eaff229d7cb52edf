import Glibc
import MarketData

/// Writes the synthesised market's frames: the exchange's key order, eight fraction digits.
final class SyntheticFrames {
    let streamNames: [[UInt8]]
    let symbolNames: [String]
    /// Texts that never change: what stands before the event time for each stream, and each symbol's name.
    private let texts: UnsafeMutablePointer<UInt8>
    private let heads: UnsafeMutablePointer<UnsafeRawBufferPointer>
    private let names: UnsafeMutablePointer<UnsafeRawBufferPointer>
    /// Where the payload begins in each stream's frames.
    private let payloadStarts: UnsafeMutablePointer<Int32>
    let market: Market
    private let scratch: UnsafeMutablePointer<UInt8>
    private let intervals = KlineInterval.all
    private let intervalNames: UnsafeMutablePointer<UnsafeRawBufferPointer>

    init(symbols: [MarketSymbol], market: Market) {
        self.market = market
        symbolNames = symbols.map(\.name)
        var memory: [UInt8] = []
        var headRanges: [Range<Int>] = []
        var nameRanges: [Range<Int>] = []
        var starts: [Int32] = []
        var streams: [[UInt8]] = []
        func add(_ text: [UInt8]) -> Range<Int> {
            memory += text
            return (memory.count - text.count)..<memory.count
        }
        for symbol in symbols {
            let lower = StreamNaming.lowercasedASCII(Array(symbol.name.utf8))
            nameRanges.append(add(Array(symbol.name.utf8)))
            for slot in 0..<StreamKind.slotCount {
                let kind = StreamKind(rawValue: slot) ?? .kline
                let interval = kind == .kline ? slot - StreamKind.kline.rawValue : nil
                let suffix = interval.map { "kline_" + KlineInterval.all[$0].name } ?? kind.suffix
                // A stream that the market does not have keeps its place, without a name. Futures have no bars of 1s.
                let exists = kind.exists(in: market) && (market == .spot || interval != 0)
                let stream = exists ? lower + Array("@\(suffix)".utf8) : []
                let opening = Array("{\"stream\":\"".utf8) + stream + Array("\",\"data\":".utf8)
                starts.append(Int32(opening.count))
                headRanges.append(add(opening + Array(SyntheticFrames.beginning(kind, market).utf8)))
                streams.append(stream)
            }
        }
        let intervalRanges = KlineInterval.all.map { add(Array($0.name.utf8)) }
        streamNames = streams
        texts = .allocate(capacity: max(1, memory.count))
        texts.initialize(from: memory, count: memory.count)
        heads = SyntheticFrames.pointers(headRanges, texts)
        names = SyntheticFrames.pointers(nameRanges, texts)
        intervalNames = SyntheticFrames.pointers(intervalRanges, texts)
        payloadStarts = .allocate(capacity: max(1, starts.count))
        payloadStarts.initialize(from: starts, count: starts.count)
        scratch = .allocate(capacity: FrameWriter.capacity)
    }

    deinit {
        texts.deallocate()
        heads.deallocate()
        names.deallocate()
        intervalNames.deallocate()
        payloadStarts.deallocate()
        scratch.deallocate()
    }

    private static func pointers(
        _ ranges: [Range<Int>], _ texts: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UnsafeRawBufferPointer> {
        let out = UnsafeMutablePointer<UnsafeRawBufferPointer>.allocate(capacity: max(1, ranges.count))
        for (index, range) in ranges.enumerated() {
            (out + index).initialize(
                to: UnsafeRawBufferPointer(start: texts + range.lowerBound, count: range.count))
        }
        return out
    }

    /// How a payload begins, up to its first changing value.
    private static func beginning(_ kind: StreamKind, _ market: Market) -> String {
        switch kind {
        case .trade: #"{"e":"trade","E":"#
        case .aggTrade: #"{"e":"aggTrade","E":"#
        case .ticker: #"{"e":"24hrTicker","E":"#
        case .miniTicker: #"{"e":"24hrMiniTicker","E":"#
        case .avgPrice: #"{"e":"avgPrice","E":"#
        case .kline: #"{"e":"kline","E":"#
        case .bookTicker: market == .spot ? #"{"u":"# : #"{"e":"bookTicker","u":"#
        case .markPrice, .markPrice1s: #"{"e":"markPriceUpdate","E":"#
        }
    }

    /// Writes the event's frame. `now`: ms since the epoch; `micros`: the same in µs where times are told so, else 0.
    func write(
        _ event: MarketEvent, _ state: SymbolState, _ now: Int64, micros: Int64 = 0, _ frame: inout FeedFrame
    ) {
        let stream = event.symbol &* StreamKind.slotCount &+ event.kind.rawValue &+ event.interval
        // Spot pads decimals to eight fraction digits, futures tell those of the tick.
        var writer = FrameWriter(at: scratch, fractionDigits: market == .spot ? 8 : nil, micros: micros)
        writer.put(heads[stream])
        let name = names[event.symbol]
        let isSpot = market == .spot
        switch event.kind {
        case .trade where !isSpot: writeFuturesTrade(&writer, event, state, now, name)
        case .aggTrade where !isSpot: writeFuturesAggregate(&writer, event, state, now, name)
        case .ticker where !isSpot: writeFuturesTicker(&writer, state, now, name)
        case .miniTicker where !isSpot: writeFuturesMiniTicker(&writer, state, now, name)
        case .bookTicker where !isSpot: writeFuturesBook(&writer, state, now, name)
        case .markPrice, .markPrice1s: writeMarkPrice(&writer, state, now, name)
        case .trade: writeTrade(&writer, event, state, now, name)
        case .aggTrade: writeAggregate(&writer, event, state, now, name)
        case .kline: writeKline(&writer, event, state, now, name)
        case .ticker: writeTicker(&writer, state, now, name)
        case .miniTicker: writeMiniTicker(&writer, state, now, name)
        case .bookTicker: writeBook(&writer, state, name)
        case .avgPrice: writeAverage(&writer, event, state, now, name)
        }
        let payloadEnd = writer.at - scratch
        writer.put("}")
        frame.stream = stream
        frame.combined = UnsafeRawBufferPointer(start: scratch, count: payloadEnd &+ 1)
        frame.payload = Int(payloadStarts[stream])..<payloadEnd
    }

    private func writeTrade(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"t\":")
        writer.put(event.id)
        writer.put(",\"p\":\"")
        writer.put(event.price, digits: state.priceDigits)
        writer.put("\",\"q\":\"")
        writer.put(event.quantity, digits: state.quantityDigits)
        writer.put("\",\"T\":")
        writer.put(now: now)
        if event.isBuyerMaker {
            writer.put(",\"m\":true,\"M\":true}")
        } else {
            writer.put(",\"m\":false,\"M\":true}")
        }
    }

    private func writeAggregate(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"a\":")
        writer.put(event.id)
        writer.put(",\"p\":\"")
        writer.put(event.price, digits: state.priceDigits)
        writer.put("\",\"q\":\"")
        writer.put(event.quantity, digits: state.quantityDigits)
        writer.put("\",\"f\":")
        writer.put(event.firstID)
        writer.put(",\"l\":")
        writer.put(event.lastID)
        writer.put(",\"T\":")
        writer.put(now: now)
        if event.isBuyerMaker {
            writer.put(",\"m\":true,\"M\":true}")
        } else {
            writer.put(",\"m\":false,\"M\":true}")
        }
    }

    private func writeKline(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        let bar = event.bar
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"k\":{\"t\":")
        writer.put(millis: event.open)
        writer.put(",\"T\":")
        writer.put(millis: intervals[event.interval].next(event.open) - 1)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"i\":\"")
        writer.put(intervalNames[event.interval])
        writer.put("\",\"f\":")
        writer.put(bar.firstID)
        writer.put(",\"L\":")
        writer.put(bar.lastID)
        writer.put(",\"o\":\"")
        writer.put(bar.open, digits: state.priceDigits)
        writer.put("\",\"c\":\"")
        writer.put(bar.close, digits: state.priceDigits)
        writer.put("\",\"h\":\"")
        writer.put(bar.high, digits: state.priceDigits)
        writer.put("\",\"l\":\"")
        writer.put(bar.low, digits: state.priceDigits)
        writer.put("\",\"v\":\"")
        writer.put(bar.quantity, digits: state.quantityDigits)
        writer.put("\",\"n\":")
        writer.put(bar.count)
        if event.isClosed {
            writer.put(",\"x\":true,\"q\":\"")
        } else {
            writer.put(",\"x\":false,\"q\":\"")
        }
        put(&writer, quote: bar.quote, of: bar, state)
        writer.put("\",\"V\":\"")
        writer.put(bar.takerBuyQuantity, digits: state.quantityDigits)
        writer.put("\",\"Q\":\"")
        put(&writer, quote: bar.takerBuyQuote, of: bar, state)
        writer.put("\",\"B\":\"0\"}}")
    }

    private func writeTicker(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        let day = state.day
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"p\":\"")
        let change = day.close >= day.open ? day.close &- day.open : day.open &- day.close
        if day.close < day.open { writer.put("-") }
        writer.put(change, digits: state.priceDigits)
        writer.put("\",\"P\":\"")
        if day.close < day.open { writer.put("-") }
        // Three fraction digits, rounded half up.
        let thousandths = (UInt128(change) &* 200_000 &+ UInt128(day.open)) / (2 &* UInt128(day.open))
        writer.putThousandths(UInt64(truncatingIfNeeded: thousandths))
        writer.put("\",\"w\":\"")
        writer.put(average(day, state), digits: 8)
        writer.put("\",\"x\":\"")
        writer.put(state.priceBeforeWindow, digits: state.priceDigits)
        writer.put("\",\"c\":\"")
        writer.put(day.close, digits: state.priceDigits)
        writer.put("\",\"Q\":\"")
        writer.put(state.lastQuantity, digits: state.quantityDigits)
        writer.put("\",\"b\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"B\":\"")
        writer.put(state.bidQuantity, digits: state.quantityDigits)
        writer.put("\",\"a\":\"")
        writer.put(state.bid &+ 1, digits: state.priceDigits)
        writer.put("\",\"A\":\"")
        writer.put(state.askQuantity, digits: state.quantityDigits)
        writer.put("\",\"o\":\"")
        writer.put(day.open, digits: state.priceDigits)
        writer.put("\",\"h\":\"")
        writer.put(day.high, digits: state.priceDigits)
        writer.put("\",\"l\":\"")
        writer.put(day.low, digits: state.priceDigits)
        writer.put("\",\"v\":\"")
        writer.put(day.quantity, digits: state.quantityDigits)
        writer.put("\",\"q\":\"")
        writer.put(day.quote, digits: state.priceDigits &+ state.quantityDigits)
        writer.put("\",\"O\":")
        writer.put(millis: state.windowStart(now))
        writer.put(",\"C\":")
        writer.put(now: now)
        writer.put(",\"F\":")
        writer.put(day.firstID)
        writer.put(",\"L\":")
        writer.put(day.lastID)
        writer.put(",\"n\":")
        writer.put(day.count)
        writer.put("}")
    }

    private func writeMiniTicker(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        let day = state.day
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"c\":\"")
        writer.put(day.close, digits: state.priceDigits)
        writer.put("\",\"o\":\"")
        writer.put(day.open, digits: state.priceDigits)
        writer.put("\",\"h\":\"")
        writer.put(day.high, digits: state.priceDigits)
        writer.put("\",\"l\":\"")
        writer.put(day.low, digits: state.priceDigits)
        writer.put("\",\"v\":\"")
        writer.put(day.quantity, digits: state.quantityDigits)
        writer.put("\",\"q\":\"")
        writer.put(day.quote, digits: state.priceDigits &+ state.quantityDigits)
        writer.put("\"}")
    }

    private func writeBook(_ writer: inout FrameWriter, _ state: SymbolState, _ name: UnsafeRawBufferPointer)
    {
        writer.put(state.bookID)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"b\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"B\":\"")
        writer.put(state.bidQuantity, digits: state.quantityDigits)
        writer.put("\",\"a\":\"")
        writer.put(state.bid &+ 1, digits: state.priceDigits)
        writer.put("\",\"A\":\"")
        writer.put(state.askQuantity, digits: state.quantityDigits)
        writer.put("\"}")
    }

    private func writeAverage(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        writer.put(now: now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"i\":\"5m\",\"w\":\"")
        writer.put(average(event.bar, state), digits: 8)
        writer.put("\",\"T\":")
        writer.put(millis: state.lastTradeTime)
        writer.put("}")
    }

    /// Quote over base, in 10^-8, rounded half up.
    func average(_ sums: TradeSums, _ state: SymbolState) -> UInt64 {
        guard sums.quantity > 0 else { return sums.close &* PowerOfTen.value(8 &- state.priceDigits) }
        let scaled = sums.quote &* UInt128(PowerOfTen.value(8 &- state.priceDigits))
        return UInt64(truncatingIfNeeded: (scaled &+ UInt128(sums.quantity / 2)) / UInt128(sums.quantity))
    }
}
