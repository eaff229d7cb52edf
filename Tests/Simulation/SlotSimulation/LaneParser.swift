import ExchangeAdapter
import MarketData
import Rings
import Wire

/// A lane's parser thread from the decoder on: the event writer of production, which drops repeats, follows ids and
/// holds events back, and its ring.
final class LaneParser {
    /// Streams that trade, of all markets.
    static let instruments = 64

    /// What comes out of it.
    enum Output {
        case trade(stream: Int, id: Int64)
        case gap(stream: Int, first: Int64, last: Int64)
    }

    private var writer: EventWriter
    private var consumer: RingConsumer
    private let notices = CommandQueue<GapNotice>(capacity: 16)
    private let counters: ParserCounters

    init(marketCount: Int, activity: StreamActivity) throws {
        let (producer, consumer, _) = try Ring.make(name: "events", minimumCapacity: 1 << 16)
        guard let producer = producer.take(), let consumer = consumer.take() else {
            preconditionFailure("a new ring has both ends")
        }
        counters = ParserCounters(marketCount: marketCount)
        writer = EventWriter(
            producer: producer, counters: counters, instrumentCapacity: LaneParser.instruments,
            gapNotices: notices, activity: activity)
        self.consumer = consumer
    }

    /// Links were added.
    func setLinks(_ links: [ParserLink]) { writer.setLinks(links) }

    func opened(link: Int, generation: UInt32) { writer.opened(link: link, generation: generation) }

    func closed(link: Int, generation: UInt32) { writer.closed(link: link, generation: generation) }

    /// A trade has come on a link. `stream`: of all; `id`: in the lane.
    func trade(
        stream: Int, laneID: UInt32, trade id: Int64, tradeTime: Int64, link: Int, generation: UInt32,
        wall: Int64, now: Int64
    ) {
        writer.beginRun(link: link, generation: generation, receivedTime: wall, now: now)
        guard writer.hasRoom(forFrameOf: 200) else {
            preconditionFailure("the ring is read after each event")
        }
        writer.stream = laneID
        var event = Trade(
            header: EventHeader(
                kind: .trade, instrument: UInt32(stream + 1), eventTime: tradeTime, receivedTime: wall))
        event.tradeID = id
        event.tradeTime = tradeTime
        writer.begin(Trade.self).initialize(to: event)
        writer.end(Trade.self, kind: .trade)
    }

    /// What waited long enough goes on.
    func settle(now: Int64) { writer.settle(now: now) }

    /// When ``settle(now:)`` is to be called; nil: nothing waits.
    var deadline: Int64? { writer.nextDeadline }

    /// A stream is not asked for any more.
    func forget(stream: Int) { writer.forget(.trade, variant: 0, instrument: UInt32(stream + 1)) }

    /// All that has come out since the last call, in order.
    func take(_ body: (Output) -> Void) {
        writer.publish()
        while let record = consumer.next() {
            guard let base = record.baseAddress else { continue }
            let header = base.loadUnaligned(as: EventHeader.self)
            switch header.kind {
            case .trade:
                body(
                    .trade(
                        stream: Int(header.instrument) - 1, id: base.loadUnaligned(as: Trade.self).tradeID))
            case .gap:
                let gap = base.loadUnaligned(as: Gap.self)
                // What came late is told once more, and has come.
                if gap.state == .open {
                    body(
                        .gap(
                            stream: Int(header.instrument) - 1, first: gap.firstMissing, last: gap.lastMissing
                        )
                    )
                }
            default: break
            }
        }
        consumer.release()
    }
}
