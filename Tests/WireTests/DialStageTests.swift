import CKernel
import Testing

@testable import Rings
@testable import Wire

/// Opening connections on real sockets.
@Suite(.serialized, OnBothBackends()) struct DialStageTests {
    // MARK: Addresses

    @Test func aHostThatDropsCostsOneDelay() throws {
        let server = try ScriptedServer()
        let hole = try Blackhole(address: "127.0.0.3", port: server.port)
        let bench = try DialBench([try DialBench.plan("ws://host.test:\(server.port)")])
        bench.peers = [server.pump]
        bench.names["host.test"] = ["127.0.0.3", "127.0.0.1"]
        let begin = ck_monotonic_nanos()
        try bench.turn { bench.isOpen() }
        let took = ck_monotonic_nanos() - begin
        #expect(took < 2_000_000_000, "\(took / 1_000_000) ms")
        #expect(bench.noticed("at 127.0.0.1:\(server.port)"))
        #expect(bench.monitor.endCount(.connect, ofSlot: 0) == 0)
        withExtendedLifetime(hole) {}
    }

    /// 127.0.0.2 and ::1 refuse, or this machine has no IPv6 at all: either way the next one's turn is at once.
    @Test func hostsThatRefuseCostNothing() throws {
        let server = try ScriptedServer()
        let bench = try DialBench([try DialBench.plan("ws://host.test:\(server.port)")])
        bench.peers = [server.pump]
        bench.names["host.test"] = ["::1", "127.0.0.2", "127.0.0.4", "127.0.0.1"]
        try bench.turn { bench.isOpen() }
        #expect(bench.monitor.endCount(.connect, ofSlot: 0) == 0)
        #expect(bench.asked == ["host.test"])
    }

    @Test func everyAttemptAsksAnewAndAFailureIsFollowedByAnotherHost() throws {
        let first = try ScriptedServer()
        let second = try ScriptedServer(address: "127.0.0.2", port: first.port)
        first.answer = { _ in Array("HTTP/1.1 503 Busy\r\n\r\n".utf8) }
        let bench = try DialBench([try DialBench.plan("ws://host.test:\(first.port)")])
        bench.peers = [first.pump, second.pump]
        bench.names["host.test"] = ["127.0.0.1", "127.0.0.2"]
        try bench.turn { bench.isOpen() }
        #expect(first.acceptedCount == 1 && second.acceptedCount == 1)
        #expect(bench.asked.count == 2)
        // A connection that ends counts against its host as well.
        first.answer = ScriptedServer.accept
        second.disconnect()
        try bench.turn { bench.isOpen(times: 2) }
        #expect(first.acceptedCount == 2 && second.acceptedCount == 1)
    }

    @Test func legsOfAPairUseDifferentHosts() throws {
        let first = try ScriptedServer()
        let second = try ScriptedServer(address: "127.0.0.2", port: first.port)
        let plans = try (0..<2).map { leg in
            try DialBench.plan("ws://host.test:\(first.port)", slot: leg) {
                $0.shard = 0
                $0.leg = leg
            }
        }
        let bench = try DialBench(plans)
        bench.peers = [first.pump, second.pump]
        bench.names["host.test"] = ["127.0.0.1", "127.0.0.2"]
        try bench.turn { bench.isOpen(0) && bench.isOpen(1) }
        #expect(first.acceptedCount == 1 && second.acceptedCount == 1)
        for leg in 0..<2 { #expect(bench.monitor.endCount(.openTimeout, ofSlot: leg) == 0) }
    }

    @Test func anUnknownNameIsSaid() throws {
        let bench = try DialBench([try DialBench.plan("ws://host.test")])
        bench.names["host.test"] = []
        try bench.turn { bench.monitor.endCount(.resolve, ofSlot: 0) >= 2 }
        #expect(
            bench.noticed("host.test could not be resolved: Name or service not known; likely cause: a wrong")
        )
    }

    @Test func onlyTheWantedVersionOfIPIsUsed() throws {
        let server = try ScriptedServer()
        let bench = try DialBench([
            try DialBench.plan("ws://host.test:\(server.port)") { $0.network.ipFamily = .v6 }
        ])
        bench.peers = [server.pump]
        bench.names["host.test"] = ["127.0.0.1"]
        try bench.turn { bench.monitor.endCount(.resolve, ofSlot: 0) == 1 }
        for _ in 0..<3 { bench.turn() }
        #expect(bench.noticed("it has no IPv6 address; see network.ipFamily"))
        #expect(server.acceptedCount == 0)
    }

    // MARK: The budget

    private func used(_ bench: DialBench) -> Int { bench.budget.used(ck_monotonic_nanos()) }

    @Test func attemptsThatNeverLeftThisMachineAreGivenBack() throws {
        let server = try ScriptedServer()
        // No such name.
        let nameless = try DialBench([try DialBench.plan("ws://host.test")])
        nameless.names["host.test"] = []
        try nameless.turn { nameless.monitor.failedAttemptCount(.resolve, ofSlot: 0) >= 5 }
        #expect(used(nameless) <= 1)
        // A resolver that hangs.
        let hanging = try DialBench([
            try DialBench.plan("ws://host.test") { $0.limits.openNanos = 20_000_000 }
        ])
        try hanging.turn { hanging.monitor.failedAttemptCount(.openTimeout, ofSlot: 0) >= 5 }
        #expect(used(hanging) <= 1)
        // A local address that this machine has not: no connect is made.
        let homeless = try DialBench([
            try DialBench.plan("ws://host.test:9") {
                $0.network.localAddress = HostAddress(literal: "192.0.2.1")
            }
        ])
        homeless.names["host.test"] = ["127.0.0.1"]
        try homeless.turn { homeless.monitor.failedAttemptCount(.connect, ofSlot: 0) >= 5 }
        #expect(used(homeless) <= 1)
        // A proxy that refuses to be connected to.
        let proxied = try DialBench([
            try DialBench.plan("ws://host.test") {
                $0.network.proxy = .always(try NetworkProxy("http://proxy.test:\(server.port)"))
            }
        ])
        proxied.names["proxy.test"] = ["127.0.0.2"]
        try proxied.turn { proxied.monitor.failedAttemptCount(.connect, ofSlot: 0) >= 5 }
        #expect(used(proxied) <= 1)
    }

    @Test func attemptsThatReachedTheHostAreNot() throws {
        let server = try ScriptedServer()
        let refusing = try DialBench([try DialBench.plan("ws://host.test:\(server.port)")])
        refusing.names["host.test"] = ["127.0.0.2"]
        try refusing.turn { refusing.monitor.failedAttemptCount(.connect, ofSlot: 0) >= 5 }
        #expect(used(refusing) >= 5)
        let hole = try Blackhole(address: "127.0.0.3", port: server.port)
        let dropping = try DialBench([
            try DialBench.plan("ws://host.test:\(server.port)") { $0.limits.openNanos = 20_000_000 }
        ])
        dropping.names["host.test"] = ["127.0.0.3"]
        try dropping.turn { dropping.monitor.failedAttemptCount(.openTimeout, ofSlot: 0) >= 5 }
        #expect(used(dropping) >= 5)
        // A proxy that was asked may have asked the exchange.
        let proxy = try ScriptedProxy()
        proxy.answer = { _ in Array("HTTP/1.1 502 Bad Gateway\r\n\r\n".utf8) }
        let bench = try throughProxy("ws://host.test", proxy)
        bench.peers = [proxy.pump]
        try bench.turn { bench.monitor.failedAttemptCount(.proxy, ofSlot: 0) >= 3 }
        #expect(used(bench) >= 3)
        withExtendedLifetime(hole) {}
    }

    // MARK: What the monitor tells

    @Test func reconnectsAreToldFromFailedAttempts() throws {
        let server = try ScriptedServer()
        let bench = try DialBench([try DialBench.plan("ws://host.test:\(server.port)")])
        bench.peers = [server.pump]
        bench.names["host.test"] = ["127.0.0.1"]
        #expect(bench.monitor.openGeneration(ofSlot: 0, side: 0) == nil)
        try bench.turn { bench.isOpen() && bench.monitor.liveSince(ofSlot: 0) != nil }
        let generation = try #require(bench.monitor.openGeneration(ofSlot: 0, side: 0))
        let since = try #require(bench.monitor.liveSince(ofSlot: 0))
        #expect(bench.monitor.openGeneration(ofSlot: 0, side: 1) == nil)
        // The next two attempts fail.
        bench.names["host.test"] = ["127.0.0.2"]
        server.disconnect()
        try bench.turn { bench.monitor.failedAttemptCount(.connect, ofSlot: 0) >= 2 }
        #expect(bench.monitor.liveSince(ofSlot: 0) == nil)
        #expect(bench.monitor.openGeneration(ofSlot: 0, side: 0) == nil)
        #expect(bench.monitor.reconnectCount(.connect, ofSlot: 0) == 0)
        bench.names["host.test"] = ["127.0.0.1"]
        try bench.turn { bench.isOpen(times: 2) && bench.monitor.liveSince(ofSlot: 0) != nil }
        #expect(try #require(bench.monitor.openGeneration(ofSlot: 0, side: 0)) > generation)
        #expect(try #require(bench.monitor.liveSince(ofSlot: 0)) > since)
        let reconnects = ConnectionEnd.allCases.reduce(0) { $0 + bench.monitor.reconnectCount($1, ofSlot: 0) }
        #expect(reconnects == 1)
    }

    // MARK: The open deadline

    @Test func aResolverThatHangsIsGivenUp() throws {
        let server = try ScriptedServer()
        let bench = try DialBench([
            try DialBench.plan("ws://host.test:\(server.port)") { $0.limits.openNanos = 30_000_000 }
        ])
        bench.peers = [server.pump]
        try bench.turn { bench.monitor.endCount(.openTimeout, ofSlot: 0) >= 2 }
        #expect(bench.noticed("was not resolved in time; likely cause: the name server does not answer"))
        bench.names["host.test"] = ["127.0.0.1"]
        try bench.turn { bench.isOpen() }
    }

    @Test func theDeadlineNamesWhereItStands() throws {
        let server = try ScriptedServer()
        server.answer = nil
        let hole = try Blackhole(address: "127.0.0.3", port: server.port)
        let certificates = try Certificates()
        let context = try TLSContext(certificateAuthority: certificates.authority)
        let cases: [(endpoint: String, address: String, text: String)] = [
            ("ws", "127.0.0.3", "(127.0.0.3:\(server.port)) took too long; likely cause: a firewall"),
            // A server that takes the client's hello and says nothing.
            (
                "wss", "127.0.0.1",
                "TLS with wss://host.test:\(server.port) at 127.0.0.1:\(server.port) took too long"
            ),
            ("ws", "127.0.0.1", "at 127.0.0.1:\(server.port) did not answer the upgrade in time"),
        ]
        for (scheme, address, text) in cases {
            let bench = try DialBench(
                [
                    try DialBench.plan("\(scheme)://host.test:\(server.port)") {
                        $0.limits.openNanos = 100_000_000
                    }
                ], contexts: [context])
            bench.peers = [server.pump]
            bench.names["host.test"] = [address]
            try bench.turn { bench.monitor.endCount(.openTimeout, ofSlot: 0) >= 1 }
            for _ in 0..<3 { bench.turn() }
            #expect(bench.noticed(text), "\(bench.notices.map(\.text))")
            #expect(bench.noticed("gave up after 100 ms"))
            server.disconnect()
        }
        withExtendedLifetime(hole) {}
    }

    // MARK: Sockets

    @Test func socketsAreToldWhatTheConfigurationSays() throws {
        let server = try ScriptedServer()
        var network = NetworkSettings()
        network.keepaliveIdleNanos = 7_000_000_000
        network.keepaliveIntervalNanos = 3_000_000_000
        network.keepaliveCount = 4
        network.userTimeoutNanos = 11_500_000_000
        network.busyPollNanos = 50_000
        network.receiveBufferBytes = 65_536
        network.localAddress = HostAddress(literal: "127.0.0.9")
        for settings in [network, NetworkSettings()] {
            let bench = try DialBench([
                try DialBench.plan("ws://127.0.0.1:\(server.port)") { $0.network = settings }
            ])
            bench.peers = [server.pump]
            bench.names["127.0.0.1"] = ["127.0.0.1"]
            try bench.turn { bench.isOpen() }
            let fd = try #require(bench.socket())
            var actual = ck_socket_options()
            var noDelay: Int32 = 0
            var keepalive: Int32 = 0
            try #require(ck_socket_options_of(fd, &actual, &noDelay, &keepalive) == 0)
            #expect(noDelay == 1 && keepalive == 1)
            let asked = settings.socketOptions
            #expect(actual.keepalive_idle == asked.keepalive_idle)
            #expect(actual.keepalive_interval == asked.keepalive_interval)
            #expect(actual.keepalive_count == asked.keepalive_count)
            #expect(actual.user_timeout == asked.user_timeout)
            if settings.receiveBufferBytes > 0 { #expect(actual.receive_buffer == asked.receive_buffer) }
            // Raising it may need CAP_NET_ADMIN; then it is said.
            #expect(actual.busy_poll == asked.busy_poll || bench.noticed("network.busyPoll may need"))
            let local = try #require(HostAddress(actual.local))
            #expect(
                local.isSameHost(
                    as: try #require(
                        HostAddress(literal: settings.localAddress == nil ? "127.0.0.1" : "127.0.0.9"))))
            server.disconnect()
        }
        #expect(NetworkSettings().socketOptions.keepalive_idle == 15)
        #expect(NetworkSettings().socketOptions.user_timeout == 20_000)
    }

    @Test func whatTheKernelDoesNotGiveIsSaidOnce() throws {
        let server = try ScriptedServer()
        let bench = try DialBench([
            try DialBench.plan("ws://host.test:\(server.port)") { $0.network.receiveBufferBytes = 512 << 20 }
        ])
        bench.peers = [server.pump]
        bench.names["host.test"] = ["127.0.0.1"]
        try bench.turn { bench.isOpen() }
        server.disconnect()
        try bench.turn { bench.isOpen(times: 2) }
        #expect(bench.notices.count { $0.text.contains("raise net.core.rmem_max") } == 1)
    }

    @Test func aLocalAddressOfAnotherMachineIsSaid() throws {
        let bench = try DialBench([
            try DialBench.plan("ws://host.test:9") {
                $0.network.localAddress = HostAddress(literal: "192.0.2.1")
            }
        ])
        bench.names["host.test"] = ["127.0.0.1"]
        try bench.turn { bench.monitor.endCount(.connect, ofSlot: 0) >= 1 }
        for _ in 0..<3 { bench.turn() }
        #expect(
            bench.noticed("network.localAddress is not one of this machine's"), "\(bench.notices.map(\.text))"
        )
    }

    // MARK: TLS

    @Test(arguments: [12, 13] as [Int32], RecordReader.allCases)
    func aReconnectResumesItsSession(version: Int32, reader: RecordReader) throws {
        let certificates = try Certificates()
        let server = try certificates.server()
        try server.restartTLS(maximum: version)
        let bench = try DialBench(
            [try DialBench.plan("wss://localhost:\(server.port)")],
            contexts: [try reader.context(certificates.authority)])
        bench.peers = [server.pump]
        bench.names["localhost"] = ["127.0.0.1"]
        let name = version == 12 ? "TLSv1.2" : "TLSv1.3"
        func connected() -> [String] {
            bench.notices.map(\.text).filter { $0.hasPrefix("connected") }
        }
        for count in 1...6 {
            // The server forgets: the handshake is done in full, and the session after it can be resumed again.
            if count == 4 { try server.restartTLS(maximum: version) }
            try bench.turn { connected().count == count }
            server.disconnect()
        }
        #expect(connected().allSatisfy { $0.contains(name) })
        #expect(connected().allSatisfy { $0.contains("direct") == (version == 13 && reader.isDirect) })
        #expect(connected().map { $0.contains("resumed") } == [false, true, true, false, true, true])
    }

    /// Sessions belong to a name and a port: another server must prove who it is.
    @Test func sessionsAreNotCarriedOverToOtherPeers() throws {
        let certificates = try Certificates()
        let servers = [try certificates.server(), try certificates.server()]
        let context = try TLSContext(certificateAuthority: certificates.authority)
        let plans = try servers.enumerated().map { index, server in
            try DialBench.plan("wss://localhost:\(server.port)", slot: index)
        }
        let bench = try DialBench(plans, contexts: [context])
        bench.peers = servers.map { $0.pump }
        bench.names["localhost"] = ["127.0.0.1"]
        try bench.turn { bench.isOpen(0) && bench.isOpen(1) }
        #expect(!bench.noticed("resumed"))
    }

    @Test func theLeastVersionOfTLSIsKept() throws {
        let certificates = try Certificates()
        let server = try certificates.server()
        try server.restartTLS(maximum: 12)
        let context = try TLSContext(certificateAuthority: certificates.authority, minimum: .tls13)
        let bench = try DialBench([try DialBench.plan("wss://localhost:\(server.port)")], contexts: [context])
        bench.peers = [server.pump]
        bench.names["localhost"] = ["127.0.0.1"]
        try bench.turn { bench.monitor.endCount(.tls, ofSlot: 0) >= 1 }
        for _ in 0..<3 { bench.turn() }
        #expect(bench.noticed("no common version of TLS; see tls.minimum"), "\(bench.notices.map(\.text))")
        try server.restartTLS()
        try bench.turn { bench.isOpen() }
        #expect(bench.noticed("TLSv1.3"))
    }

    // MARK: Proxy

    private func throughProxy(
        _ endpoint: String, _ proxy: ScriptedProxy, user: String = "", context: TLSContext? = nil
    ) throws -> DialBench {
        let settings = ProxySettings.always(try NetworkProxy("http://\(user)proxy.test:\(proxy.port)"))
        let plan = try DialBench.plan(endpoint) {
            $0.network.proxy = settings
            $0.limits.openNanos = 2_000_000_000
        }
        let bench = try DialBench([plan], contexts: context.map { [$0] } ?? [])
        bench.names["proxy.test"] = ["127.0.0.1"]
        return bench
    }

    @Test func connectionsGoThroughTheProxy() throws {
        let certificates = try Certificates()
        let context = try TLSContext(certificateAuthority: certificates.authority)
        for isTLS in [false, true] {
            let server = isTLS ? try certificates.server() : try ScriptedServer()
            let proxy = try ScriptedProxy()
            let bench = try throughProxy(
                "\(isTLS ? "wss" : "ws")://localhost:\(server.port)", proxy, user: "user:hunter2@",
                context: context)
            bench.peers = [server.pump, proxy.pump]
            try bench.turn { bench.isOpen() }
            // The host's name is the proxy's to resolve.
            #expect(bench.asked == ["proxy.test"])
            #expect(proxy.requests.count == 1)
            #expect(proxy.requests[0].hasPrefix("CONNECT localhost:\(server.port) HTTP/1.1\r\n"))
            #expect(proxy.requests[0].contains("\r\nProxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n"))
            #expect(bench.noticed("through http://proxy.test:\(proxy.port)"))
            #expect(!bench.noticed("hunter2") && !bench.noticed("user"))
            server.outgoing += frame(1, [65])
            try bench.turn { bench.monitor.frameCount(ofSlot: 0) == 1 }
        }
    }

    @Test(arguments: [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "it wants a user: write http://USER:PASSWORD@"
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "its rules do not allow this host or port"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!", "it cannot reach or resolve the host"),
        ("220 smtp.example ESMTP\r\n", "not HTTP/1.1; likely cause: no proxy listens there"),
        ("HTTP/1.1 200 OK\r\n\r\n<html>", "6 bytes that nobody asked for"),
        ("", "closed instead of answering"),
        ("HTTP/1.1 2", "closed instead of answering"),
    ])
    func refusalsOfTheProxyAreSaid(answer: String, text: String) throws {
        let proxy = try ScriptedProxy()
        proxy.answer = { _ in Array(answer.utf8) }
        let bench = try throughProxy("ws://host.test", proxy)
        bench.peers = [proxy.pump]
        try bench.turn { bench.monitor.endCount(.proxy, ofSlot: 0) >= 2 }
        #expect(bench.noticed("the proxy http://proxy.test:\(proxy.port)"))
        #expect(bench.noticed(text), "\(bench.notices.map(\.text))")
    }

    @Test func aSilentProxyIsGivenUp() throws {
        let proxy = try ScriptedProxy()
        proxy.isSilent = true
        let settings = ProxySettings.always(try NetworkProxy("http://u:hunter2@127.0.0.1:\(proxy.port)"))
        let bench = try DialBench([
            try DialBench.plan("ws://host.test") {
                $0.network.proxy = settings
                $0.limits.openNanos = 100_000_000
            }
        ])
        bench.peers = [proxy.pump]
        bench.names["127.0.0.1"] = ["127.0.0.1"]
        try bench.turn { bench.monitor.endCount(.openTimeout, ofSlot: 0) >= 1 }
        for _ in 0..<3 { bench.turn() }
        #expect(bench.noticed("did not answer the request for a tunnel to ws://host.test:80 in time"))
        #expect(!bench.noticed("hunter2"))
    }

    @Test func aProxyThatIsNotThereIsSaid() throws {
        let server = try ScriptedServer()
        let settings = ProxySettings.always(try NetworkProxy("127.0.0.2:\(server.port)"))
        let bench = try DialBench([
            try DialBench.plan("ws://127.0.0.1:\(server.port)") { $0.network.proxy = settings }
        ])
        bench.names["127.0.0.2"] = ["127.0.0.2"]
        try bench.turn { bench.monitor.endCount(.connect, ofSlot: 0) >= 1 }
        for _ in 0..<3 { bench.turn() }
        #expect(bench.noticed("no connection to the proxy http://127.0.0.2:\(server.port)"))
        #expect(bench.noticed("Connection refused"))
    }
}
