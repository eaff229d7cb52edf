import ExchangeAdapter
import Wire

/// Spreads streams over lanes, shards and slots. A pure function: the same input gives the same plan.
///
/// - A stream's lane is its instrument's, so that one parser follows all its ids. Instruments take lanes in turn, in the
///   order in which they are named; all-market streams are in lane 0.
/// - Within a lane, the streams of one market and one request target are dealt over as few shards as
///   `streamsPerConnection` allows, each to the shard with the fewest: neighbours in a list (mostly the busiest symbols
///   come first) do not share a connection.
/// - A shard has a slot for each leg, in the same lane.
///
/// With an earlier plan, whatever is in both stays where it is: nothing moves because something else comes or goes. A
/// shard that has lost all its streams keeps no connection; its slots serve the next streams of its market that need
/// one.
public struct Planner {
    /// Streams that a lane can hold at once: of cells in its `StreamActivity`.
    public static let streamsPerLane = 65_536

    private let markets: [PlannerMarket]
    private var lanes: [FleetPlan.Lane]
    /// Streams of each shard, by lane.
    private var shards: [[Shard]]
    /// By market: the lane of each symbol.
    private var laneOfSymbol: [[String: Int]]
    /// By market and lane: how many symbols it has.
    private var symbolCounts: [[Int]]

    private struct Shard {
        var market: Int
        var target: String
        var streams: [SlotStream] = []
        var slots: [Int] = []
        var isChanged = false
        /// Had no streams in the plan before: its connections are closed.
        var isFree = false
    }

    /// A plan for `markets` in `lanes` lanes.
    ///
    /// - Parameter previous: the plan that is in force, of the same markets and lanes.
    /// - Throws: ``PlanError`` with everything that cannot work.
    public static func plan(
        _ markets: [PlannerMarket], lanes: Int, previous: FleetPlan? = nil
    ) throws(PlanError) -> FleetPlan {
        if let previous {
            guard previous.lanes.count == lanes,
                previous.markets.map(\.exchange) == markets.map(\.exchange)
            else {
                throw PlanError(problems: [
                    .init(text: "lanes and markets cannot be changed while the collector runs; restart it")
                ])
            }
        }
        let names = PlanCheck.names(markets)
        guard names.isEmpty else { throw PlanError(problems: names) }
        var planner = Planner(markets: markets, lanes: lanes, previous: previous)
        planner.place(previous)
        try planner.giveSlots()
        let plan = FleetPlan(lanes: planner.lanes, markets: markets)
        let costs = PlanCheck.costs(plan)
        guard costs.isEmpty else { throw PlanError(problems: costs) }
        return plan
    }

    private init(markets: [PlannerMarket], lanes: Int, previous: FleetPlan?) {
        self.markets = markets
        self.lanes =
            previous?.lanes
            ?? Array(
                repeating: FleetPlan.Lane(streams: Array(repeating: [], count: markets.count)), count: lanes)
        shards = self.lanes.map(Planner.shards)
        laneOfSymbol = Array(repeating: [:], count: markets.count)
        symbolCounts = Array(repeating: Array(repeating: 0, count: lanes), count: markets.count)
    }

    /// The shards of a lane, as its slots tell them.
    private static func shards(of lane: FleetPlan.Lane) -> [Shard] {
        var shards: [Shard?] = Array(repeating: nil, count: lane.shardCount)
        for slot in lane.slots {
            var shard =
                shards[slot.shard]
                ?? Shard(
                    market: slot.market, target: slot.target, streams: slot.streams,
                    isFree: slot.streams.isEmpty)
            shard.slots.append(slot.slot)
            shards[slot.shard] = shard
        }
        return shards.compactMap(\.self)
    }

    /// Puts every stream into a shard: those that are there stay, the others join.
    private mutating func place(_ previous: FleetPlan?) {
        for lane in lanes.indices {
            let known = previous?.lanes[lane].streams ?? []
            for market in markets.indices {
                let wanted = Set(markets[market].streams.map(\.name))
                let kept = known.isEmpty ? [] : known[market].filter { wanted.contains($0.name) }
                for stream in kept { settle(stream, market: market, lane: lane) }
                let names = Set(kept.map(\.name))
                for index in shards[lane].indices where shards[lane][index].market == market {
                    let before = shards[lane][index].streams.count
                    shards[lane][index].streams.removeAll { !names.contains($0.name) }
                    if shards[lane][index].streams.count < before { shards[lane][index].isChanged = true }
                }
            }
        }
        for market in markets.indices { placeNew(market) }
    }

    private mutating func placeNew(_ market: Int) {
        var ids: [String: (lane: Int, id: UInt32)] = [:]
        for lane in lanes.indices {
            for shard in shards[lane] where shard.market == market {
                for stream in shard.streams { ids[stream.name] = (lane, stream.id) }
            }
        }
        var byLane = Array(repeating: [StreamPlan](), count: lanes.count)
        var fresh = Array(repeating: [(target: String, streams: [StreamPlan])](), count: lanes.count)
        for stream in markets[market].streams {
            if let known = ids[stream.name] {
                var stream = stream
                stream.id = known.id
                byLane[known.lane].append(stream)
                continue
            }
            let lane = chooseLane(stream, market: market)
            settle(stream, market: market, lane: lane)
            let target = markets[market].target(stream)
            if let index = fresh[lane].firstIndex(where: { $0.target == target }) {
                fresh[lane][index].streams.append(stream)
            } else {
                fresh[lane].append((target, [stream]))
            }
        }
        for lane in lanes.indices {
            for (target, streams) in fresh[lane] {
                byLane[lane] += deal(streams, target: target, market: market, lane: lane)
            }
            let order = Dictionary(
                markets[market].streams.enumerated().map { ($0.element.name, $0.offset) },
                uniquingKeysWith: { first, _ in first })
            lanes[lane].streams[market] = byLane[lane].sorted {
                order[$0.name, default: 0] < order[$1.name, default: 0]
            }
        }
    }

