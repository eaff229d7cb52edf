/// Sequences of a topic that have not arrived in time; they are handed on all the same if they come later.
public struct MissingSequences: Sendable, Equatable {
    /// What delivers the topic.
    public var source: String
    /// Whose sequences they are.
    public var run: CollectorRun
    /// First and last.
    public var sequences: ClosedRange<UInt64>
}

/// What a message, or the passing of time, has brought.
public struct MarketReading<Token> {
    /// In the order of their sequences within each source, except those that are late.
    public var events: [MarketEvent] = []
    /// What never arrived.
    public var missing: [MissingSequences] = []
    /// Events that were handed on before: messages that were sent or delivered again, trades published again.
    public var repeats = 0
    /// Messages all of whose events have been handed on: safe to acknowledge.
    public var done: [Token] = []
}

/// Hands on every event once, in the order of its topic's sequence, and tells what is missing.
///
/// A *source* is what delivers one topic: a subscription's name. A *token* stands for a message until it may be
/// acknowledged. Not for several threads at once.
public final class MarketReader<Token> {
    private final class Delivery {
        var tokens: [Token]
        var waiting = 1
        init(_ token: Token) { tokens = [token] }
    }

    private struct Held {
        var sequence: UInt64
        var event: MarketEvent
        var delivery: Delivery
    }

    private struct Run {
        var id: CollectorRun
        var book: SequenceBook
        /// Ascending.
        var held: [Held] = []
    }

    /// Runs of a source that are remembered.
    private static var runLimit: Int { 16 }

    private let decoder: MessageDecoder
    private let maxWait: Double
    private let maxHeld: Int
    private var identities: IdentityBook?
    private var sources: [String: [Run]] = [:]
    /// Events that wait.
    public private(set) var held = 0

    /// Events that come ahead of others wait for them, `maxWait` seconds and `maxHeld` events at most; then the hole is
    /// called missing. `byIdentity`: trades that were published more than once are handed on once. `dictionaries`: files
    /// of `train-dictionary`, for messages with the attribute `dictionary`.
    public init(
        maxWait: Double = 10, maxHeld: Int = 100_000, byIdentity: Bool = true, dictionaries: [[UInt8]] = []
    ) throws(UnreadableMessage) {
        decoder = try MessageDecoder(dictionaries: dictionaries)
        self.maxWait = maxWait
        self.maxHeld = maxHeld
        identities = byIdentity ? IdentityBook() : nil
    }

    /// Takes a message. Where it throws it has taken nothing. `now`: seconds of a clock that never goes back.
    public func read(_ message: ReceivedMessage, source: String, token: Token, now: Double)
        throws(UnreadableMessage) -> MarketReading<Token>
    {
        let id = try message.run()
        let events = try decoder.events(of: message)
        var reading = MarketReading<Token>()
        var runs = sources.removeValue(forKey: source) ?? []
        defer { sources[source] = runs }
        let index = place(of: id, in: &runs, source: source, into: &reading)
        let delivery = Delivery(token)
        for event in events {
            switch runs[index].book.see(event.sequence, now: now) {
            case .repeated:
                reading.repeats += 1
                share(runs[index], event.sequence, delivery)
            case .late: handOn(event, into: &reading)
            case .new:
                delivery.waiting += 1
                held += 1
                let place = runs[index].held.partitioningIndex { $0.sequence > event.sequence }
                runs[index].held.insert(
                    Held(sequence: event.sequence, event: event, delivery: delivery), at: place)
            }
        }
        release(&runs[index], into: &reading)
        finish(delivery, into: &reading)
        giveUp(&runs[index], source, before: now - maxWait, into: &reading)
        while held > maxHeld, !runs[index].held.isEmpty, runs[index].book.barrier != nil {
            giveUp(&runs[index], source, before: .infinity, limit: 1, into: &reading)
        }
        return reading
    }

    /// To be called now and then: hands on what has waited long enough.
    public func expire(now: Double) -> MarketReading<Token> {
        var reading = MarketReading<Token>()
        for source in sources.keys.sorted() {
            var runs = sources.removeValue(forKey: source) ?? []
            defer { sources[source] = runs }
            for index in runs.indices {
                giveUp(&runs[index], source, before: now - maxWait, into: &reading)
            }
        }
        return reading
    }

    private func place(
        of id: CollectorRun, in runs: inout [Run], source: String, into reading: inout MarketReading<Token>
    ) -> Int {
        if let index = runs.lastIndex(where: { $0.id == id }) { return index }
        // A collector that starts anew has ended before: what was waited for of it goes first. And its new run is followed
        // from its beginning, for the subscription was there.
        var isFollowed = false
        for index in runs.indices where runs[index].id.collector == id.collector {
            isFollowed = true
            giveUp(&runs[index], source, before: .infinity, into: &reading)
        }
        if runs.count >= MarketReader.runLimit {
            giveUp(&runs[0], source, before: .infinity, into: &reading)
            runs.removeFirst()
        }
        runs.append(Run(id: id, book: SequenceBook(begin: isFollowed ? 1 : nil)))
        return runs.count - 1
    }

    /// A message that comes again while its events wait may not be acknowledged before them.
    private func share(_ run: Run, _ sequence: UInt64, _ delivery: Delivery) {
        let place = run.held.partitioningIndex { $0.sequence >= sequence }
        guard place < run.held.count, run.held[place].sequence == sequence else { return }
        let other = run.held[place].delivery
        guard other !== delivery else { return }
        other.tokens += delivery.tokens
        delivery.tokens.removeAll()
    }

    private func giveUp(
        _ run: inout Run, _ source: String, before: Double, limit: Int = .max,
        into reading: inout MarketReading<Token>
    ) {
        let holes = run.book.giveUp(before: before, limit: limit)
        guard !holes.isEmpty else { return }
        reading.missing += holes.map { MissingSequences(source: source, run: run.id, sequences: $0) }
        release(&run, into: &reading)
    }

    private func release(_ run: inout Run, into reading: inout MarketReading<Token>) {
        guard !run.held.isEmpty else { return }
        let barrier = run.book.barrier ?? .max
        let count = run.held.partitioningIndex { $0.sequence >= barrier }
        guard count > 0 else { return }
        for item in run.held[..<count] {
            handOn(item.event, into: &reading)
            finish(item.delivery, into: &reading)
        }
        run.held.removeFirst(count)
        held -= count
    }

    private func finish(_ delivery: Delivery, into reading: inout MarketReading<Token>) {
        delivery.waiting -= 1
        if delivery.waiting == 0 { reading.done += delivery.tokens }
    }

    private func handOn(_ event: MarketEvent, into reading: inout MarketReading<Token>) {
        if identities?.isNew(event) == false {
            reading.repeats += 1
        } else {
            reading.events.append(event)
        }
    }
}
