/// How much may be asked of an address that bills by weight: never more than a limit within any minute, whichever minute
/// the exchange counts by. Pure: times are given.
///
/// A request counts from when it is sent until a minute after its answer, because the exchange counted it somewhere in
/// between: so no minute of the exchange's own clock ever holds more than the limit.
struct WeightBudget {
    /// The window, ns.
    static let window: Int64 = 60_000_000_000

    /// What may be spent here in a minute.
    let perMinute: Int
    /// What the exchange allows an address in a minute, all of its clients together.
    let allowed: Int
    private var spent: [(until: Int64, weight: Int)] = []
    private var sum = 0
    private var inFlight = 0
    /// What the exchange said is used of the address' minute, and until when that may still hold.
    private var told: (used: Int, until: Int64) = (0, 0)
    /// Spent by others than this process in the minute that the exchange told of.
    private(set) var highest = 0

    /// - Parameters:
    ///   - perMinute: see ``perMinute``.
    ///   - allowed: see ``allowed``.
    init(perMinute: Int, allowed: Int) {
        self.perMinute = perMinute
        self.allowed = allowed
    }

    /// When a request of this weight may be sent, monotonic ns; `now` where at once. nil where it never may.
    mutating func opening(for weight: Int, now: Int64) -> Int64? {
        guard weight <= perMinute else { return nil }
        forget(now)
        var opening = now
        var rest = sum + inFlight + weight - perMinute
        for one in spent where rest > 0 {
            opening = one.until
            rest -= one.weight
        }
        if rest > 0 { return .max }
        // Others share the address: a part is left to them.
        if told.until > now, told.used + inFlight + weight > allowed / 10 * 9 {
            opening = max(opening, told.until)
        }
        return opening
    }

    /// What is spent now.
    mutating func used(_ now: Int64) -> Int {
        forget(now)
        return sum + inFlight
    }

    /// A request is sent.
    mutating func begin(_ weight: Int) {
        inFlight += weight
        highest = max(highest, sum + inFlight)
    }

    /// It is answered, or will not be. `used`: what the exchange said.
    mutating func end(_ weight: Int, used: Int?, now: Int64) {
        inFlight -= weight
        sum += weight
        spent.append((now + WeightBudget.window, weight))
        if let used { told = (used, now + WeightBudget.window) }
    }

    private mutating func forget(_ now: Int64) {
        let gone = spent.prefix { $0.until <= now }
        sum -= gone.reduce(0) { $0 + $1.weight }
        spent.removeFirst(gone.count)
    }
}
