/// How futures tell the same market: other keys, in the order of the wire (captures of 2026-09 and 2026-10).
extension SyntheticFrames {
    /// The pair, which a COIN-M symbol has before its underscore.
    private func putPair(_ writer: inout FrameWriter, _ name: UnsafeRawBufferPointer) {
        writer.put(",\"ps\":\"")
        let end = market == .coinm ? name.firstIndex(of: UInt8(ascii: "_")) : nil
        writer.put(UnsafeRawBufferPointer(rebasing: name[..<(end ?? name.count)]))
        writer.put("\"")
    }

    private func putMarket(_ writer: inout FrameWriter) {
        if market == .usdm { writer.put(",\"st\":1}") } else { writer.put(",\"st\":2}") }
    }

    /// A stretch's turnover: in quote currency, and in coins on COIN-M, where it is the contracts' worth at the
    /// average price.
    func put(_ writer: inout FrameWriter, quote: UInt128, of sums: TradeSums, _ state: SymbolState) {
        guard market == .coinm else {
            return writer.put(quote, digits: state.priceDigits &+ state.quantityDigits)
        }
        let price = average(sums, state)
        // Contracts of the stretch that the amount is for; each of ten dollars.
        let contracts = sums.quote > 0 ? UInt128(sums.quantity) &* quote / sums.quote : 0
        let coins = contracts &* 10 &* 10_000_000_000_000_000 / UInt128(max(1, price))
        writer.put(UInt64(truncatingIfNeeded: coins), digits: 8)
    }

    func writeFuturesTrade(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        writer.put(now)
        writer.put(",\"T\":")
        writer.put(now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"t\":")
        writer.put(event.id)
        writer.put(",\"p\":\"")
        // Without a price there are no fraction digits either.
        let isEmpty = event.execution == .notApplicable
        writer.put(event.price, digits: isEmpty ? 0 : state.priceDigits)
        writer.put("\",\"q\":\"")
        writer.put(event.quantity, digits: isEmpty ? 0 : state.quantityDigits)
        switch event.execution {
        case .market: writer.put("\",\"X\":\"MARKET\"")
        case .retail: writer.put("\",\"X\":\"RPI\"")
        case .notApplicable: writer.put("\",\"X\":\"NA\"")
        case .insuranceFund: writer.put("\",\"X\":\"INSURANCE_FUND\"")
        }
        if event.isBuyerMaker { writer.put(",\"m\":true") } else { writer.put(",\"m\":false") }
        // COIN-M's trades came without `st` in all captures.
        if market == .usdm { writer.put(",\"st\":1}") } else { writer.put("}") }
    }

    func writeFuturesAggregate(
        _ writer: inout FrameWriter, _ event: MarketEvent, _ state: SymbolState, _ now: Int64,
        _ name: UnsafeRawBufferPointer
    ) {
        writer.put(now)
        writer.put(",\"a\":")
        writer.put(event.id)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"p\":\"")
        writer.put(event.price, digits: state.priceDigits)
        writer.put("\",\"q\":\"")
        writer.put(event.quantity, digits: state.quantityDigits)
        writer.put("\",\"nq\":\"")
        writer.put(event.quantity, digits: state.quantityDigits)
        writer.put("\",\"f\":")
        writer.put(event.firstID)
        writer.put(",\"l\":")
        writer.put(event.lastID)
        writer.put(",\"T\":")
        writer.put(now)
        if event.isBuyerMaker { writer.put(",\"m\":true") } else { writer.put(",\"m\":false") }
        putMarket(&writer)
    }

    func writeFuturesTicker(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        let day = state.day
        writer.put(now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\"")
        putPair(&writer, name)
        writer.put(",\"p\":\"")
        let isDown = day.close < day.open
        let change = isDown ? day.open &- day.close : day.close &- day.open
        if isDown { writer.put("-") }
        writer.put(change, digits: state.priceDigits)
        writer.put("\",\"P\":\"")
        if isDown { writer.put("-") }
        let thousandths = (UInt128(change) &* 200_000 &+ UInt128(day.open)) / (2 &* UInt128(day.open))
        writer.putThousandths(UInt64(truncatingIfNeeded: thousandths))
        writer.put("\",\"w\":\"")
        writer.put(average(day, state), digits: 8)
        writer.put("\",\"c\":\"")
        writer.put(day.close, digits: state.priceDigits)
        writer.put("\",\"Q\":\"")
        writer.put(state.lastQuantity, digits: state.quantityDigits)
        writer.put("\"")
        putDay(&writer, day, state)
        writer.put(",\"O\":")
        writer.put(state.windowStart(now))
        writer.put(",\"C\":")
        writer.put(now)
        writer.put(",\"F\":")
        writer.put(day.firstID)
        writer.put(",\"L\":")
        writer.put(day.lastID)
        writer.put(",\"n\":")
        writer.put(day.count)
        putMarket(&writer)
    }

    /// Opening, extremes, volume and turnover.
    private func putDay(_ writer: inout FrameWriter, _ day: TradeSums, _ state: SymbolState) {
        writer.put(",\"o\":\"")
        writer.put(day.open, digits: state.priceDigits)
        writer.put("\",\"h\":\"")
        writer.put(day.high, digits: state.priceDigits)
        writer.put("\",\"l\":\"")
        writer.put(day.low, digits: state.priceDigits)
        writer.put("\",\"v\":\"")
        writer.put(day.quantity, digits: state.quantityDigits)
        writer.put("\",\"q\":\"")
        put(&writer, quote: day.quote, of: day, state)
        writer.put("\"")
    }

    func writeFuturesMiniTicker(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        let day = state.day
        writer.put(now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"c\":\"")
        writer.put(day.close, digits: state.priceDigits)
        writer.put("\"")
        putDay(&writer, day, state)
        putPair(&writer, name)
        putMarket(&writer)
    }

    func writeFuturesBook(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        writer.put(state.bookID)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\"")
        putPair(&writer, name)
        writer.put(",\"b\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"B\":\"")
        writer.put(state.bidQuantity, digits: state.quantityDigits)
        writer.put("\",\"a\":\"")
        writer.put(state.bid &+ 1, digits: state.priceDigits)
        writer.put("\",\"A\":\"")
        writer.put(state.askQuantity, digits: state.quantityDigits)
        writer.put("\",\"T\":")
        writer.put(now)
        writer.put(",\"E\":")
        writer.put(now)
        putMarket(&writer)
    }

    /// Mark and index price lie at the best bid; funding comes every eight hours.
    func writeMarkPrice(
        _ writer: inout FrameWriter, _ state: SymbolState, _ now: Int64, _ name: UnsafeRawBufferPointer
    ) {
        let period: Int64 = 8 * 3_600_000
        writer.fractionDigits = 8
        writer.put(now)
        writer.put(",\"s\":\"")
        writer.put(name)
        writer.put("\",\"p\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"ap\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"P\":\"")
        writer.put(state.bid &+ 1, digits: state.priceDigits)
        writer.put("\",\"i\":\"")
        writer.put(state.bid, digits: state.priceDigits)
        writer.put("\",\"r\":\"0.00000078\",\"T\":")
        writer.put((now / period + 1) * period)
        putMarket(&writer)
    }
}
