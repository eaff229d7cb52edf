import MarketData

/// Finds the ``Source`` and the ``OpenBatch`` of an event. A table look-up once an instrument's kind was seen; the
/// first time it makes the route, which allocates.
struct Router: ~Copyable {
    /// Room for each instrument: klines and tickers have a slot for each variant, as their topics may differ.
    static let slotsPerInstrument = 64

    let settings: BatchSettings
    let routes: RouteTable
    let sources: UnsafeMutablePointer<Source>
    private var sourceCount: Int32 = 0
    private let sourceCapacity: Int
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
        sourceCapacity = routes.capacity * 2
        // Touched only as it is used.
        sources = .allocate(capacity: sourceCapacity)
        batches = .allocate(capacity: routes.capacity)
    }

    deinit {
        for index in 0..<Int(sourceCount) { sources[index].prefix.deallocate() }
        sources.deallocate()
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

    /// The place of an event's source in its input's table.
    @inline(__always) static func place(_ header: EventHeader) -> Int {
        header.kind == .deadLetter
            ? Int(header.variant) : Int(header.instrument) &* slotsPerInstrument &+ slot(header)
    }

    /// Whether the tables of all sources are more than the caches next to the processor hold.
    var isWide: Bool { sourceCount > 256 }

    /// Makes the source of an event that is the first of its kind; nil where the tables are full.
    @inline(never) mutating func make(_ header: EventHeader, instruments: InstrumentTable) -> Int32? {
        guard Int(sourceCount) < sourceCapacity else { return nil }
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
        let prefix = EventSerializer.prefix(kind: header.kind, exchange: exchange, symbol: symbol)
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: prefix.count)
        bytes.update(from: prefix, count: prefix.count)
        (sources + Int(sourceCount)).initialize(
            to: Source(prefix: bytes, prefixLength: prefix.count, batch: batch))
        sourceCount += 1
        return sourceCount - 1
    }

    private mutating func sequence(of topic: String) -> UnsafeMutablePointer<UInt64> {
        if let cell = sequences[topic] { return cell }
        let cell = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        cell.initialize(to: 0)
        sequences[topic] = cell
        return cell
    }
}
