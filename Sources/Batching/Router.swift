import MarketData

/// Finds the ``Source`` and the ``OpenBatch`` of an event. A table look-up once an instrument's kind was seen; the
/// first time it makes the route, which allocates.
struct Router: ~Copyable {
    /// Room for each instrument: klines and tickers have a slot for each variant, as their topics may differ.
    static let slotsPerInstrument = 64

    let settings: BatchSettings
    let routes: RouteTable
    private(set) var sources: SourceTable
    let batches: UnsafeMutablePointer<OpenBatch>
    private var batchCount = 0
    private var batchIndex: [BatchKey: Int32] = [:]
    private var sequences: [String: UnsafeMutablePointer<UInt64>] = [:]

    private struct BatchKey: Hashable {
        let kind: EventKind
        let market: Int
        let topic: String
        let orderingKey: String
    }

    init(settings: BatchSettings, routes: RouteTable) {
        self.settings = settings
        self.routes = routes
        sources = SourceTable(capacity: routes.capacity * 2)
        batches = .allocate(capacity: routes.capacity)
    }

    deinit {
        for index in 0..<batchCount { batches[index].deallocate() }
        batches.deallocate()
        for cell in sequences.values { cell.deallocate() }
    }

    /// The slot of an event within its instrument's.
    @inline(__always) static func slot(_ header: EventHeader) -> Int {
        switch header.kind {
        case .kline: 16 &+ Int(header.variant & 15)
        case .ticker: 32 &+ Int(header.variant & 15)
        case .gap: 48 &+ Int(header.variant & 15)
        default: Int(header.kind.rawValue)
        }
    }

    /// The place of an event's source in its input's table of `rows` for each slot. Instruments of one slot stand side by
    /// side: sixteen share a cache line, and few slots are in use.
    @inline(__always) static func place(_ header: EventHeader, rows: Int) -> Int {
        header.kind == .deadLetter
            ? slot(header) &* rows &+ Int(header.variant) : slot(header) &* rows &+ Int(header.instrument)
    }

    /// Rows of a table for so many instruments, or for dead letters, which are told apart by market.
    static func rows(instruments: Int) -> Int { max(instruments + 1, BatchSettings.marketLimit) }

    /// Whether the tables of all sources are more than the caches next to the processor hold.
    var isWide: Bool { sources.count > 256 }

    /// Makes the source of an event that is the first of its kind; nil where the tables are full.
    @inline(never) mutating func make(_ header: EventHeader, instruments: InstrumentTable) -> Int32? {
        guard !sources.isFull else { return nil }
        let isDeadLetter = header.kind == .deadLetter
        let market = isDeadLetter ? Int(header.variant) : instruments.market(at: header.instrument)
        let exchange = settings.markets[market].exchange
        let symbol = isDeadLetter ? nil : instruments.instrument(at: header.instrument).symbol
        let interval: String
        switch header.kind {
        case .kline: interval = Interval(rawValue: header.variant)?.name ?? "none"
        case .ticker: interval = TickerWindow(rawValue: header.variant)?.name ?? "none"
        default: interval = "none"
        }
        let values = TopicTemplate.Values(
            type: header.kind.name, exchange: exchange, symbol: symbol ?? "", interval: interval,
            market: settings.markets[market].market)
        let topic =
            isDeadLetter
            ? TopicTemplate.percentEncode("market.deadletter.\(exchange)")
            : settings.topic.renderTopicID(values)
        let orderingKey = isDeadLetter ? exchange : settings.orderingKey?.render(values) ?? ""
        let isOfOneSymbol =
            settings.topic.contains(.symbol) || settings.orderingKey?.contains(.symbol) ?? false
        let key = BatchKey(kind: header.kind, market: market, topic: topic, orderingKey: orderingKey)
        let batch: Int32
        if let known = batchIndex[key] {
            batch = known
        } else {
            guard
                let route = routes.append(
                    kind: header.kind, market: market, exchange: exchange,
                    symbol: isOfOneSymbol ? symbol : nil, topic: topic, orderingKey: orderingKey)
            else { return nil }
            batch = Int32(route.index)
            (batches + route.index).initialize(
                to: OpenBatch(
                    route: route.index, kind: header.kind, sequence: sequence(of: topic),
                    hasSlices: settings.payload == .event))
            batchCount = route.index + 1
            batchIndex[key] = batch
        }
        return sources.append(
            prefix: EventSerializer.prefix(kind: header.kind, exchange: exchange, symbol: symbol),
            batch: batch)
    }

    private mutating func sequence(of topic: String) -> UnsafeMutablePointer<UInt64> {
        if let cell = sequences[topic] { return cell }
        let cell = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        cell.initialize(to: 0)
        sequences[topic] = cell
        return cell
    }
}
