/// One symbol's past minutes: what must leave the 24-hour window again.
struct MinuteHistory {
    /// Length of the window in ms.
    static let day: Int64 = 86_400_000
    private static let minute: Int64 = 60_000

    private var minutes: ContiguousArray<(open: Int64, sums: TradeSums)> = []

    /// Notes a minute that is over; one without trades need not be.
    mutating func append(_ open: Int64, _ sums: TradeSums) {
        if sums.count > 0 { minutes.append((open, sums)) }
    }

    /// Takes whole minutes that opened before `limit` (ms) out of the symbol's window. The window then opens with a
    /// minute, and is up to one minute shorter than a day. `current`: the minute that still goes on.
    mutating func expire(before limit: Int64, current: TradeSums, _ state: inout SymbolState) {
        guard let first = minutes.first, first.open < limit else { return }
        let count = minutes.firstIndex { $0.open >= limit } ?? minutes.count
        let last = minutes[count - 1]
        minutes.removeFirst(count)
        state.windowOpen = last.open + MinuteHistory.minute
        state.priceBeforeWindow = last.sums.close
        var window = TradeSums(price: last.sums.close)
        for each in minutes { window.add(each.sums) }
        window.add(current)
        state.window = window
    }

    /// Minutes that opened at or after `time` (ms). `price`: the last price, where there was no trade.
    func recent(since time: Int64, price: UInt64) -> TradeSums {
        var sums = TradeSums(price: price)
        for each in minutes[(minutes.lastIndex { $0.open < time }.map { $0 + 1 } ?? 0)...] {
            sums.add(each.sums)
        }
        return sums
    }
}
