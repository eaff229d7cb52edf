import Batching
import ExchangeAdapter
import Logging
import MarketData
import Publishing
import Rings
import Wire

/// Everything that a configuration file says, checked, with defaults filled in. Made by
/// ``Configuration/load(file:context:)``.
public struct Configuration: Sendable {
    /// The process.
    public var collector = Collector()
    /// The markets, at least one.
    public var exchanges: [Exchange] = []
    /// How events become batches.
    public var batching = Batching()
    /// Where batches go.
    public var sink = Sink(type: .null)
    /// Where batches wait that the sink cannot have now.
    public var spool = Spool()
    /// The management API.
    public var api = API()
    /// Log lines.
    public var log = Log()

    /// The defaults, without an exchange, into the null sink.
    public init() {}

    /// `collector:`.
    public struct Collector: Sendable {
        /// The instance's name in messages and logs.
        public var name = "demo"
        /// How many lanes: 1…64.
        public var lanes = 1
        /// CPUs for the stage threads, in the order of the message's way, lane by lane; fewer than there are threads
        /// leave the rest unpinned.
        public var pin: [Int] = []
        /// Pin by the cpuset that the process was given, if it is smaller than the machine; ``pin`` is empty then.
        public var pinsByCpuset = false
        /// What stage threads do when there is nothing to do.
        public var idle = IdleStrategy.adaptive
        /// What the I/O threads wait for their sockets with.
        public var backend = Backend.auto
        /// How stages are put on threads.
        public var threads = Threads.auto
        /// For spool and checkpoint.
        public var dataDirectory = "./data"
        /// Bytes of each lane's frame ring.
        public var frameRingBytes = 8 << 20
        /// Bytes of each lane's event ring.
        public var eventRingBytes = 8 << 20
        /// Bytes of the batch ring.
        public var batchRingBytes = 32 << 20
        /// Connection attempts that all connections together make in a window; nil: what the exchange allows.
        public var connectionAttempts: ConnectionAttempts?
        /// The defaults.
        public init() {}
    }

    /// `collector.connectionAttempts:`.
    public struct ConnectionAttempts: Sendable, Equatable {
        /// Attempts.
        public var perWindow = 300
        /// The window, ns.
        public var windowNanos: Int64 = 300_000_000_000
        /// Binance's: 300 in 5 minutes from one address.
        public init() {}
    }

    /// `collector.backend`.
    public enum Backend: String, Sendable, CaseIterable {
        /// epoll; see `ReactorBackend` for why.
        case auto
        /// epoll.
        case epoll
        /// io_uring where the probe at start says that it works, else epoll with a warning that names the cause.
        case uring = "io_uring"

        /// What is asked of the I/O threads.
        var reactor: ReactorBackend { self == .uring ? .uring : .epoll }
    }

    /// `collector.threads`.
    public enum Threads: String, Sendable, CaseIterable {
        /// By the number of CPUs.
        case auto
        /// A thread for each stage.
        case stage
        /// A lane's stages share one thread.
        case lane
        /// Everything on one thread.
        case single
    }

    /// An element of `exchanges:`.
    public struct Exchange: Sendable {
        /// The adapter's name: `binance`.
        public var adapter: String
        /// One of the adapter's markets.
        public var market: String
        /// The market's name in topics, events and metrics, from the adapter: `binance-usdm`.
        public var exchange: String
        /// Where to connect to, in order of preference, at least one; the exchange's own unless the file says
        /// otherwise. Legs prefer different ones.
        public var endpoints: [Endpoint]
        /// `https://host:port` for REST; nil: the exchange's own.
        public var restEndpoint: String?
        /// How holes are filled over REST.
        public var repair = RepairSettings()
        /// The unit of the times that the exchange is asked for.
        public var timeUnit = TimeUnit.millisecond
        /// How the server is verified.
        public var tls = TLS()
        /// Whether compressed messages are offered to the exchange.
        public var deflate = false
        /// How the network is used.
        public var network = NetworkSettings()
        /// Connections that carry the same streams; 2 is a redundant pair.
        public var legs = 1
        /// How connections may behave: the adapter's limits with what the file changes of them.
        public var limits: ConnectionLimits
        /// Largest message, bytes; a larger one ends the connection.
        public var maxMessageBytes: Int {
            get { limits.messageBytes }
            set { limits.messageBytes = newValue }
        }
        /// What is wanted, as written.
        public var subscriptions: [Subscription] = []
        /// The streams that the adapter makes of the subscriptions.
        public var streams: [StreamPlan] = []

        /// A market without subscriptions.
        public init(
            adapter: String, market: String, exchange: String, endpoints: [Endpoint],
            limits: ConnectionLimits = ConnectionLimits()
        ) {
            self.adapter = adapter
            self.market = market
            self.exchange = exchange
            self.endpoints = endpoints
            self.limits = limits
        }
    }

    /// `exchanges[].timeUnit`.
    public enum TimeUnit: String, Sendable, CaseIterable {
        /// The exchanges' default.
        case millisecond
        /// For finer feed latencies, where the market has it.
        case microsecond
    }

    /// `exchanges[].tls:`.
    public struct TLS: Sendable, Hashable {
        /// A PEM file that is trusted instead of the system's store.
        public var certificateAuthority: String?
        /// Whether certificate and host name are checked.
        public var verify = true
        /// The least version that is spoken.
        public var minimum = TLSContext.Version.tls12
        /// Who opens the records of TLS 1.3.
        public var records = TLSContext.Records.direct
        /// The defaults.
        public init() {}
    }

