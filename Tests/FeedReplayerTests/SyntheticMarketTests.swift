import Testing

@testable import feed_replayer

/// A trade as a client sees it; decimals in units of 10^-8.
private struct SeenTrade {
    var id: Int64
    var price: UInt128
    var quantity: UInt128
    var time: Int64
    var isBuyerMaker: Bool
}

/// What trades add up to, by simple arithmetic on what was sent.
private struct Totals: Equatable {
    var firstID: Int64 = -1
    var lastID: Int64 = -1
    var count: Int64 = 0
    var open: UInt128 = 0
    var high: UInt128 = 0
    var low: UInt128 = 0
    var close: UInt128 = 0
    var volume: UInt128 = 0
    var quote: UInt128 = 0
    var takerVolume: UInt128 = 0
    var takerQuote: UInt128 = 0

    init() {}

    /// No trade after one at `price`.
    init(price: UInt128) {
        open = price
        high = price
        low = price
        close = price
    }

    init(_ trades: [SeenTrade]) {
        guard let first = trades.first, let last = trades.last else { return }
        firstID = first.id
        lastID = last.id
        count = Int64(trades.count)
        open = first.price
        close = last.price
        high = trades.reduce(0) { max($0, $1.price) }
        low = trades.reduce(.max) { min($0, $1.price) }
        let bought = trades.filter { !$0.isBuyerMaker }
        volume = trades.reduce(0) { $0 + $1.quantity }
        takerVolume = bought.reduce(0) { $0 + $1.quantity }
        quote = trades.reduce(0) { $0 + $1.price * $1.quantity }
        takerQuote = bought.reduce(0) { $0 + $1.price * $1.quantity }
    }
}

@Suite struct SyntheticMarketTests {
    private func market(
        symbols: Int = 3, mix: String, seed: UInt64 = 1, epoch: Int64 = 1_790_000_000_000, step: Double,
        nonASCII: Bool = false
    ) throws -> SyntheticMarket {
        SyntheticMarket(
            symbols: MarketSymbol.list(count: symbols, nonASCII: nonASCII),
            mix: try #require(MarketMix(argument: mix)), seed: seed, clock: .virtual(epoch: epoch, step: step)
        )
    }

    private func texts(_ market: consuming SyntheticMarket, _ count: Int) -> [String] {
        var market = market
        return frames(&market, limit: count).map(\.combined)
    }

    private let fullMix = "trade=50,kline=20,ticker=10,aggTrade=10,bookTicker=5,miniTicker=4,avgPrice=1"

    @Test func sameSeedSameBytes() throws {
        let first = texts(try market(mix: fullMix, step: 1e6), 3000)
        #expect(texts(try market(mix: fullMix, step: 1e6), 3000) == first)
        #expect(texts(try market(mix: fullMix, seed: 2, step: 1e6), 3000) != first)
    }

