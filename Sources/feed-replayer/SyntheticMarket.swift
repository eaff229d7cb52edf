import CKernel
import MarketData

/// Where a synthesised market's times come from.
enum MarketClock: Equatable {
    /// The machine's clock.
    case wall
    /// A clock of its own: begins at `epoch` (ms since the epoch) and goes on by `step` ns with each frame. The same
    /// seed, clock and subscriptions then give the same bytes.
    case virtual(epoch: Int64, step: Double)
}

/// A synthesised spot market: seeded random walks whose klines and tickers agree with the trades.
///
/// A step draws what happens (a trade, or the turn of a timed stream) and where. The market moves on whoever listens;
/// only what somebody subscribed to becomes a frame.
struct SyntheticMarket: ~Copyable, FeedSource {
    /// Steps without a listener before the caller gets its thread back.
    private static let stepsMax = 4096

    let streamNames: [[UInt8]]
    var frameCount: Int { 0 }

    let symbolCount: Int
    let symbols: UnsafeMutablePointer<SymbolState>
    /// Bars before the current second, for each symbol all intervals; the one of a second is not used.
    private let bars: UnsafeMutablePointer<TradeSums>
    private let intervals = KlineInterval.all
    private var histories: ContiguousArray<MinuteHistory>
    let frames: SyntheticFrames
    private let draws: ContiguousArray<UInt8>
    private let clock: MarketClock
    /// Whether frames tell their times in µs.
    private let tellsMicros: Bool
    private var random: SplitMix64
    var now: Int64
    private var emitted: Int64 = 0
    private var subscriptions = 0
    /// What the last step brought, sent one by one.
    private var pending = ContiguousArray<MarketEvent>()
    private var pendingHead = 0
    /// What is remembered for REST; empty: nothing.
    var restHistories = ContiguousArray<RestHistory>()
    var symbolNumbers: [String: Int] = [:]
    /// The part of trades that is not remembered, drawn apart from the market's own numbers.
    var restLack = 0.0
    var restRandom: SplitMix64

    init(
        symbols list: [MarketSymbol], mix: MarketMix, seed: UInt64, clock: MarketClock,
        market: Market = .spot,
        tellsMicros: Bool = false
    ) {
        self.tellsMicros = tellsMicros
        self.clock = clock
        random = SplitMix64(seed: seed)
        restRandom = SplitMix64(seed: seed ^ 0x4E57)
        switch clock {
        case .wall: now = ck_realtime_nanos() / 1_000_000
        case .virtual(let epoch, _): now = epoch
        }
        symbolCount = list.count
        symbols = .allocate(capacity: max(1, list.count))
        bars = .allocate(capacity: max(1, list.count * intervals.count))
        for (number, symbol) in list.enumerated() {
            (symbols + number).initialize(to: SymbolState(symbol, number: number, now: now))
            (bars + number * intervals.count).initialize(
                repeating: TradeSums(price: symbol.firstPrice), count: intervals.count)
        }
        histories = ContiguousArray(repeating: MinuteHistory(), count: list.count)
        frames = SyntheticFrames(symbols: list, market: market)
        streamNames = frames.streamNames
        draws = SyntheticMarket.drawTable(mix)
        pending.reserveCapacity(256)
    }

    deinit {
        symbols.deallocate()
        bars.deallocate()
    }

    /// A table in which each kind stands as often as its weight says.
    private static func drawTable(_ mix: MarketMix) -> ContiguousArray<UInt8> {
        let total = mix.weights.reduce(0, +)
        let size = 10_000
        var table = ContiguousArray<UInt8>()
        var sum = 0
        for (kind, weight) in mix.weights.enumerated() {
            sum += weight
            while table.count < sum * size / total { table.append(UInt8(kind)) }
        }
        return table
    }

    mutating func setSubscribed(stream: Int, _ isSubscribed: Bool) {
        guard !streamNames[stream].isEmpty else { return }
        let (symbol, slot) = stream.quotientAndRemainder(dividingBy: StreamKind.slotCount)
        let bit: UInt32 = 1 << UInt32(slot)
        let was = symbols[symbol].subscribed & bit != 0
        if isSubscribed {
            symbols[symbol].subscribed |= bit
        } else {
            symbols[symbol].subscribed &= ~bit
        }
        subscriptions += (isSubscribed ? 1 : 0) - (was ? 1 : 0)
    }

    mutating func nextDue() -> Int64? { nil }