    /// `batching:`.
    public struct Batching: Sendable {
        /// Events after which a batch closes.
        public var maxEvents = 500
        /// Bytes of JSON after which a batch closes.
        public var maxBytes = 65_536
        /// Age at which a batch closes, ns.
        public var maxDelayNanos: Int64 = 1_000_000
        /// What is done to closed batches.
        public var compression = Compression.zstd
        /// Batches of less JSON are not compressed, bytes; 0: all are.
        public var compressMinBytes = 0
        /// zstd's level.
        public var level = 1
        /// Bytes that zstd looks back, a power of two; 0: by level and size.
        public var windowBytes = 0
        /// Which dictionaries batches are compressed with.
        public var dictionary = DictionarySource.none
        /// One message for each event, or for each batch.
        public var payload = PayloadMode.batch
        /// Whether a batch closes at once when the publisher has nothing to do.
        public var closeWhenIdle = true
        /// The defaults.
        public init() {}
    }

    /// `batching.compression`.
    public enum Compression: String, Sendable, CaseIterable {
        /// zstd frames.
        case zstd
        /// Plain text.
        case none
    }

    /// `batching.dictionary`.
    public enum DictionarySource: Sendable, Equatable {
        /// None: `zstdcat` reads what is written.
        case none
        /// Those that the program brings.
        case embedded
        /// A directory of `<type>.zdict`, as `train-dictionary` makes it.
        case directory(String)

        /// As in the configuration.
        public var text: String {
            switch self {
            case .none: "none"
            case .embedded: "embedded"
            case .directory(let path): path
            }
        }
    }

    /// `sink:`.
    public struct Sink: Sendable {
        /// Which sink.
        public var type: SinkType
        /// Google Cloud project; empty unless ``type`` is pubsub.
        public var project = ""
        /// Template of topic ids.
        public var topic = "market.{type}.{exchange}.{symbol}"
        /// Template of ordering keys; empty: none.
        public var orderingKey = "{exchange}:{symbol}"
        /// Whether topics that are missing are made.
        public var createTopics = true
        /// Directory of the file sink.
        public var path = ""
        /// Bytes after which a segment of the file sink ends.
        public var rotateBytes = 64 << 20
        /// Age at which a segment of the file sink ends, s.
        public var rotateSeconds = 300
        /// Bytes that Pub/Sub or NATS has not acknowledged at most.
        public var maxInFlightBytes = 32 << 20
        /// HTTP/2 connections to Pub/Sub at most; one where one is enough.
        public var connections = 4
        /// Topics made in a minute at most.
        public var createsPerMinute = 3_000
        /// What topics that are made are to have.
        public var topics = TopicSettings()
        /// `http://host:port` or `https://…` instead of Google's own; the emulator's where PUBSUB_EMULATOR_HOST is set.
        public var endpoint: String?
        /// Stream of NATS JetStream that keeps the messages.
        public var stream = "MARKET"
        /// Who the collector is at the NATS server.
        public var credentials = NATSCredentials.none
        /// A sink with defaults.
        public init(type: SinkType) { self.type = type }
    }

    /// `sink.type`.
    public enum SinkType: String, Sendable, CaseIterable {
        /// Google Cloud Pub/Sub.
        case pubsub
        /// A stream of NATS JetStream.
        case nats
        /// Segments in a directory.
        case file
        /// Lines on standard output.
        case stdout
        /// Nowhere, for measuring.
        case null
    }

    /// `spool:`; for Pub/Sub only.
    public struct Spool: Sendable {
        /// Whether there is one.
        public var isEnabled = true
        /// Bytes of all segments at most.
        public var maxBytes = 8 << 30
        /// Age at which batches are dropped, ns; 0: none are.
        public var maxAge: Int64 = 0
        /// Bytes of a segment.
        public var segmentBytes = 16 << 20
        /// When what was written is made to outlast the machine.
        public var fsync = SpoolSync.interval
        /// For `interval`, ns.
        public var fsyncInterval: Int64 = 1_000_000_000
        /// What happens at ``maxBytes``.
        public var whenFull = SpoolLimitPolicy.block
        /// What Pub/Sub has not acknowledged after so long is put on disk, ns.
        public var after: Int64 = 1_000_000_000
        /// Batches older than this make the collector not ready, ns.
        public var warnAge: Int64 = 30_000_000_000
        /// Age of a batch at most while others of its topic and key wait on disk before it, ns; where it is longer than
        /// ``Batching/maxDelayNanos``.
        public var batchDelay: Int64 = 250_000_000
        /// The defaults.
        public init() {}
    }

    /// `api:`.
    public struct API: Sendable {
        /// Where to listen; nil: no API.
        public var listen: ListenAddress? = ListenAddress(host: "127.0.0.1", port: 8080)
        /// Bearer token that every request must carry; nil: none.
        public var token: String?
        /// The defaults.
        public init() {}
    }

    /// `log:`.
    public struct Log: Sendable {
        /// Least level that is written.
        public var level = Logger.Level.info
        /// Form of the lines.
        public var format = LogFormat.text
        /// The defaults.
        public init() {}
    }

    /// `log.format`.
    public enum LogFormat: String, Sendable, CaseIterable {
        /// For people.
        case text
        /// Cloud Logging's fields.
        case json
    }
}

/// An address to listen on: an IP literal and a port.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// `127.0.0.1`, `::1`, `0.0.0.0`, …
    public var host: String
    /// 0: any free one.
    public var port: UInt16

    /// An address.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; nil for anything else.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = String(text[..<colon])
        if host == "localhost" { host = "127.0.0.1" }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard host.contains(":"), host.utf8.allSatisfy(ListenAddress.isIPv6Byte) else { return nil }
        } else {
            let parts = host.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 4, parts.allSatisfy({ UInt8($0) != nil }) else { return nil }
        }
        self.init(host: host, port: port)
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// Whether only this machine can connect.
    public var isLoopback: Bool { host.hasPrefix("127.") || host == "::1" }

    /// `host:port`.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