    /// Everything that is said about trades is true of the trades that were sent, digit by digit; at steps that cross
    /// seconds, minutes and days.
    @Test(arguments: [200_000.0, 40_000_000, 900_000_000, 45_000_000_000])
    func barsAndWindowsAgreeWithTheTrades(_ step: Double) throws {
        var market = try market(mix: fullMix, step: step)
        var trades: [String: [SeenTrade]] = [:]
        var nextOpen: [String: Int64] = [:]
        var nextAggregate: [String: (id: Int64, first: Int64)] = [:]
        var lastBook: [String: Int64] = [:]
        var checked: [String: Int] = [:]
        // Bars shorter than a step would close more often than time goes on.
        let short = KlineInterval.all.filter { Double($0.length ?? .max) * 1e6 < 40 * step }.map {
            "_" + $0.name
        }
        for frame in frames(&market, limit: 12_000, of: { name in !short.contains { name.hasSuffix($0) } }) {
            let event = try Event(frame.payload)
            let symbol = try event.text("s")
            #expect(frame.combined == "{\"stream\":\"\(frame.stream)\",\"data\":\(frame.payload)}")
            let known = trades[symbol, default: []]
            let kind = (try? event.text("e")) ?? "bookTicker"
            checked[kind, default: 0] += 1
            switch kind {
            case "trade":
                let trade = SeenTrade(
                    id: try event.integer("t"), price: try event.decimal("p"),
                    quantity: try event.decimal("q"),
                    time: try event.integer("T"), isBuyerMaker: try event.flag("m"))
                if let last = known.last { #expect(trade.id == last.id + 1 && trade.time >= last.time) }
                trades[symbol, default: []].append(trade)
            case "aggTrade":
                let first = try event.integer("f")
                let parts = known.filter { $0.id >= first }
                if let expected = nextAggregate[symbol] {
                    #expect(try event.integer("a") == expected.id && first == expected.first)
                }
                nextAggregate[symbol] = (try event.integer("a") + 1, try event.integer("l") + 1)
                #expect(try parts.last?.id == event.integer("l"))
                #expect(try Totals(parts).volume == event.decimal("q"))
                #expect(
                    try parts.allSatisfy {
                        try $0.price == event.decimal("p") && $0.isBuyerMaker == event.flag("m")
                    })
            case "kline": try checkBar(event.object("k"), known, &nextOpen, symbol)
            case "24hrTicker": try checkTicker(event, known)
            case "24hrMiniTicker":
                #expect(try event.decimal("c") == known.last?.price)
            case "avgPrice":
                #expect(try event.integer("T") == known.last?.time)
            default:
                let id = try event.integer("u")
                #expect(id > lastBook[symbol, default: 0])
                lastBook[symbol] = id
                #expect(try event.decimal("b") < event.decimal("a"))
            }
        }
        #expect(checked.count == 7)
        #expect(checked.values.allSatisfy { $0 > 20 }, "\(checked)")
    }