    mutating func next(_ frame: inout FeedFrame, now wall: Int64) -> FeedStep {
        var steps = 0
        while pendingHead == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingHead = 0
            guard steps < (subscriptions == 0 ? 1 : SyntheticMarket.stepsMax) else { return .idle }
            steps += 1
            advanceClock(wall)
            step()
        }
        let event = pending[pendingHead]
        pendingHead &+= 1
        emitted &+= 1
        var micros: Int64 = 0
        if tellsMicros { micros = clock == .wall ? max(wall / 1_000, now &* 1_000) : now &* 1_000 }
        frames.write(event, symbols[event.symbol], now, micros: micros, &frame)
        return .frame
    }

    private mutating func advanceClock(_ wall: Int64) {
        switch clock {
        // The machine's clock may be set back; the market's never goes back.
        case .wall: now = max(now, wall / 1_000_000)
        case .virtual(let epoch, let step): now = epoch + Int64(Double(emitted) * step / 1e6)
        }
    }
}

// What happens.
extension SyntheticMarket {
    private func wants(_ symbol: Int, _ kind: StreamKind) -> Bool {
        symbols[symbol].subscribed & 1 << UInt32(kind.rawValue) != 0
    }

    private mutating func step() {
        let number = random.next()
        let drawn = draws[Int(((number & 0xFFFF_FFFF) &* UInt64(draws.count)) &>> 32)]
        let symbol = Int(((number &>> 32) &* UInt64(symbolCount)) &>> 32)
        switch StreamKind(rawValue: Int(drawn)) {
        case .trade, nil: trade(symbol, fills: 1)
        case .aggTrade: trade(symbol, fills: 1 + random.below(3))
        case .kline: kline(symbol)
        case .ticker: statistics(symbol, .ticker)
        case .miniTicker: statistics(symbol, .miniTicker)
        case .avgPrice: statistics(symbol, .avgPrice)
        case .markPrice, .markPrice1s:
            statistics(symbol, .markPrice)
            statistics(symbol, .markPrice1s)
        case .bookTicker:
            symbols[symbol].moveBook(random.next())
            if wants(symbol, .bookTicker) { pending.append(MarketEvent(symbol, .bookTicker)) }
        }
    }

    /// One taker order: trades at one price, and the aggregate of them.
    private mutating func trade(_ symbol: Int, fills: Int) {
        roll(symbol)
        if frames.market != .spot { useID(symbol) }
        let number = random.next()
        symbols[symbol].moveBook(number)
        let isBuyerMaker = number & 128 != 0
        let price = isBuyerMaker ? symbols[symbol].bid : symbols[symbol].bid &+ 1
        let typical = symbols[symbol].typicalQuantity
        var total: UInt64 = 0
        for _ in 0..<fills {
            let spread = random.next()
            // From about a sixteenth of the median up to four times it.
            let quantity = 1 &+ (typical &* (4 &+ (spread & 63) &* ((spread &>> 6) & 3))) &>> 6
            symbols[symbol].tradeID &+= 1
            symbols[symbol].lastQuantity = quantity
            symbols[symbol].lastTradeTime = now
            symbols[symbol].second.add(
                id: symbols[symbol].tradeID, price: price, quantity: quantity, isBuyerMaker: isBuyerMaker)
            total &+= quantity
            if !restHistories.isEmpty {
                remember(
                    symbol,
                    RestHistory.Trade(
                        id: symbols[symbol].tradeID, price: price, quantity: quantity, time: now,
                        isBuyerMaker: isBuyerMaker))
            }
            if wants(symbol, .trade) {
                var event = MarketEvent(symbol, trade: symbols[symbol].tradeID, price, quantity, isBuyerMaker)
                event.execution = spread & 0xF000 == 0 ? .retail : .market
                pending.append(event)
            }
        }
        symbols[symbol].aggregateID &+= 1
        if !restHistories.isEmpty {
            restHistories[symbol].append(
                RestHistory.Aggregate(
                    trade: RestHistory.Trade(
                        id: symbols[symbol].aggregateID, price: price, quantity: total, time: now,
                        isBuyerMaker: isBuyerMaker),
                    firstID: symbols[symbol].tradeID - Int64(fills) + 1, lastID: symbols[symbol].tradeID))
        }
        if wants(symbol, .aggTrade) {
            pending.append(
                MarketEvent(
                    symbol, aggregate: symbols[symbol].aggregateID, fills, last: symbols[symbol].tradeID,
                    price,
                    total, isBuyerMaker))
        }
    }