    /// Notes that a symbol lives in a lane.
    private mutating func settle(_ stream: StreamPlan, market: Int, lane: Int) {
        guard let symbol = stream.symbol, laneOfSymbol[market][symbol] == nil else { return }
        laneOfSymbol[market][symbol] = lane
        symbolCounts[market][lane] += 1
    }

    private func chooseLane(_ stream: StreamPlan, market: Int) -> Int {
        guard let symbol = stream.symbol else { return 0 }
        if let lane = laneOfSymbol[market][symbol] { return lane }
        // Markets begin in different lanes: the first symbols of each are mostly the busiest.
        let order = lanes.indices.map { ($0 + market) % lanes.count }
        return order.min { symbolCounts[market][$0] < symbolCounts[market][$1] } ?? 0
    }

    /// Deals new streams over the shards of their target, which are made as needed. Returns them with their ids.
    private mutating func deal(
        _ streams: [StreamPlan], target: String, market: Int, lane: Int
    ) -> [StreamPlan] {
        var candidates = shards[lane].indices.filter {
            shards[lane][$0].market == market && shards[lane][$0].target == target
                && !shards[lane][$0].streams.isEmpty
        }
        addShards(to: &candidates, for: streams.count, target: target, market: market, lane: lane)
        var free = FreeIDs(lanes[lane], shards: shards[lane].map(\.streams), count: streams.count)
        return streams.map { stream in
            var stream = stream
            stream.id = free.next()
            if let least = candidates.min(by: {
                shards[lane][$0].streams.count < shards[lane][$1].streams.count
            }) {
                shards[lane][least].streams.append(
                    SlotStream(id: stream.id, name: stream.name, period: stream.period))
                shards[lane][least].isChanged = true
            }
            lanes[lane].nextStream = max(lanes[lane].nextStream, stream.id + 1)
            return stream
        }
    }

    /// Sees to it that so many streams find room: takes shards without streams, then makes some.
    private mutating func addShards(
        to candidates: inout [Int], for count: Int, target: String, market: Int, lane: Int
    ) {
        let limit = max(1, markets[market].limits.streamsPerConnection)
        let room = candidates.reduce(0) { $0 + max(0, limit - shards[lane][$1].streams.count) }
        var lacking = (max(0, count - room) + limit - 1) / limit
        // Those with connections that can carry the streams first.
        for isSameTarget in [true, false] {
            for index in shards[lane].indices where lacking > 0 && !candidates.contains(index) {
                let shard = shards[lane][index]
                guard shard.market == market, shard.streams.isEmpty, (shard.target == target) == isSameTarget,
                    isSameTarget || shard.isFree
                else { continue }
                shards[lane][index].target = target
                candidates.append(index)
                lacking -= 1
            }
        }
        for _ in 0..<lacking {
            candidates.append(shards[lane].count)
            shards[lane].append(Shard(market: market, target: target))
        }
    }

    /// Makes and fills the slots of the shards.
    private mutating func giveSlots() throws(PlanError) {
        for lane in lanes.indices {
            let count = shards[lane].reduce(0) { $0 + $1.streams.count }
            guard count <= Planner.streamsPerLane else {
                throw PlanError(problems: [
                    .init(
                        text:
                            "lane \(lane) would have \(count) streams, and \(Planner.streamsPerLane) are the"
                            + " most; set collector.lanes to more than \(lanes.count), or run several collectors"
                    )
                ])
            }
            for index in shards[lane].indices where shards[lane][index].isChanged {
                let shard = shards[lane][index]
                let market = markets[shard.market]
                if shard.slots.isEmpty {
                    for leg in 0..<market.legs { addSlot(lane: lane, shard: index, leg: leg) }
                    lanes[lane].shardCount = index + 1
                }
                for slot in shards[lane][index].slots {
                    lanes[lane].slots[slot].streams = shard.streams
                    lanes[lane].slots[slot].target = shard.target
                }
            }
        }
    }

    private mutating func addSlot(lane: Int, shard: Int, leg: Int) {
        let market = markets[shards[lane][shard].market]
        let endpoints = market.endpoints(ofLeg: leg)
        let slot = lanes[lane].slots.count
        var plan = ConnectionPlan(
            slot: slot, shard: shard, leg: leg, market: shards[lane][shard].market, endpoint: endpoints[0],
            endpoints: endpoints, target: shards[lane][shard].target, tls: shards[lane][shard].market,
            language: market.language, limits: market.limits)
        plan.legs = market.legs
        plan.network = market.network
        plan.deflate = market.deflate
        lanes[lane].slots.append(plan)
        shards[lane][shard].slots.append(slot)
    }
}

/// Ids that no stream of a lane has. An id that was in use is given again only when no other is left, so that figures
/// kept by id are not taken for another stream's.
private struct FreeIDs {
    private var unused: UInt32
    private let taken: Set<UInt32>
    private var scan: UInt32 = 0

    /// For so many new streams.
    init(_ lane: FleetPlan.Lane, shards: [[SlotStream]], count: Int) {
        unused = lane.nextStream
        taken = Int(unused) + count <= Planner.streamsPerLane ? [] : Set(shards.joined().map(\.id))
    }

    mutating func next() -> UInt32 {
        if unused < UInt32(Planner.streamsPerLane) {
            defer { unused += 1 }
            return unused
        }
        while taken.contains(scan) { scan += 1 }
        defer { scan += 1 }
        return scan
    }
}
