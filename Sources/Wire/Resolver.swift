import CKernel
import Rings

/// Resolves names on a thread of its own: getaddrinfo blocks.
public struct ResolverStage: ~Copyable, Stage {
    /// A name to resolve for a slot.
    struct Request: Sendable {
        var slot: Int
        var generation: UInt32
        var host: String
        var port: UInt16
        var reply: CommandQueue<WireCommand>
    }

    /// What a resolver thread is reached by.
    public final class Mailbox: Sendable {
        let requests: CommandQueue<Request>
        /// `waker`: of the resolver's thread.
        public init(waker: Waker) { requests = CommandQueue(capacity: 4_096, waker: waker) }
    }

    private let mailbox: Mailbox
    private let waker: Waker

    /// The thread's stage.
    public init(mailbox: Mailbox, waker: Waker) {
        self.mailbox = mailbox
        self.waker = waker
    }

    /// One cycle; see the type.
    public mutating func doWork() -> Int {
        let requests = mailbox.requests.drain()
        for request in requests {
            var addresses = [ck_address](repeating: ck_address(), count: 8)
            let count = ck_resolve(request.host, request.port, &addresses, 8)
            let answer: WireCommand =
                count > 0
                ? .resolved(
                    slot: request.slot, generation: request.generation,
                    addresses: Array(addresses[..<Int(count)]))
                : .unresolved(
                    slot: request.slot, generation: request.generation,
                    reason: String(cString: ck_resolve_error(count)))
            request.reply.send(answer)
        }
        return requests.count
    }

    /// Whether the next cycle would find something to do.
    public mutating func hasInput() -> Bool { !mailbox.requests.isEmpty }
    /// Until the next deadline, ns.
    public mutating func parkLimit() -> Int64 { 1_000_000_000 }
    /// Waits for the waker or for descriptors.
    public mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }
}

/// What other threads tell an I/O thread.
public enum WireCommand: Sendable {
    /// The exchange accepted a request.
    case acknowledged(slot: Int, generation: UInt32, id: Int64)
    /// The exchange refused a request; the connection is made anew.
    case refused(slot: Int, generation: UInt32, text: String)
    /// The exchange will end the connection.
    case serverShutdown(slot: Int, generation: UInt32)
    /// Close everything and read no more.
    case stop
    case resolved(slot: Int, generation: UInt32, addresses: [ck_address])
    case unresolved(slot: Int, generation: UInt32, reason: String)
}
