/// Market frames of a listener that lags: they wait for their time, and their order stays.
final class HeldFrames {
    /// The delay, ns.
    let lag: Int64
    private var outbox: Outbox
    /// Bytes that become due together, oldest first. Times are monotonic ns.
    private var parts: [(due: Int64, count: Int)] = []

    init(lag: Int64, connection: Int) {
        self.lag = lag
        outbox = Outbox(connection: connection, isCombined: false)
    }

    deinit { outbox.free() }

    var nextDue: Int64 { parts.first?.due ?? .max }
    var count: Int { outbox.count }

    /// Holds a text frame that was made at `now`.
    func append(_ bytes: UnsafeRawBufferPointer, now: Int64) {
        let before = outbox.count
        outbox.append(opcode: .text, bytes.baseAddress, count: bytes.count)
        let added = outbox.count - before
        if let last = parts.last, last.due == now + lag {
            parts[parts.count - 1].count += added
        } else {
            parts.append((now + lag, added))
        }
    }

    /// Moves what is due by `now` to where it is sent from.
    func release(_ now: Int64, to target: UnsafeMutablePointer<Outbox>) {
        let ready = parts.prefix { $0.due <= now }
        guard !ready.isEmpty else { return }
        let bytes = ready.reduce(0) { $0 + $1.count }
        target.pointee.append(raw: UnsafeRawBufferPointer(rebasing: outbox.waiting[..<bytes]))
        outbox.drop(bytes)
        parts.removeFirst(ready.count)
    }
}
