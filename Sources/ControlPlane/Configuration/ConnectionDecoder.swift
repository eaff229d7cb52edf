import Wire
import Yams

/// Decodes what an element of `exchanges:` says about its connections: `endpoint`, `rollover`, `watchdog`, `limits`.
struct ConnectionDecoder {
    let section: ConfigurationSection
    private var reader: ConfigurationReader { section.reader }

    init(section: ConfigurationSection) { self.section = section }

    /// One address, or a list of them; nil where the key is not there or wrong.
    func decodeEndpoints() -> [Endpoint]? {
        guard let entry = section.entries["endpoint"] else { return nil }
        let path = section.path(of: "endpoint")
        guard case .sequence(let sequence) = entry.value else {
            return reader.scalar(entry.value, path: path).flatMap(endpoint).map { [$0] }
        }
        if sequence.isEmpty {
            section.error("endpoint", "is empty; write ws://HOST:PORT or wss://HOST:PORT")
            return nil
        }
        var endpoints: [Endpoint] = []
        for (index, node) in sequence.enumerated() {
            guard let scalar = reader.scalar(node, path: "\(path)[\(index)]"), let one = endpoint(scalar)
            else { continue }
            if endpoints.contains(one) {
                reader.report(at: scalar.mark, scalar.path, "\(one) is named twice; name each once")
            }
            endpoints.append(one)
        }
        return endpoints.count == sequence.count ? endpoints : nil
    }

    private func endpoint(_ scalar: ConfigurationScalar) -> Endpoint? {
        do {
            return try Endpoint(scalar.text)
        } catch {
            reader.report(
                at: scalar.mark, scalar.path,
                scalar.isSecret
                    ? "is not a WebSocket address; write ws://HOST:PORT or wss://HOST:PORT"
                    : error.description)
            return nil
        }
    }

    /// Changes the adapter's limits as the file says.
    func decode(_ limits: inout ConnectionLimits) {
        if let section = section.section("limits") { decodeLimits(section, &limits) }
        decodeRollover(section.section("rollover"), &limits)
        if let section = section.section("watchdog") { decodeWatchdog(section, &limits) }
    }

    private func decodeLimits(_ section: ConfigurationSection, _ limits: inout ConnectionLimits) {
        let allowed = limits
        limits.lifetimeNanos = section.duration(
            "connectionLifetime", default: limits.lifetimeNanos, in: 1_000_000_000...604_800_000_000_000)
        limits.openNanos = section.duration(
            "openTimeout", default: limits.openNanos, in: 10_000_000...300_000_000_000)
        limits.acknowledgementNanos = section.duration(
            "answerTimeout", default: limits.acknowledgementNanos, in: 10_000_000...300_000_000_000)
        limits.streamsPerConnection = section.integer(
            "streamsPerConnection", default: limits.streamsPerConnection, in: 1...100_000)
        if section.has("messagesPerSecond") {
            let rate = section.integer("messagesPerSecond", default: 0, in: 1...1_000)
            if rate > 0 { limits.frameSpacingNanos = 1_000_000_000 / Int64(rate) }
        }
        // What is higher than the exchange's own limits is for its stand-ins in tests.
        if limits.lifetimeNanos > allowed.lifetimeNanos {
            section.warn(
                "connectionLifetime",
                "the exchange ends connections after \(HumanText.span(allowed.lifetimeNanos)) nonetheless")
        }
        if limits.streamsPerConnection > allowed.streamsHeld {
            section.warn(
                "streamsPerConnection",
                "is more than the \(allowed.streamsHeld) that the exchange takes: one stream too many ends a connection"
                    + " with all others")
        }
        limits.streamsHeld = max(limits.streamsHeld, limits.streamsPerConnection)
        if limits.frameSpacingNanos < allowed.frameSpacingNanos {
            section.warn(
                "messagesPerSecond",
                "is more than the \(1_000_000_000 / allowed.frameSpacingNanos) that leave room for pongs: exchanges"
                    + " end connections that send too much")
        }
    }

