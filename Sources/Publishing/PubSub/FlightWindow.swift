/// How many requests should be in flight: by Little's law (Little, 1961) as many as are finished in the time that one
/// takes, L = λW, with the best time seen for W, so that a queue at the service does not count. Twice that many may be
/// in flight, so that the rate can be seen to grow; BBR bounds TCP's flight in the same way, with the same factor
/// (https://queue.acm.org/detail.cfm?id=3022184).
struct FlightWindow {
    /// Requests at least, so that a burst after a rest does not begin from nothing.
    static let floor = 16
    /// A rate is measured over so long, and the largest of the last eight counts, ns.
    static let epoch: Int64 = 50_000_000
    /// The shortest time of a request is forgotten after one to two such spans, ns.
    static let memory: Int64 = 10_000_000_000

    private let maximum: Int
    private var rates: [Int] = Array(repeating: 0, count: 8)
    private var epochIndex = 0
    private var epochBegin: Int64 = 0
    private var epochCount = 0
    private var shortest = Int64.max
    private var shortestBefore = Int64.max
    private var memoryBegin: Int64 = 0
    /// Requests that may be in flight now.
    private(set) var limit: Int

    init(maximum: Int) {
        self.maximum = maximum
        limit = min(maximum, FlightWindow.floor)
    }

    /// A request that took `time` has ended well. Times: ns.
    mutating func note(time: Int64, now: Int64) {
        if now - memoryBegin >= FlightWindow.memory {
            (shortestBefore, shortest, memoryBegin) = (shortest, .max, now)
        }
        shortest = min(shortest, max(time, 1))
        epochCount += 1
        let span = now - epochBegin
        guard span >= FlightWindow.epoch else { return }
        // After a rest the epoch is longer than it should be; what it says about the rate is too little, never too much.
        rates[epochIndex % rates.count] = Int(Int64(epochCount) * 1_000_000_000 / span)
        epochIndex += 1
        (epochBegin, epochCount) = (now, 0)
        let rate = rates.max() ?? 0
        let best = min(shortest, shortestBefore)
        limit = min(maximum, max(FlightWindow.floor, 2 * rate * Int(best / 1_000) / 1_000_000 + 1))
    }
}
