// What the synthesised market serves over REST.
extension SyntheticMarket {
    mutating func keepHistory(_ capacity: Int, lacking: Double) {
        restLack = lacking
        restHistories = ContiguousArray(repeating: RestHistory(capacity: capacity), count: symbolCount)
        for (number, name) in frames.symbolNames.enumerated() { symbolNumbers[name] = number }
    }

    mutating func lack(_ count: Int) {
        for symbol in restHistories.indices { restHistories[symbol].lacks = count }
    }

    func history(_ query: RestQuery, lag: Int64) -> [UInt8]? {
        guard let symbol = symbolNumbers[query.symbol], symbol < restHistories.count else { return nil }
        let until = lag > 0 ? now - lag : .max
        switch query.endpoint {
        case .historicalTrades:
            let rows = restHistories[symbol].trades(from: query.from, limit: query.limit, until: until)
            return frames.rows(rows) { frames.writeRow(&$0, $1, symbols[symbol]) }
        case .aggTrades:
            let rows = restHistories[symbol].aggregates(from: query.from, limit: query.limit, until: until)
            return frames.rows(rows) { frames.writeRow(&$0, $1, symbols[symbol]) }
        case .klines(let interval):
            let rows = restHistories[symbol].bars(interval: interval, from: query.from, limit: query.limit)
            return frames.rows(rows) { frames.writeRow(&$0, $1, interval, symbols[symbol]) }
        case .ping, .time: return []
        }
    }

    /// Notes a trade, unless the history is to lack it.
    mutating func remember(_ symbol: Int, _ trade: RestHistory.Trade) {
        if restHistories[symbol].lacks > 0 {
            restHistories[symbol].lacks -= 1
        } else if !(restLack > 0 && restRandom.happens(restLack)) {
            restHistories[symbol].append(trade)
        }
    }
}

extension SyntheticFrames {
    /// An array of rows.
    func rows<Row>(_ rows: [Row], _ write: (inout FrameWriter, Row) -> Void) -> [UInt8] {
        // A bar of twelve cells takes less than this.
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: rows.count * 512 + 16)
        defer { room.deallocate() }
        var writer = FrameWriter(at: room, fractionDigits: market == .spot ? 8 : nil)
        writer.put("[")
        for (index, row) in rows.enumerated() {
            if index > 0 { writer.put(",") }
            write(&writer, row)
        }
        writer.put("]")
        return Array(UnsafeBufferPointer(start: room, count: writer.at - room))
    }

    func writeRow(_ writer: inout FrameWriter, _ trade: RestHistory.Trade, _ state: SymbolState) {
        writer.put("{\"id\":")
        writer.put(trade.id)
        writer.put(",\"price\":\"")
        writer.put(trade.price, digits: state.priceDigits)
        writer.put("\",\"qty\":\"")
        writer.put(trade.quantity, digits: state.quantityDigits)
        writer.put("\",\"quoteQty\":\"")
        let paid = trade.price.multipliedFullWidth(by: trade.quantity)
        writer.put(
            UInt128(paid.high) << 64 | UInt128(paid.low), digits: state.priceDigits + state.quantityDigits)
        writer.put("\",\"time\":")
        writer.put(trade.time)
        if trade.isBuyerMaker {
            writer.put(",\"isBuyerMaker\":true,\"isBestMatch\":true}")
        } else {
            writer.put(",\"isBuyerMaker\":false,\"isBestMatch\":true}")
        }
    }

    func writeRow(_ writer: inout FrameWriter, _ aggregate: RestHistory.Aggregate, _ state: SymbolState) {
        writer.put("{\"a\":")
        writer.put(aggregate.trade.id)
        writer.put(",\"p\":\"")
        writer.put(aggregate.trade.price, digits: state.priceDigits)
        writer.put("\",\"q\":\"")
        writer.put(aggregate.trade.quantity, digits: state.quantityDigits)
        writer.put("\",\"f\":")
        writer.put(aggregate.firstID)
        writer.put(",\"l\":")
        writer.put(aggregate.lastID)
        writer.put(",\"T\":")
        writer.put(aggregate.trade.time)
        if aggregate.trade.isBuyerMaker { writer.put(",\"m\":true") } else { writer.put(",\"m\":false") }
        if market == .spot { writer.put(",\"M\":true}") } else { writer.put("}") }
    }

    func writeRow(
        _ writer: inout FrameWriter, _ bar: RestHistory.Bar, _ interval: Int, _ state: SymbolState
    ) {
        writer.put("[")
        writer.put(bar.open)
        for price in [bar.sums.open, bar.sums.high, bar.sums.low, bar.sums.close] {
            writer.put(",\"")
            writer.put(price, digits: state.priceDigits)
            writer.put("\"")
        }
        writer.put(",\"")
        writer.put(bar.sums.quantity, digits: state.quantityDigits)
        writer.put("\",")
        writer.put(KlineInterval.all[interval].next(bar.open) - 1)
        writer.put(",\"")
        put(&writer, quote: bar.sums.quote, of: bar.sums, state)
        writer.put("\",")
        writer.put(bar.sums.count)
        writer.put(",\"")
        writer.put(bar.sums.takerBuyQuantity, digits: state.quantityDigits)
        writer.put("\",\"")
        put(&writer, quote: bar.sums.takerBuyQuote, of: bar.sums, state)
        writer.put("\",\"0\"]")
    }
}