    private func decodeRollover(_ section: ConfigurationSection?, _ limits: inout ConnectionLimits) {
        // By default an hour before a day is over, within half an hour; in proportion for other lifetimes.
        limits.rolloverAfterNanos = limits.lifetimeNanos / 24 * 23
        limits.rolloverJitterNanos = limits.lifetimeNanos / 48
        guard let section else { return }
        // A connection that was made within the time of day lives until nearly that time of the next day.
        if section.has("at") { limits.rolloverAfterNanos = limits.lifetimeNanos / 96 * 95 }
        limits.rolloverAfterNanos = section.duration(
            "after", default: limits.rolloverAfterNanos, in: 0...604_800_000_000_000)
        if section.has("after"), !section.has("window") {
            limits.rolloverJitterNanos = limits.rolloverAfterNanos / 46
        }
        limits.rolloverJitterNanos = section.duration(
            "window", default: limits.rolloverJitterNanos, in: 0...86_400_000_000_000)
        if limits.rolloverAfterNanos == 0 {
            section.warn(
                "after",
                "0 switches replacements off: the exchange ends each connection by itself, with a gap")
        } else if limits.rolloverAfterNanos >= limits.lifetimeNanos {
            section.error(
                "after",
                "\(HumanText.span(limits.rolloverAfterNanos)) is no less than a connection's life of"
                    + " \(HumanText.span(limits.lifetimeNanos)); write less, such as"
                    + " \(ConfigurationUnits.text(nanos: limits.lifetimeNanos / 24 * 23))")
        } else if limits.rolloverJitterNanos >= limits.rolloverAfterNanos {
            section.error(
                "window",
                "\(HumanText.span(limits.rolloverJitterNanos)) is no less than after"
                    + " (\(HumanText.span(limits.rolloverAfterNanos))): a connection would be replaced as soon as it"
                    + " is open; write less")
        }
        if let at = section.scalar("at") {
            limits.rolloverWindow = window(at)
            if limits.rolloverWindow != nil, limits.lifetimeNanos < 86_400_000_000_000 {
                section.error(
                    "at",
                    "needs connections that live a day, and these live"
                        + " \(HumanText.span(limits.lifetimeNanos)); leave it out")
            }
        }
    }

    /// `03:00-05:00`, UTC.
    private func window(_ scalar: ConfigurationScalar) -> DayWindow? {
        func fail(_ why: String) -> DayWindow? {
            reader.report(
                at: scalar.mark, scalar.path,
                "\(scalar.shown) \(why); write for example \"03:00-05:00\" (UTC)")
            return nil
        }
        let parts = scalar.text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let begin = second(parts[0]), let end = second(parts[1]) else {
            return fail("is no time of day from HH:MM to HH:MM")
        }
        let window = DayWindow(begin: begin, end: end)
        guard window.length >= 600 else { return fail("is shorter than 10 minutes") }
        return window
    }

    private func second(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2,
            parts.allSatisfy({ $0.count == 2 && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), hour < 24, minute < 60
        else { return nil }
        return hour * 3_600 + minute * 60
    }

    private func decodeWatchdog(_ section: ConfigurationSection, _ limits: inout ConnectionLimits) {
        let range: ClosedRange<Int64> = 10_000_000...86_400_000_000_000
        limits.silenceNanos = section.duration("silence", default: limits.silenceNanos, in: range)
        limits.probeAfterNanos = section.duration("probe", default: limits.probeAfterNanos, in: range)
        limits.probeAnswerNanos = section.duration("answer", default: limits.probeAnswerNanos, in: range)
        limits.streamSilenceNanos = section.duration(
            "streamSilence", default: limits.streamSilenceNanos, in: range)
        limits.streamSilenceFloorNanos = section.duration(
            "streamFloor", default: limits.streamSilenceFloorNanos, in: range)
        if limits.probeAfterNanos >= limits.silenceNanos {
            section.error(
                section.has("probe") ? "probe" : "silence",
                "a connection is probed after \(HumanText.span(limits.probeAfterNanos)) of silence and given up"
                    + " after \(HumanText.span(limits.silenceNanos)), so that no probe would ever be sent; make"
                    + " probe the shorter one")
        }
        if limits.streamSilenceFloorNanos > limits.streamSilenceNanos {
            section.error(
                section.has("streamFloor") ? "streamFloor" : "streamSilence",
                "streamFloor (\(HumanText.span(limits.streamSilenceFloorNanos))) is more than streamSilence"
                    + " (\(HumanText.span(limits.streamSilenceNanos))); make it the shorter one")
        }
    }
}
