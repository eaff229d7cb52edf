import CKernel
import MarketData

/// What is wrong with the REST host.
enum RestFault: Equatable {
    /// Answers take so much longer, ns.
    case slow(Int64)
    /// What is younger is not served yet, ns.
    case lag(Int64)
    /// Answers that are no rows, or rows of something else.
    case wrong
    /// Queries are refused with this status.
    case refuse(status: Int, retryAfter: RetryTime?)
    /// The next trades of each symbol are never served.
    case lack(count: Int)
    /// Ends all of these.
    case well
}

/// The REST host's side of a market: weights, refusals, faults.
struct RestDesk {
    /// What an address may use in a minute.
    let weightLimit: Int
    private let market: Market
    private var minute: Int64 = 0
    private(set) var usedWeight = 0
    /// Refused for its weight again and again: refused altogether until then, ns since the epoch.
    private var bannedUntil: Int64 = 0
    private var warnings = 0

    private(set) var totals = RestTotals()
    private var slow: (nanos: Int64, until: Int64) = (0, 0)
    private var lagging: (nanos: Int64, until: Int64) = (0, 0)
    private var wrongUntil: Int64 = 0
    private var refusal: (status: Int, retryAfter: RetryTime?, until: Int64)?

    init(market: Market, weightLimit: Int) {
        self.market = market
        self.weightLimit = weightLimit
    }

    /// Sets a fault until `until`, monotonic ns.
    mutating func strike(_ fault: RestFault, until: Int64) {
        switch fault {
        case .slow(let nanos): slow = (nanos, until)
        case .lag(let nanos): lagging = (nanos, until)
        case .wrong: wrongUntil = until
        case .refuse(let status, let retryAfter): refusal = (status, retryAfter, until)
        case .lack: break
        case .well:
            slow = (0, 0)
            lagging = (0, 0)
            wrongUntil = 0
            refusal = nil
        }
    }

    /// How much later an answer goes out, ns.
    func delay(now: Int64) -> Int64 { now < slow.until ? slow.nanos : 0 }
    /// How old what is served must be, ns.
    func lag(now: Int64) -> Int64 { now < lagging.until ? lagging.nanos : 0 }
    func isWrong(now: Int64) -> Bool { now < wrongUntil }

    /// Counts a query of this weight. nil: it is to be answered; else the status and after how many seconds to come again.
    mutating func admit(weight: Int, now: Int64, wall: Int64) -> (status: Int, retryAfter: RetryTime?)? {
        let current = wall / 60_000_000_000
        if current != minute {
            minute = current
            usedWeight = 0
            warnings = 0
        }
        totals.requests += 1
        usedWeight += weight
        totals.weightMax = max(totals.weightMax, usedWeight)
        if wall < bannedUntil {
            totals.overweight += 1
            return (418, .seconds(Int((bannedUntil - wall) / 1_000_000_000) + 1))
        }
        if usedWeight > weightLimit {
            totals.overweight += 1
            warnings += 1
            if warnings > 3 {
                bannedUntil = wall + 120_000_000_000
                return (418, .seconds(120))
            }
            return (429, .seconds(Int(60 - wall / 1_000_000_000 % 60)))
        }
        if let refusal, now < refusal.until {
            totals.refused += 1
            return (refusal.status, refusal.retryAfter)
        }
        return nil
    }

    /// The answer with the exchange's headers.
    func answer(status: Int, body: [UInt8], retryAfter: RetryTime? = nil) -> [UInt8] {
        let reasons = [
            200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
            418: "I'm a teapot", 429: "Too Many Requests", 451: "Unavailable For Legal Reasons",
        ]
        let head = """
            HTTP/1.1 \(status) \(reasons[status] ?? "Refused")\r
            Content-Type: application/json;charset=UTF-8\r
            Content-Length: \(body.count)\r
            x-mbx-used-weight: \(usedWeight)\r
            x-mbx-used-weight-1m: \(usedWeight)\r
            \(retryAfter?.line(wall: ck_realtime_nanos()) ?? "")\r

            """
        return Array(head.utf8) + body
    }

    static func error(code: Int, _ message: String) -> [UInt8] {
        Array("{\"code\":\(code),\"msg\":\(JSONEscaping.quoted(message))}".utf8)
    }
}

/// What the REST host did, for the summary.
struct RestTotals {
    var requests = 0
    var refused = 0
    /// Queries beyond the weight limit.
    var overweight = 0
    /// The most weight that was used in a minute.
    var weightMax = 0
}
