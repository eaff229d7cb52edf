/// One connection to the service, as the scheduler sees it.
struct PublishLink {
    enum State {
        /// None is open; the next request opens one.
        case down
        /// That request is in flight.
        case probing
        case up
        /// Broken or suspected to be: nothing is sent until all requests in flight have ended.
        case draining
    }

    var state = State.down
    var retryAt: Int64 = 0
    /// Requests in flight.
    var requests = 0
    /// Bytes of their bodies that are not known to be uploaded.
    var wireBytes = 0
    /// When an answer last came, monotonic ns.
    var lastAnswer = Int64.min

    /// Whether a request of so many bytes may be sent on it.
    func takes(_ bytes: Int, requestLimit: Int, wireLimit: Int) -> Bool {
        state == .up && requests < requestLimit && (wireBytes == 0 || wireBytes + bytes <= wireLimit)
    }
}
