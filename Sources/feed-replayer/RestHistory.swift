/// What a synthesised market remembers of one symbol, for REST.
struct RestHistory {
    struct Trade {
        var id: Int64
        var price: UInt64
        var quantity: UInt64
        /// ms since the epoch.
        var time: Int64
        var isBuyerMaker: Bool
    }

    struct Aggregate {
        var trade: Trade
        var firstID: Int64
        var lastID: Int64
    }

    struct Bar {
        /// ms since the epoch.
        var open: Int64
        var sums: TradeSums
    }

    private(set) var trades = BoundedList<Trade>()
    private(set) var aggregates = BoundedList<Aggregate>()
    /// By interval.
    private(set) var bars: [BoundedList<Bar>] = []
    /// How many trades and aggregates are kept.
    private let capacity: Int
    /// Trades to come that the history will lack.
    var lacks = 0

    init(capacity: Int) {
        self.capacity = capacity
        bars = KlineInterval.all.map { _ in BoundedList() }
    }

    mutating func append(_ trade: Trade) { trades.append(trade, limit: capacity) }
    mutating func append(_ aggregate: Aggregate) { aggregates.append(aggregate, limit: capacity) }
    mutating func append(_ bar: Bar, interval: Int) { bars[interval].append(bar, limit: 2_000) }

    /// Up to `limit` trades from an id on that are no newer than `time`; without an id the newest.
    func trades(from id: Int64?, limit: Int, until time: Int64) -> [Trade] {
        trades.rows(from: id, limit: limit, until: time, id: \.id, time: \.time)
    }

    /// As ``trades(from:limit:until:)``, of aggregates.
    func aggregates(from id: Int64?, limit: Int, until time: Int64) -> [Aggregate] {
        aggregates.rows(from: id, limit: limit, until: time, id: \.trade.id, time: \.trade.time)
    }

    /// Up to `limit` closed bars that opened at a time or later; without one the newest.
    func bars(interval: Int, from time: Int64?, limit: Int) -> [Bar] {
        bars[interval].rows(from: time, limit: limit, until: .max, id: \.open, time: \.open)
    }
}

/// The last elements of a list that grows, by rising ids.
struct BoundedList<Element> {
    private var elements: ContiguousArray<Element> = []
    /// Those before are gone.
    private var first = 0

    mutating func append(_ element: Element, limit: Int) {
        elements.append(element)
        if elements.count - first > limit { first += 1 }
        if first > limit {
            elements.removeFirst(first)
            first = 0
        }
    }

    func rows(
        from id: Int64?, limit: Int, until time: Int64, id idPath: KeyPath<Element, Int64>,
        time timePath: KeyPath<Element, Int64>
    ) -> [Element] {
        let end = lowerBound { $0[keyPath: timePath] > time }
        guard let id else { return Array(elements[max(first, end - limit)..<end]) }
        let begin = lowerBound { $0[keyPath: idPath] >= id }
        return begin < end ? Array(elements[begin..<min(end, begin + limit)]) : []
    }

    /// The first element for which a condition holds that holds for all after it too.
    private func lowerBound(_ holds: (Element) -> Bool) -> Int {
        var (low, high) = (first, elements.count)
        while low < high {
            let middle = (low + high) / 2
            if holds(elements[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