    /// Now and then a trade id of a futures market goes to a row that is no print: it counts nowhere.
    private mutating func useID(_ symbol: Int) {
        let number = random.next()
        guard number & 31 == 0 else { return }
        symbols[symbol].tradeID &+= 1
        guard wants(symbol, .trade) else { return }
        let isInsurance = number & 96 == 0
        var event = MarketEvent(
            symbol, trade: symbols[symbol].tradeID, isInsurance ? symbols[symbol].bid : 0,
            isInsurance ? symbols[symbol].typicalQuantity : 0, true)
        event.execution = isInsurance ? .insuranceFund : .notApplicable
        pending.append(event)
    }

    /// The turn of a stream that tells of the window; before the first trade there is nothing to tell.
    private mutating func statistics(_ symbol: Int, _ kind: StreamKind) {
        guard symbols[symbol].lastTradeTime > 0 else { return trade(symbol, fills: 1) }
        roll(symbol)
        guard wants(symbol, kind) else { return }
        if kind == .avgPrice {
            var average = histories[symbol].recent(since: now - 300_000, price: symbols[symbol].second.close)
            average.add(sums(symbol, 1))
            pending.append(MarketEvent(symbol, averageOf: average))
        } else {
            pending.append(MarketEvent(symbol, kind))
        }
    }

    /// The turn of one of the symbol's subscribed bars.
    private mutating func kline(_ symbol: Int) {
        roll(symbol)
        var wanted = symbols[symbol].subscribed &>> UInt32(StreamKind.kline.rawValue)
        guard wanted != 0 else { return }
        for _ in 0..<random.below(wanted.nonzeroBitCount) { wanted &= wanted &- 1 }
        let interval = wanted.trailingZeroBitCount
        pending.append(
            MarketEvent(
                symbol, bar: sums(symbol, interval), interval, open: open(symbol, interval), isClosed: false))
    }

    private func open(_ symbol: Int, _ interval: Int) -> Int64 {
        intervals[interval].open(symbols[symbol].secondOpen)
    }

    private func sums(_ symbol: Int, _ interval: Int) -> TradeSums {
        guard interval > 0 else { return symbols[symbol].second }
        var sums = bars[symbol &* intervals.count &+ interval]
        sums.add(symbols[symbol].second)
        return sums
    }

    /// Ends the seconds, and the bars with them, that are over by now; says so of those that are subscribed. Empty
    /// bars are told too: bars follow each other without a hole.
    private mutating func roll(_ symbol: Int) {
        let current = symbols[symbol].secondOpen
        guard now >= current &+ 1_000 else { return }
        rollBars(symbol, from: current, to: intervals[0].open(now))
    }

    @inline(never)
    private mutating func rollBars(_ symbol: Int, from current: Int64, to new: Int64) {
        let subscribed = symbols[symbol].subscribed &>> UInt32(StreamKind.kline.rawValue)
        let price = symbols[symbol].second.close
        for interval in intervals.indices {
            var open = intervals[interval].open(current)
            let newOpen = intervals[interval].open(new)
            let sums = sums(symbol, interval)
            bars[symbol &* intervals.count &+ interval] = open == newOpen ? sums : TradeSums(price: price)
            if interval == 1, open != newOpen { histories[symbol].append(open, sums) }
            let isWanted = subscribed & 1 << UInt32(interval) != 0
            guard isWanted || !restHistories.isEmpty else { continue }
            var closing = sums
            while open < newOpen {
                if !restHistories.isEmpty {
                    restHistories[symbol].append(
                        RestHistory.Bar(open: open, sums: closing), interval: interval)
                }
                if isWanted {
                    pending.append(MarketEvent(symbol, bar: closing, interval, open: open, isClosed: true))
                }
                closing = TradeSums(price: price)
                open = intervals[interval].next(open)
            }
        }
        symbols[symbol].window.add(symbols[symbol].second)
        let minute = bars[symbol &* intervals.count &+ 1]
        // The pointer is copied first: with the thread sanitizer on, reading it overlaps the change of `histories`.
        let state = symbols + symbol
        histories[symbol].expire(before: new - MinuteHistory.day, current: minute, &state.pointee)
        symbols[symbol].second = TradeSums(price: price)
        symbols[symbol].secondOpen = new
    }
}
