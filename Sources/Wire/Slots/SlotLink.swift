/// One connection of a slot, as the slot sees it.
struct SlotLink {
    enum Phase: Equatable {
        case none
        case opening
        case open
        /// Our close frame is out; frames are still read.
        case closing
    }

    struct Outstanding {
        var request: SlotRequest
        var due: Int64
    }

    var phase = Phase.none
    var generation: UInt32 = 0
    var endpoint = 0
    /// It was opened for a stream that the one before did not serve.
    var isOfMove = false
    var openedAt: Int64 = 0
    /// When bytes came last; monotonic ns.
    var lastBytes: Int64 = 0
    /// When the next frame of ours may go.
    var nextSend: Int64 = 0
    var isPongDue = false
    var isListWanted = false
    var nextID: Int64 = 1
    var outstanding: [Outstanding] = []
    /// Ids of streams still to be asked for, from `firstToSubscribe` on.
    var toSubscribe: [UInt32] = []
    var firstToSubscribe = 0
    var toUnsubscribe: [SlotStream] = []
    /// Ids of streams to be asked for though the exchange holds them.
    var toRepeat: [UInt32] = []
    /// What it holds is not known any more: nothing is asked for on it, and another one is made.
    var isUncertain = false
    /// It brings data, but did not answer when it was asked for its list.
    var answersNoList = false
    /// Names that were, or are to be, asked for once more than given up: an exchange may count each.
    var repeats = 0
    /// When a request was refused last, monotonic ns.
    var refusedAt = Int64.min / 4
    /// All streams were acknowledged once.
    var wasLive = false
    /// The exchange will end it soon.
    var isShutdownAnnounced = false
    /// When it is to be replaced for its age.
    var retireAt = Int64.max

    var isListOutstanding: Bool { outstanding.contains { $0.request.method == .list } }
    var hasToSubscribe: Bool { firstToSubscribe < toSubscribe.count }
    var hasToSend: Bool {
        isPongDue || isListWanted || hasToSubscribe || !toUnsubscribe.isEmpty || !toRepeat.isEmpty
    }
    /// Nothing is left to ask for and every answer has come.
    var isSubscribed: Bool {
        !hasToSubscribe && toUnsubscribe.isEmpty && toRepeat.isEmpty && outstanding.isEmpty
    }
}

/// One stream of a slot.
struct SlotStreamState {
    enum Suspicion: Equatable {
        case none
        /// The connection was asked for its list. `since`: when the stream brought data last.
        case probing(since: Int64)
        case resubscribed(since: Int64, until: Int64)
        case moved(since: Int64, until: Int64)
    }

    let stream: SlotStream
    /// By side: when the stream was acknowledged; 0: not yet.
    var acknowledged: InlineArray<2, Int64> = [0, 0]
    var suspicion = Suspicion.none
    /// How much longer than its figures say it may be silent: it was suspected without cause.
    var patience: Int64 = 1
    /// When half of that patience is over, monotonic ns.
    var patienceEnd: Int64 = 0
    /// The mean time between payloads, of the latest connection that brought enough of them, ns; 0: not known.
    var meanNanos: Int64 = 0
    /// No connection is made for it before, monotonic ns.
    var moveNotBefore: Int64 = 0
    /// When the other leg was first seen well ahead of this one, by the time of its payload then; 0: it is not.
    var outrun: Int64 = 0
    /// The largest request that may hold it: smaller each time that a request with it is refused.
    var requestLimit = Int.max
    var isRefused = false
    /// How often it was refused, and when it is asked for again, monotonic ns.
    var refusals = 0
    var retryAt: Int64 = 0
}
