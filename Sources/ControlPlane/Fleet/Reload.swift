import ExchangeAdapter
import Logging
import MarketData

/// Applies a changed configuration file while the collector runs: subscriptions and the API's token at once, everything
/// else is said to need a restart.
public struct Reload: Sendable {
    private let subscriptions: LiveSubscriptions
    private let load: @Sendable () throws -> Configuration.Loaded
    private let logger: Logger
    private let replaceToken: @Sendable (String) -> Void
    /// What runs, its subscriptions aside.
    private let running: Configuration

    /// - Parameters:
    ///   - running: the configuration that the collector was started with.
    ///   - load: reads the file again, and the secrets that it names.
    ///   - replaceToken: makes the API want another token.
    public init(
        running: Configuration, subscriptions: LiveSubscriptions, logger: Logger,
        load: @escaping @Sendable () throws -> Configuration.Loaded,
        replaceToken: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.replaceToken = replaceToken
        self.running = running
        self.subscriptions = subscriptions
        self.logger = logger
        self.load = load
    }

    /// Reads the file and makes the subscriptions those of the file, others that were made over the API included. A
    /// file that is wrong changes nothing. All is logged.
    public func run() {
        let loaded: Configuration.Loaded
        do {
            loaded = try load()
        } catch {
            for line in "\(error)".split(separator: "\n") { logger.error("reload: \(line)") }
            logger.error("reload: nothing was changed; correct the file and send SIGHUP again")
            return
        }
        for warning in loaded.warnings { logger.warning("reload: \(warning.description)") }
        var unapplied = loaded.configuration
        // A token that appears or goes changes what may be asked without one: that is a matter of `listen`, too.
        if let token = unapplied.api.token, running.api.token != nil {
            replaceToken(token)
            unapplied.api.token = running.api.token
        }
        for key in ConfigurationChange.keys(from: running, to: unapplied) {
            logger.warning("reload: \(key) was changed in the file and is not applied; restart to apply it")
        }
        // By name: the file may name markets in another order, or others, which need a restart.
        let wanted = running.exchanges.map { exchange in
            loaded.configuration.exchanges.first { $0.exchange == exchange.exchange }?.streams
        }
        let current = subscriptions.fleet.plan.markets.map(\.streams)
        do {
            let change = try subscriptions.replace(
                with: zip(wanted, current).map { wanted, current in wanted ?? current })
            report(change)
        } catch {
            logger.error("reload: \(error.description); no subscription was changed")
        }
    }

    private func report(_ change: SubscriptionChange) {
        for line in change.lines() { logger.info("reload: \(line)") }
        let connections = "\(change.changedConnections) changed and \(change.newConnections) new connections"
        logger.notice(
            "reload: \(change.added.count) streams added, \(change.removed.count) removed, on \(connections)")
    }
}

/// Which keys of two configurations differ, subscriptions aside.
enum ConfigurationChange {
    /// Key paths, in the order of the configuration; no values: some are secret.
    static func keys(from old: Configuration, to new: Configuration) -> [String] {
        var (old, new) = (old, new)
        var keys: [String] = []
        let names = (old.exchanges.map(\.exchange), new.exchanges.map(\.exchange))
        for name in names.1 where !names.0.contains(name) { keys.append("exchanges: \(name) (added)") }
        for name in names.0 where !names.1.contains(name) { keys.append("exchanges: \(name) (removed)") }
        for exchange in old.exchanges {
            guard let other = new.exchanges.first(where: { $0.exchange == exchange.exchange }) else {
                continue
            }
            let path = "exchanges[\(exchange.exchange)]"
            let found = differences(plain(exchange), plain(other), path: path)
            keys += found
            // Its user and password do not show in its text.
            let proxy = "\(path).network.proxy"
            if exchange.network.proxy != other.network.proxy, !found.contains(proxy) { keys.append(proxy) }
        }
        old.exchanges = []
        new.exchanges = []
        return differences(old, new, path: "") + keys
    }

    private static func plain(_ exchange: Configuration.Exchange) -> Configuration.Exchange {
        var exchange = exchange
        exchange.subscriptions = []
        exchange.streams = []
        // They are those of the collector, which tells of them.
        exchange.limits.attemptsPerWindow = 0
        exchange.limits.attemptWindowNanos = 0
        return exchange
    }

    /// Walks two values of one type; a part that looks different and has no parts that do is named.
    private static func differences(_ old: Any, _ new: Any, path: String) -> [String] {
        guard String(describing: old) != String(describing: new) else { return [] }
        let (left, right) = (Mirror(reflecting: old), Mirror(reflecting: new))
        guard left.displayStyle == .struct, left.children.count == right.children.count else {
            return [path]
        }
        let inner = zip(left.children, right.children).flatMap { old, new in
            let key = key(old.label ?? "")
            // What the limits hold stands under keys of its own.
            return differences(
                old.value, new.value, path: key == "limits" ? path : path.isEmpty ? key : "\(path).\(key)")
        }
        return inner.isEmpty ? [path] : inner
    }

    /// Where a property is not named as its key.
    private static let names = [
        "rolloverAfter": "rollover.after", "rolloverJitter": "rollover.window",
        "rolloverWindow": "rollover.at",
        "silence": "watchdog.silence", "probeAfter": "watchdog.probe", "probeAnswer": "watchdog.answer",
        "streamSilence": "watchdog.streamSilence", "streamSilenceFloor": "watchdog.streamFloor",
        "lifetime": "limits.connectionLifetime", "open": "limits.openTimeout",
        "acknowledgement": "limits.answerTimeout", "frameSpacing": "limits.messagesPerSecond",
        "streamsPerConnection": "limits.streamsPerConnection", "messageBytes": "maxMessageBytes",
        "endpoints": "endpoint", "receiveBufferBytes": "receiveBuffer",
    ]

    private static func key(_ label: String) -> String {
        let plain = label.hasSuffix("Nanos") ? String(label.dropLast(5)) : label
        return names[plain] ?? plain
    }
}
