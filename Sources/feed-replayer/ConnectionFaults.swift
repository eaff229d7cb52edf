/// What is wrong with one connection on purpose. Times are monotonic ns; a condition lasts until its time.
struct ConnectionFaults {
    struct Silence: Equatable {
        var pattern: StreamPattern
        /// Ends when the stream is subscribed again.
        var healsOnSubscribe: Bool
        var until: Int64
        /// Streams that it does not hold for any more, because they were subscribed again.
        var healed: Set<String> = []
    }

    struct Counted: Equatable {
        var pattern: StreamPattern
        var left: Int
    }

    /// Bytes that may be sent while they trickle.
    struct Trickle: Equatable {
        var bytesPerSecond: Int
        var until: Int64
        var since: Int64
        var sent = 0

        /// What may go out by now.
        func allowance(_ now: Int64) -> Int {
            max(0, Int(Double(now - since) / 1e9 * Double(bytesPerSecond)) - sent)
        }
    }

    var stalledUntil: Int64 = 0
    var frozenUntil: Int64 = 0
    var deafUntil: Int64 = 0
    var unansweredUntil: Int64 = 0
    var trickle: Trickle?
    var silences: [Silence] = []
    var skips: [Counted] = []
    var repeats: [Counted] = []

    /// Whether market frames need a look before they go out.
    var concernsFrames: Bool {
        stalledUntil > 0 || frozenUntil > 0 || trickle != nil || !silences.isEmpty || !skips.isEmpty
            || !repeats.isEmpty
    }

    var isFrozen: Bool { frozenUntil > 0 }

    /// Forgets what is over by `now`; returns whether the connection has thawed.
    mutating func expire(_ now: Int64) -> Bool {
        if stalledUntil <= now { stalledUntil = 0 }
        if deafUntil <= now { deafUntil = 0 }
        if unansweredUntil <= now { unansweredUntil = 0 }
        if let trickle, trickle.until <= now { self.trickle = nil }
        silences.removeAll { $0.until <= now }
        guard frozenUntil > 0, frozenUntil <= now else { return false }
        frozenUntil = 0
        return true
    }

    /// The stream is subscribed, perhaps again.
    mutating func subscribed(_ name: String) {
        for index in silences.indices where silences[index].healsOnSubscribe {
            silences[index].healed.insert(name)
        }
    }

    func isSilent(_ name: String) -> Bool {
        silences.contains { $0.pattern.matches(name) && !$0.healed.contains(name) }
    }

    /// How often a market frame goes out.
    mutating func copies(of name: @autoclosure () -> String) -> Int {
        if stalledUntil > 0 || frozenUntil > 0 { return 0 }
        if silences.isEmpty, skips.isEmpty, repeats.isEmpty { return 1 }
        let name = name()
        if isSilent(name) { return 0 }
        if ConnectionFaults.use(&skips, name) { return 0 }
        return ConnectionFaults.use(&repeats, name) ? 2 : 1
    }

    private static func use(_ list: inout [Counted], _ name: String) -> Bool {
        guard let index = list.firstIndex(where: { $0.pattern.matches(name) }) else { return false }
        list[index].left -= 1
        if list[index].left == 0 { list.remove(at: index) }
        return true
    }
}

/// How clients are received at one listener. Times are monotonic ns; a condition lasts until its time.
struct Door {
    var refusal: (status: Int, retryAfter: RetryTime?, until: Int64)?
    var floodUntil: Int64 = 0
    var alertUntil: Int64 = 0
    var hangUntil: [HandshakeStage: Int64] = [:]

    mutating func expire(_ now: Int64) {
        if let refusal, refusal.until <= now { self.refusal = nil }
        if floodUntil <= now { floodUntil = 0 }
        if alertUntil <= now { alertUntil = 0 }
        hangUntil = hangUntil.filter { $0.value > now }
    }

    func hangs(_ stage: HandshakeStage) -> Bool { hangUntil[stage] != nil }
}
