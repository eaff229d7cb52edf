import CKernel

/// How connections of one market use the network: `exchanges[].network`.
public struct NetworkSettings: Sendable, Equatable {
    /// Which versions of IP may be used.
    public var ipFamily = IPFamilyChoice.any
    /// Where to connect from; nil: the kernel's choice. Only hosts of its version of IP are connected to.
    public var localAddress: HostAddress?
    /// TCP keep-alive: silence before the first probe, ns, whole seconds.
    public var keepaliveIdleNanos: Int64 = 15_000_000_000
    /// Between two probes, ns, whole seconds.
    public var keepaliveIntervalNanos: Int64 = 5_000_000_000
    /// Probes without an answer that end a connection.
    public var keepaliveCount = 3
    /// TCP_USER_TIMEOUT: until sent data must be acknowledged, ns, whole ms; 0: the kernel's (about 15 minutes).
    public var userTimeoutNanos: Int64 = 20_000_000_000
    /// SO_BUSY_POLL: how long a read looks at the network card itself, ns, whole µs; 0: not at all.
    public var busyPollNanos: Int64 = 0
    /// SO_RCVBUF, bytes; 0: the kernel tunes it.
    public var receiveBufferBytes = 0
    /// Which proxy, and for which hosts.
    public var proxy = ProxySettings.none

    /// The defaults above.
    public init() {}

    /// The versions of IP to try, the one to begin with in front.
    var families: [IPFamily] { localAddress.map { [$0.family] } ?? ipFamily.families }

    var socketOptions: ck_socket_options {
        ck_socket_options(
            keepalive_idle: Int32(clamping: keepaliveIdleNanos / 1_000_000_000),
            keepalive_interval: Int32(clamping: keepaliveIntervalNanos / 1_000_000_000),
            keepalive_count: Int32(clamping: keepaliveCount),
            user_timeout: Int32(clamping: userTimeoutNanos / 1_000_000),
            busy_poll: Int32(clamping: busyPollNanos / 1_000),
            receive_buffer: Int32(clamping: receiveBufferBytes),
            local: localAddress?.raw ?? ck_address())
    }

    /// What the kernel did not give of what was asked for, with remedies; empty where all is as asked.
    func shortcomings(of fd: Int32) -> [String] {
        var actual = ck_socket_options()
        var noDelay: Int32 = 0
        var keepalive: Int32 = 0
        guard ck_socket_options_of(fd, &actual, &noDelay, &keepalive) == 0 else { return [] }
        let asked = socketOptions
        var texts: [String] = []
        if asked.receive_buffer > actual.receive_buffer {
            texts.append(
                "the kernel gave a receive buffer of \(actual.receive_buffer) bytes, not \(asked.receive_buffer);"
                    + " raise net.core.rmem_max, or lower network.receiveBuffer")
        }
        if asked.busy_poll > actual.busy_poll {
            texts.append(
                "the kernel refused to poll for \(asked.busy_poll) us; network.busyPoll may need CAP_NET_ADMIN"
            )
        }
        return texts
    }
}