    private func checkBar(
        _ bar: Event, _ trades: [SeenTrade], _ nextOpen: inout [String: Int64], _ symbol: String
    ) throws {
        let interval = try bar.text("i")
        let open = try bar.integer("t")
        let close = try bar.integer("T")
        let rule = try #require(KlineInterval.all.first { $0.name == interval })
        #expect(rule.open(open) == open && rule.next(open) == close + 1)
        if let expected = nextOpen[symbol + interval] { #expect(open == expected, "\(interval)") }
        if try bar.flag("x") { nextOpen[symbol + interval] = close + 1 }
        let inside = trades.suffix(while: { $0.time >= open }).filter { $0.time <= close }
        var totals = Totals(inside)
        if inside.isEmpty {
            totals = Totals(price: try bar.decimal("o"))
            if let last = trades.last(where: { $0.time < open }) { #expect(totals.open == last.price) }
        }
        #expect(try bar.decimal("V") == totals.takerVolume)
        #expect(try bar.wide("Q") == totals.takerQuote)
        totals.takerVolume = 0
        totals.takerQuote = 0
        #expect(try bar.totals(first: "f", last: "L") == totals, "\(interval) of \(symbol)")
    }

    private func checkTicker(_ event: Event, _ trades: [SeenTrade]) throws {
        let first = try event.integer("F")
        let inside = first < 0 ? [] : trades.filter { $0.id >= first }
        var totals = Totals(inside)
        totals.takerVolume = 0
        totals.takerQuote = 0
        if inside.isEmpty { totals = Totals(price: try event.decimal("c")) }
        #expect(try event.totals(first: "F", last: "L") == totals)
        let opened = try event.integer("O")
        let closed = try event.integer("C")
        #expect((86_340_000...86_401_000).contains(closed - opened))
        #expect(inside.allSatisfy { $0.time >= opened })
        #expect(trades.dropLast(inside.count).allSatisfy { $0.time < opened })
        guard !inside.isEmpty else { return }
        #expect(try event.decimal("Q") == inside.last?.quantity)
        #expect(try event.decimal("w") == (totals.quote + totals.volume / 2) / totals.volume)
        let change = Int128(totals.close) - Int128(totals.open)
        #expect(try event.signed("p") == change)
        if let before = trades.last(where: { $0.id < first }) {
            #expect(try event.decimal("x") == before.price)
        }
    }

    /// The text with `#` for numbers and `?` for flags.
    private func shape(_ text: String) -> String {
        text.replacing(#/"-?[0-9.]+"/#, with: "\"#\"").replacing(#/:-?[0-9]+/#, with: ":#")
            .replacing(#/:(true|false)/#, with: ":?")
    }

    @Test func writesTheExchangesKeysInTheirOrder() throws {
        var market = try market(symbols: 2, mix: fullMix, step: 1e6, nonASCII: true)
        var shapes: [String: String] = [:]
        for frame in frames(&market, limit: 4000) {
            shapes[frame.stream] = shape(frame.payload)
        }
        let symbol = "币安人生USDT"
        #expect(
            shapes["币安人生usdt@trade"]
                == ##"{"e":"trade","E":#,"s":"\##(symbol)","t":#,"p":"#","q":"#","T":#,"m":?,"M":?}"##)
        #expect(
            shapes["btcusdt@aggTrade"]
                == ##"{"e":"aggTrade","E":#,"s":"BTCUSDT","a":#,"p":"#","q":"#","f":#,"l":#,"T":#,"m":?,"M":?}"##
        )
        #expect(
            shapes["btcusdt@kline_1m"]
                == ##"{"e":"kline","E":#,"s":"BTCUSDT","k":{"t":#,"T":#,"s":"BTCUSDT","i":"1m","f":#,"L":#,"o":"#","c":"#","h":"#","l":"#","v":"#","n":#,"x":?,"q":"#","V":"#","Q":"#","B":"#"}}"##
        )
        #expect(
            shapes["btcusdt@ticker"]
                == ##"{"e":"24hrTicker","E":#,"s":"BTCUSDT","p":"#","P":"#","w":"#","x":"#","c":"#","Q":"#","b":"#","B":"#","a":"#","A":"#","o":"#","h":"#","l":"#","v":"#","q":"#","O":#,"C":#,"F":#,"L":#,"n":#}"##
        )
        #expect(
            shapes["btcusdt@miniTicker"]
                == ##"{"e":"24hrMiniTicker","E":#,"s":"BTCUSDT","c":"#","o":"#","h":"#","l":"#","v":"#","q":"#"}"##
        )
        #expect(
            shapes["btcusdt@bookTicker"] == ##"{"u":#,"s":"BTCUSDT","b":"#","B":"#","a":"#","A":"#"}"##)
        #expect(
            shapes["btcusdt@avgPrice"] == ##"{"e":"avgPrice","E":#,"s":"BTCUSDT","i":"5m","w":"#","T":#}"##)
    }

    @Test func sendsOnlyWhatIsSubscribedAndMovesOnWithoutListeners() throws {
        var market = try market(mix: "trade=1", step: 1e6)
        var frame = FeedFrame()
        for _ in 0..<1000 {
            let step = market.next(&frame, now: 0)
            #expect(step == .idle)
        }
        let stream = try #require(market.streamNames.firstIndex(of: Array("ethusdt@trade".utf8)))
        market.setSubscribed(stream: stream, true)
        for _ in 0..<100 {
            let step = market.next(&frame, now: 0)
            #expect(step == .frame)
            #expect(frame.stream == stream)
        }
        let text = String(decoding: frame.combined, as: UTF8.self)
        let id = try Event(text).object("data").integer("t")
        // A third of a thousand steps happened before, and they took ids.
        #expect(id > 2_000_000 + 350)
        market.setSubscribed(stream: stream, false)
        let step = market.next(&frame, now: 0)
        #expect(step == .idle)
    }

