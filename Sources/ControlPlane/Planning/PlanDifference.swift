import ExchangeAdapter
import Wire

/// What leads from one plan to another one of the same lanes and markets.
public struct PlanDifference: Sendable {
    /// A stream of a market.
    public struct Stream: Sendable, Equatable {
        /// Index of the market.
        public var market: Int
        /// The exchange's name of it.
        public var name: String
    }

    /// Other streams for a slot.
    public struct SlotChange: Sendable, Equatable {
        /// Index of the lane.
        public var lane: Int
        /// Index of the slot in it.
        public var slot: Int
        /// To ask for.
        public var add: [SlotStream]
        /// Ids, to ask for no more.
        public var remove: [UInt32]
        /// The request target of its connections from now on; nil: as before. Another one only where the slot was free.
        public var target: String?

        /// Whether there is nothing to do.
        var isEmpty: Bool { add.isEmpty && remove.isEmpty && target == nil }
    }

    /// Other streams for a parser.
    public struct ParserChange: Sendable {
        /// Index of the lane.
        public var lane: Int
        /// Index of the market.
        public var market: Int
        /// What it knows and the new plan does not.
        public var gone: [StreamPlan]
        /// What is new.
        public var new: [StreamPlan]
    }

    /// A connection to make.
    public struct NewSlot: Sendable {
        /// Index of the lane.
        public var lane: Int
        /// Its index is the next one of the lane.
        public var plan: ConnectionPlan
    }

    /// In the order of subscription.
    public private(set) var added: [Stream] = []
    /// In the order in which they were subscribed.
    public private(set) var removed: [Stream] = []
    /// Of parsers.
    public private(set) var parsers: [ParserChange] = []
    /// Of slots that there are.
    public private(set) var slots: [SlotChange] = []
    /// By lane, in the order of their indices.
    public private(set) var newSlots: [NewSlot] = []

    /// Whether there is nothing to do.
    public var isEmpty: Bool { added.isEmpty && removed.isEmpty }

    /// The difference.
    public init(from old: FleetPlan, to new: FleetPlan) {
        for market in new.markets.indices {
            let before = old.markets[market].streams.map(\.name)
            let after = new.markets[market].streams.map(\.name)
            let (known, wanted) = (Set(before), Set(after))
            added += after.filter { !known.contains($0) }.map { Stream(market: market, name: $0) }
            removed += before.filter { !wanted.contains($0) }.map { Stream(market: market, name: $0) }
        }
        for lane in new.lanes.indices {
            for market in new.markets.indices { compare(lane: lane, market: market, old, new) }
            for slot in new.lanes[lane].slots {
                guard slot.slot < old.lanes[lane].slots.count else {
                    newSlots.append(NewSlot(lane: lane, plan: slot))
                    continue
                }
                compare(lane: lane, slot, with: old.lanes[lane].slots[slot.slot])
            }
        }
    }

    private mutating func compare(lane: Int, market: Int, _ old: FleetPlan, _ new: FleetPlan) {
        let before = old.lanes[lane].streams[market]
        let after = new.lanes[lane].streams[market]
        let (known, wanted) = (Set(before.map(\.id)), Set(after.map(\.id)))
        let change = ParserChange(
            lane: lane, market: market, gone: before.filter { !wanted.contains($0.id) },
            new: after.filter { !known.contains($0.id) })
        if !change.gone.isEmpty || !change.new.isEmpty { parsers.append(change) }
    }

    private mutating func compare(lane: Int, _ new: ConnectionPlan, with old: ConnectionPlan) {
        let (known, wanted) = (Set(old.streams.map(\.id)), Set(new.streams.map(\.id)))
        let change = SlotChange(
            lane: lane, slot: new.slot, add: new.streams.filter { !known.contains($0.id) },
            remove: old.streams.map(\.id).filter { !wanted.contains($0) },
            target: new.target == old.target ? nil : new.target)
        if !change.isEmpty { slots.append(change) }
    }
}
