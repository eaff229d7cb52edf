import ExchangeAdapter
import MarketData
import Rings
import Testing
import Wire

struct AlreadyTaken: Error {}

/// An event writer between made-up connections and a ring that is read at once.
final class WriterBench {
    /// What came out of the ring.
    enum Output: Equatable {
        case event(EventKind, Int64)
        case gap(Int64, Int64, GapState, GapCause)
    }

    static let begin: Int64 = 1_700_000_000_000_000_000
    let counters = ParserCounters(marketCount: 1)
    let legs = LegCounters(marketCount: 1)
    let activity = StreamActivity(capacity: 4)
    let notices = CommandQueue<GapNotice>(capacity: 10_000)
    private(set) var writer: EventWriter
    private var consumer: RingConsumer
    /// Monotonic, ns.
    var now: Int64 = 1_000_000_000

    /// `members`: links by member.
    init(isPaired: Bool = false, ringBytes: Int = 1 << 20, repair: RepairMailbox? = nil) throws {
        let (producer, consumer, _) = try Ring.make(name: "writer", minimumCapacity: ringBytes)
        guard let writing = producer.take(), let reading = consumer.take() else { throw AlreadyTaken() }
        self.consumer = reading
        writer = EventWriter(
            producer: writing, counters: counters, instrumentCapacity: 10, gapNotices: notices,
            activity: activity, legs: legs, repair: repair)
        writer.setLinks(
            (0..<4).map { ParserLink(market: 0, shard: 0, member: $0, isPaired: isPaired) })
    }

    func open(_ member: Int, _ generation: UInt32 = 1) { writer.opened(link: member, generation: generation) }
    func close(_ member: Int, _ generation: UInt32 = 1) {
        writer.closed(link: member, generation: generation)
    }
    func deliver(_ delivery: RepairDelivery) -> Bool { writer.take(delivery, now: now) }
    func resume(_ kind: EventKind = .trade, variant: UInt8 = 0, expected: Int64, newest: Int64 = 0) {
        writer.resume(kind, variant: variant, instrument: 1, expected: expected, newest: newest)
    }
    func snapshot(into copy: SequenceSnapshot) { writer.snapshot(into: copy, instruments: 1) }
    func resume(_ hole: MissingRange) { writer.resume(hole) }
    func settle() -> Bool { writer.settle(now: now) }
    var nextDeadline: Int64? { writer.nextDeadline }
    func forget(_ kind: EventKind, variant: UInt8 = 0) {
        writer.forget(kind, variant: variant, instrument: 1)
    }

    private func begin(_ member: Int, _ generation: UInt32) {
        writer.beginRun(
            link: member, generation: generation, receivedTime: WriterBench.begin + now, now: now)
    }

    /// A trade of its own frame; false where there was no room.
    @discardableResult func trade(
        _ id: Int64, time: Int64? = nil, on member: Int = 0, _ generation: UInt32 = 1, instrument: UInt32 = 1
    ) -> Bool {
        begin(member, generation)
        guard writer.hasRoom(forFrameOf: 150) else { return false }
        writer.stream = 2
        var trade = Trade(
            header: EventHeader(
                kind: .trade, instrument: instrument, receivedTime: writer.receivedTime))
        trade.tradeID = id
        trade.tradeTime = time ?? WriterBench.begin &+ id &* 1_000_000
        writer.begin(Trade.self).initialize(to: trade)
        writer.end(Trade.self, kind: .trade)
        return true
    }

    func put<Event: BitwiseCopyable>(
        _ event: Event, _ kind: EventKind, on member: Int = 0, _ generation: UInt32 = 1
    ) {
        begin(member, generation)
        guard writer.hasRoom(forFrameOf: 500) else { return }
        writer.stream = 2
        writer.begin(Event.self).initialize(to: event)
        writer.end(Event.self, kind: kind)
    }

    func take() -> [Output] {
        writer.publish()
        var outputs: [Output] = []
        while let record = consumer.next() {
            let header = record.load(as: EventHeader.self)
            switch header.kind {
            case .trade: outputs.append(.event(.trade, record.load(as: Trade.self).tradeID))
            case .bookTicker: outputs.append(.event(.bookTicker, record.load(as: BookTicker.self).updateID))
            case .gap:
                let gap = record.load(as: Gap.self)
                outputs.append(.gap(gap.firstMissing, gap.lastMissing, gap.state, gap.cause))
            case let kind: outputs.append(.event(kind, header.eventTime))
            }
        }
        consumer.release()
        return outputs
    }

    /// Ids of trades, and gaps as negative first ids.
    func ids() -> [Int64] {
        take().map { output in
            switch output {
            case .event(_, let id): id
            case .gap(let first, _, _, _): -first
            }
        }
    }
}
