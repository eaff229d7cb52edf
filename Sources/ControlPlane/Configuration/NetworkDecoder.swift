import Wire

/// Decodes `exchanges[].network:` and the proxy that the environment names.
struct NetworkDecoder {
    /// `exchanges[]`.
    let exchange: ConfigurationSection
    /// Where it connects to.
    let endpoints: [Endpoint]

    func decode() -> NetworkSettings {
        var network = NetworkSettings()
        let section = exchange.section("network")
        if let section {
            decodeSockets(section, &network)
            decodeAddresses(section, &network)
        }
        if let scalar = section?.scalar("proxy") {
            network.proxy = explicitProxy(scalar, in: section)
        } else {
            network.proxy = environmentProxy()
        }
        return network
    }

    private func decodeSockets(_ section: ConfigurationSection, _ network: inout NetworkSettings) {
        let second: Int64 = 1_000_000_000
        network.keepaliveIdleNanos = whole(
            section, "keepaliveIdle", default: network.keepaliveIdleNanos, in: second...3_600 * second,
            unit: second, "seconds")
        network.keepaliveIntervalNanos = whole(
            section, "keepaliveInterval", default: network.keepaliveIntervalNanos, in: second...600 * second,
            unit: second, "seconds")
        network.keepaliveCount = section.integer(
            "keepaliveCount", default: network.keepaliveCount, in: 1...20)
        network.userTimeoutNanos = whole(
            section, "userTimeout", default: network.userTimeoutNanos, in: 0...900 * second, unit: 1_000_000,
            "milliseconds")
        network.busyPollNanos = whole(
            section, "busyPoll", default: network.busyPollNanos, in: 0...10_000_000, unit: 1_000,
            "microseconds")
        // The kernel keeps twice as much, as a signed 32-bit number.
        network.receiveBufferBytes = section.bytes(
            "receiveBuffer", default: network.receiveBufferBytes, in: 0...512 << 20)
    }

    /// A duration that the kernel takes in whole units.
    private func whole(
        _ section: ConfigurationSection, _ key: String, default fallback: Int64, in range: ClosedRange<Int64>,
        unit: Int64, _ name: String
    ) -> Int64 {
        let value = section.duration(key, default: fallback, in: range)
        guard value % unit != 0 else { return value }
        section.error(
            key, "\(ConfigurationUnits.text(nanos: value)) is not a whole number of \(name); write one")
        return fallback
    }

    private func decodeAddresses(_ section: ConfigurationSection, _ network: inout NetworkSettings) {
        network.ipFamily = section.choice("ipFamily", default: network.ipFamily)
        guard let scalar = section.scalar("localAddress") else { return }
        guard let address = HostAddress(literal: scalar.text) else {
            section.error(
                "localAddress",
                "\(scalar.shown) is not an IP address; write one of this machine's, such as 10.0.0.5 or 2001:db8::5"
            )
            return
        }
        if network.ipFamily != .any, network.ipFamily.rawValue != "\(address.family)" {
            section.error(
                "localAddress",
                "\(scalar.shown) is no address of ipFamily \(network.ipFamily.rawValue); leave one of the two out"
            )
        }
        network.localAddress = address
    }

    /// Messages never hold the text: it may have a password.
    private func explicitProxy(_ scalar: ConfigurationScalar, in section: ConfigurationSection?)
        -> ProxySettings
    {
        if scalar.text == "none" { return .none }
        do {
            return .always(try NetworkProxy(scalar.text))
        } catch {
            section?.error("proxy", "\(error.description), or none")
            return .none
        }
    }

    /// The lower-case names win, as in curl.
    private func environmentProxy() -> ProxySettings {
        let environment = exchange.reader.context.environment
        func first(_ names: [String]) -> (name: String, text: String)? {
            for name in names {
                if let text = environment[name], !text.isEmpty { return (name, text) }
            }
            return nil
        }
        guard let (name, text) = first(["https_proxy", "HTTPS_PROXY"]) else { return .none }
        let exceptions = ProxyExceptions(first(["no_proxy", "NO_PROXY"])?.text ?? "")
        do {
            return .environment(try NetworkProxy(text), except: exceptions)
        } catch {
            guard endpoints.contains(where: { ProxySettings.usesEnvironment(for: $0, except: exceptions) })
            else { return .none }
            exchange.error(
                "network", "the environment variable \(name) \(error.description); or set network.proxy: none"
            )
            return .none
        }
    }
}