    @Test func listsAsManySymbolsAsAskedFor() {
        let list = MarketSymbol.list(count: 120, nonASCII: false)
        #expect(list.count == 120)
        #expect(Set(list.map(\.name)).count == 120)
        #expect(list[119].name == "S0120USDT")
        #expect(list.allSatisfy { $0.priceDigits + $0.quantityDigits <= 8 && $0.firstPrice > 100 })
        #expect(MarketSymbol.list(count: 2, nonASCII: true).map(\.name) == ["BTCUSDT", "币安人生USDT"])
    }

    @Test(arguments: ["", "trade", "trade=0", "trade=-1", "depth=3", "trade=1;kline=2"])
    func refusesMixes(_ text: String) { #expect(MarketMix(argument: text) == nil) }

    @Test(arguments: [
        ("1M", 1_709_164_800_000, 1_706_745_600_000, 1_709_251_200_000),  // 29 February 2024
        ("1M", 1_735_689_599_999, 1_733_011_200_000, 1_735_689_600_000),  // the last ms of 2024
        ("1w", 1_790_000_000_000, 1_789_948_800_000, 1_790_553_600_000),  // Monday, 21 September 2026
        ("1m", 59_999, 0, 60_000), ("1s", 1_500, 1_000, 2_000),
    ])
    func barsBeginAndEndOnTheCalendar(_ name: String, _ time: Int64, _ open: Int64, _ next: Int64) throws {
        let interval = try #require(KlineInterval.all.first { $0.name == name })
        #expect(interval.open(time) == open)
        #expect(interval.next(open) == next)
    }
}

/// An event as JSON, with the decimals of the exchange.
struct Event {
    let value: JSONValue

    init(_ text: String) throws { value = try JSONReader.read(Array(text.utf8)) }

    private init(value: JSONValue) { self.value = value }

    func object(_ name: String) throws -> Event { Event(value: try #require(value[name])) }

    func text(_ name: String) throws -> String {
        guard case .string(let text)? = value[name] else { throw Missing(name: name) }
        return text
    }

    func integer(_ name: String) throws -> Int64 {
        guard case .number(let text)? = value[name], let number = Int64(text) else {
            throw Missing(name: name)
        }
        return number
    }

    func flag(_ name: String) throws -> Bool {
        guard case .bool(let flag)? = value[name] else { throw Missing(name: name) }
        return flag
    }

    /// Eight fraction digits, in units of the last.
    func decimal(_ name: String) throws -> UInt128 {
        let parts = try text(name).split(separator: ".")
        guard parts.count == 2, parts[1].count == 8, let number = UInt128(parts[0] + parts[1]) else {
            throw Missing(name: name)
        }
        return number
    }

    func signed(_ name: String) throws -> Int128 {
        let text = try text(name)
        guard let number = Int128(text.replacing(".", with: "")) else { throw Missing(name: name) }
        return number
    }

    /// A quote amount as a product of two decimals: sixteen fraction digits.
    func wide(_ name: String) throws -> UInt128 { try decimal(name) * 100_000_000 }

    fileprivate func totals(first: String, last: String) throws -> Totals {
        var totals = Totals()
        totals.firstID = try integer(first)
        totals.lastID = try integer(last)
        totals.count = try integer("n")
        totals.open = try decimal("o")
        totals.high = try decimal("h")
        totals.low = try decimal("l")
        totals.close = try decimal("c")
        totals.volume = try decimal("v")
        totals.quote = try wide("q")
        return totals
    }

    struct Missing: Error { var name: String }
}

extension Array {
    /// The longest tail in which all elements fulfil the condition.
    fileprivate func suffix(while condition: (Element) -> Bool) -> ArraySlice<Element> {
        self[(lastIndex { !condition($0) }.map { $0 + 1 } ?? 0)...]
    }
}
