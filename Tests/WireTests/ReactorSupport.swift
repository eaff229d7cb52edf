import CKernel
import CURing
import Testing

@testable import Rings
@testable import Wire

/// Runs each test of a suite once with every backend that this machine has.
struct OnBothBackends: SuiteTrait, TestTrait, TestScoping {
    /// The one that a test is running with.
    @TaskLocal static var current = ReactorBackend.epoll
    static let available = ReactorBackend.allCases.filter { $0 == .epoll || URing.problem() == nil }

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        for backend in OnBothBackends.available {
            try await OnBothBackends.$current.withValue(backend) { try await function() }
        }
    }
}

extension Trait where Self == OnBothBackends {
    static var onBothBackends: Self { OnBothBackends() }
}

/// A TCP connection over loopback: `near` is what a reactor watches, `far` the peer's end.
final class SocketPair {
    let near: Int32
    private(set) var far: Int32

    init() throws {
        var address = ck_address()
        guard ck_resolve("127.0.0.1", 0, &address, 1) == 1 else {
            throw TestFailure(description: "no loopback")
        }
        let listener = ck_listen(&address, 1)
        guard listener >= 0 else { throw TestFailure(description: "cannot listen: \(listener)") }
        defer { ck_close(listener) }
        guard ck_resolve("127.0.0.1", ck_local_port(listener), &address, 1) == 1 else {
            throw TestFailure(description: "no port")
        }
        near = ck_connect(&address, nil)
        guard near >= 0, ck_wait_readable(listener, 5_000_000_000) == 1 else {
            throw TestFailure(description: "cannot connect: \(near)")
        }
        far = ck_accept(listener)
        guard far >= 0 else { throw TestFailure(description: "cannot accept: \(far)") }
    }

    deinit { closeFar() }

    @discardableResult func send(_ bytes: [UInt8]) -> Int { send(bytes[...]) }

    /// The peer goes: a reset where it has not read everything.
    func closeFar() {
        if far >= 0 { ck_close(far) }
        far = -1
    }

    /// As much as the socket takes.
    @discardableResult func send(_ bytes: ArraySlice<UInt8>) -> Int {
        max(0, bytes.withUnsafeBytes { Int(ck_send(far, $0.baseAddress, $0.count)) })
    }
}

/// A reactor on the backend under test, and what it told.
final class ReactorBench {
    let waker: Waker
    var reactor: Reactor

    /// `rings`: sizes, so that a test reaches the limits.
    init(rings: cu_settings = cu_settings()) throws {
        waker = try Waker()
        reactor = Reactor(backend: OnBothBackends.current, waker: waker, rings: rings)
        guard reactor.backend == OnBothBackends.current else {
            throw TestFailure(description: reactor.problem ?? "another backend")
        }
    }

    /// Events of one wait, by token.
    func wait(nanos: Int64 = 0) -> [UInt64: UInt32] {
        reactor.wait(nanos: nanos)
        defer { reactor.clear() }
        var events: [UInt64: UInt32] = [:]
        for index in 0..<reactor.eventCount {
            let event = reactor.event(index)
            #expect(events.updateValue(event.events, forKey: event.token) == nil)
        }
        return events
    }

    /// Waits until the token is reported with one of `events`; what was reported.
    @discardableResult func wait(for token: UInt64, _ events: Int = CK_READ) throws -> UInt32 {
        let deadline = ck_monotonic_nanos() + 10_000_000_000
        while ck_monotonic_nanos() < deadline {
            if let found = wait(nanos: 10_000_000)[token], found & UInt32(events) != 0 { return found }
        }
        throw TestFailure(description: "\(OnBothBackends.current.rawValue): no event \(events) of \(token)")
    }

    /// One receive call.
    func receive(_ fd: Int32, atMost count: Int = 65_536) -> (bytes: [UInt8], result: Int64, nanos: Int64) {
        var bytes = [UInt8](repeating: 0, count: count)
        var nanos: Int64 = 0
        let source = reactor.source(of: fd)
        let result = bytes.withUnsafeMutableBytes { room in
            room.baseAddress.map { source.receive(into: $0, count: count, nanos: &nanos) } ?? 0
        }
        return (Array(bytes.prefix(max(0, Int(result)))), result, nanos)
    }

    /// Removes and closes.
    func close(_ fd: Int32) {
        reactor.remove(fd)
        ck_close(fd)
    }
}
