/// What may happen next. The two numbers mean what the kind says.
struct SimulationEvent {
    enum Kind: UInt8 {
        /// A machine's deadline. `a`: slot.
        case timer
        /// A dial reaches the exchange, or fails before. `a`: attempt.
        case arrival
        /// A dial has failed, the client learns it. `a`: attempt.
        case dialFailed
        /// The client learns that the upgrade was accepted. `a`: connection.
        case opened
        /// A request reaches the exchange. `a`: connection, `b`: its place.
        case request
        /// A pong reaches the exchange. `a`: connection.
        case pong
        /// The client's close or end reaches the exchange. `a`: connection.
        case clientGone
        /// An answer reaches the client. `a`: connection, `b`: place of the request.
        case answer
        /// The parser has read the answer. `a`: connection, `b`: place of the request.
        case answerRead
        /// A payload reaches the client. `a`: connection, `b`: stream and id.
        case payload
        /// A ping reaches the client. `a`: connection.
        case ping
        /// An announcement of the end reaches the client. `a`: connection.
        case shutdownNotice
        /// The exchange ends a connection. `a`: connection.
        case exchangeCut
        /// The client learns that the connection has ended. `a`: connection.
        case ended
        /// The client waited long enough for the answer to its close. `a`: link, `b`: generation.
        case closeExpired
        /// Events that wait in a parser go on. `a`: lane.
        case settle
        /// A trade happens. `a`: stream.
        case trade
        /// A fault befalls a market. `a`: market.
        case fault
        /// A connection works again. `a`: connection.
        case heal
        /// Other streams are wanted.
        case change
        /// The wall clock steps.
        case clockStep
        /// Everything is checked.
        case check
    }

    var time: Int64
    /// Among events of one time the earlier made comes first.
    var order: UInt64
    var kind: Kind
    var a: Int
    var b: Int
}

/// Events by time: a binary heap.
struct EventQueue {
    private var heap: [SimulationEvent] = []
    private var made: UInt64 = 0

    mutating func add(_ time: Int64, _ kind: SimulationEvent.Kind, _ a: Int, _ b: Int = 0) {
        made += 1
        var child = heap.count
        let event = SimulationEvent(time: time, order: made, kind: kind, a: a, b: b)
        heap.append(event)
        while child > 0 {
            let parent = (child - 1) / 2
            guard EventQueue.isBefore(event, heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = event
    }

    mutating func take() -> SimulationEvent? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, EventQueue.isBefore(heap[child + 1], heap[child]) { child += 1 }
            guard EventQueue.isBefore(heap[child], last) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return first
    }

    private static func isBefore(_ one: SimulationEvent, _ other: SimulationEvent) -> Bool {
        one.time != other.time ? one.time < other.time : one.order < other.order
    }
}
