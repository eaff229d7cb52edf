import ByteScanning
import MarketData

/// Rows of REST answers.
enum BackfillRows {
    /// An array of rows and nothing behind it. A row that `read` makes nothing of is left out.
    static func read<Event>(
        _ cursor: inout JSONCursor, _ read: (inout JSONCursor) throws(ScanError) -> Event?
    ) throws(ScanError) -> [Event] {
        var events: [Event] = []
        var more = try cursor.enterArray()
        while more {
            if let event = try read(&cursor) { events.append(event) }
            more = try cursor.nextElement()
        }
        try cursor.expectEnd()
        return events
    }

    /// A time in ms or µs, whichever it must be, as ns: the two meet in the year 5138 and in 1973.
    static func readTime(_ cursor: inout JSONCursor) throws(ScanError) -> Int64 {
        let time = try cursor.readInteger()
        guard time >= 0, time < 100_000_000_000_000_000 else { throw .integer }
        return time < 100_000_000_000_000 ? time * 1_000_000 : time * 1_000
    }

    /// The members of an object. `take` says whether it knew the key and has taken the value; true for each key that the
    /// row needs, once.
    static func readObject(
        _ cursor: inout JSONCursor, keys count: Int,
        _ take: (JSONString, inout JSONCursor) throws(ScanError) -> Bool
    ) throws(ScanError) {
        var known = 0
        var more = try cursor.enterObject()
        while more {
            let name = try cursor.readString()
            cursor.skipSpace()
            try cursor.expect(UInt8(ascii: ":"))
            cursor.skipSpace()
            if try take(name, &cursor) { known += 1 } else { try cursor.skipValue() }
            more = try cursor.nextMember()
        }
        guard known == count else { throw .wrongType }
    }

    /// To the next cell of an array.
    static func nextCell(_ cursor: inout JSONCursor) throws(ScanError) {
        guard try cursor.nextElement() else { throw .malformed }
    }
}

extension Trade {
    /// `{"id":28457,"price":"4.00000100","qty":"12.00000000",…,"time":1499865549590,"isBuyerMaker":true,…}`
    init?(row cursor: inout JSONCursor, header: EventHeader) throws(ScanError) {
        var event = Trade(header: header)
        try BackfillRows.readObject(&cursor, keys: 5) { (name, cursor) throws(ScanError) in
            if name.isWritten("id") {
                event.tradeID = try cursor.readInteger()
            } else if name.isWritten("price") {
                event.price = try cursor.readDecimal()
            } else if name.isWritten("qty") {
                event.quantity = try cursor.readDecimal()
            } else if name.isWritten("time") {
                event.tradeTime = try BackfillRows.readTime(&cursor)
            } else if name.isWritten("isBuyerMaker") {
                event.aggressor = try cursor.readBool() ? .sell : .buy
            } else {
                return false
            }
            return true
        }
        self = event
    }
}

extension AggTrade {
    /// `{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,…}`. A row whose trades
    /// are gone (`f` and `l` -1, changelog of 2022-04-12) stands for nothing that was traded.
    init?(row cursor: inout JSONCursor, header: EventHeader) throws(ScanError) {
        var event = AggTrade(header: header)
        try BackfillRows.readObject(&cursor, keys: 7) { (name, cursor) throws(ScanError) in
            if name.isWritten("a") {
                event.aggregateID = try cursor.readInteger()
            } else if name.isWritten("p") {
                event.price = try cursor.readDecimal()
            } else if name.isWritten("q") {
                event.quantity = try cursor.readDecimal()
            } else if name.isWritten("f") {
                event.firstTradeID = try cursor.readInteger()
            } else if name.isWritten("l") {
                event.lastTradeID = try cursor.readInteger()
            } else if name.isWritten("T") {
                event.tradeTime = try BackfillRows.readTime(&cursor)
            } else if name.isWritten("m") {
                event.aggressor = try cursor.readBool() ? .sell : .buy
            } else {
                return false
            }
            return true
        }
        guard event.firstTradeID >= 0 else { return nil }
        self = event
    }
}

extension Kline {
    /// Twelve cells: open time, open, high, low, close, volume, close time, quote volume, trades, taker-bought base and
    /// quote volumes, one to be ignored. Ids of trades are not told. A bar that is not over yet is left out.
    init?(row cursor: inout JSONCursor, header: EventHeader) throws(ScanError) {
        var event = Kline(header: header)
        guard try cursor.enterArray() else { throw .malformed }
        event.openTime = try BackfillRows.readTime(&cursor)
        try BackfillRows.nextCell(&cursor)
        event.open = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.high = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.low = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.close = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.volume = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.closeTime = try BackfillRows.readTime(&cursor)
        try BackfillRows.nextCell(&cursor)
        event.quoteVolume = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.tradeCount = try cursor.readInteger()
        try BackfillRows.nextCell(&cursor)
        event.takerBuyVolume = try cursor.readDecimal()
        try BackfillRows.nextCell(&cursor)
        event.takerBuyQuoteVolume = try cursor.readDecimal()
        while try cursor.nextElement() { try cursor.skipValue() }
        guard event.closeTime < header.receivedTime else { return nil }
        event.isClosed = true
        self = event
    }
}
