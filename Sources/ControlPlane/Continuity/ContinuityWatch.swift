import MarketData
import Wire

/// Whether the streams of a plan are connected, looked at every second: only what has changed goes to the ledger, so that
/// thousands of streams that do as before cost next to nothing.
struct ContinuityWatch {
    /// Types whose ids tell what was missed while there was no connection.
    static let haveIDs: Set<EventKind> = [.trade, .aggTrade]
    /// All streams are told to the ledger once in so many looks, changed or not.
    static let looksPerSweep = 60

    /// A connection that brings a stream.
    private struct Place {
        var slot: Int
        var leg: Int
    }

    private struct Entry {
        var lane: Int
        var stream: UInt32
        /// In `places`.
        var places: Range<Int>
        var look: ContinuityLedger.Look
    }

    /// Which plan this is; see ``Fleet/plan(unless:)``.
    let version: Int
    private var entries: [Entry] = []
    private var places: [Place] = []
    private var looks = 0

    init(plan: FleetPlan, version: Int) {
        self.version = version
        for (lane, content) in plan.lanes.enumerated() {
            var found: [UInt32: [Place]] = [:]
            for slot in content.slots {
                for stream in slot.streams {
                    found[stream.id, default: []].append(Place(slot: slot.slot, leg: slot.leg))
                }
            }
            for market in plan.markets.indices {
                for stream in content.streams[market] {
                    let first = places.count
                    places += found[stream.id] ?? []
                    entries.append(
                        Entry(
                            lane: lane, stream: stream.id, places: first..<places.count,
                            look: ContinuityLedger.Look(
                                exchange: plan.markets[market].exchange, symbol: stream.symbol ?? "",
                                type: ContinuityLedger.type(stream.kind, variant: stream.variant),
                                hasIDs: ContinuityWatch.haveIDs.contains(stream.kind), isConnected: nil)))
                }
            }
        }
    }

    /// What has changed since the last look; at times everything (`isSweep`).
    mutating func look(
        monitors: [WireMonitor], activities: [StreamActivity], clock: StreamClock.Reading
    ) -> (changes: [ContinuityLedger.Look], isSweep: Bool) {
        let isSweep = looks % ContinuityWatch.looksPerSweep == 0
        looks += 1
        var changes: [ContinuityLedger.Look] = []
        for index in entries.indices {
            let isConnected = isConnected(
                entries[index], monitors[entries[index].lane], activities[entries[index].lane], clock)
            if isSweep || isConnected != entries[index].look.isConnected {
                entries[index].look.isConnected = isConnected
                changes.append(entries[index].look)
            }
        }
        return (changes, isSweep)
    }

    /// nil: nothing has come yet.
    private func isConnected(
        _ entry: Entry, _ monitor: WireMonitor, _ activity: StreamActivity, _ clock: StreamClock.Reading
    ) -> Bool? {
        var hasData = false
        var isLive = false
        var delivers = false
        for place in entry.places {
            isLive = isLive || monitor.liveSince(ofSlot: places[place].slot) != nil
            for link in 0..<LinkIndex.sides {
                let side = LegView.Side(
                    open: monitor.openGeneration(ofSlot: places[place].slot, side: link),
                    cell: activity.read(
                        stream: entry.stream, member: LinkIndex.member(leg: places[place].leg, link: link)))
                guard side.cell.last > 0 else { continue }
                hasData = true
                delivers =
                    delivers || side.delivers(since: clock.asked(lane: entry.lane, id: entry.stream))
            }
        }
        return hasData ? isLive && delivers : nil
    }
}
