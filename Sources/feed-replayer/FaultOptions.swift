import ArgumentParser

/// Options of `serve` that make it misbehave.
struct FaultOptions: ParsableArguments {
    enum Shape: String, ExpressibleByArgument, CaseIterable { case wire, documented }

    @Option(help: "Faults by script: lines as \"at 12s cut 3\", \"every 30s..60s reset any\". See above.")
    var faultScript: String?

    @Option(
        help: ArgumentHelp(
            "Faults by chance: a second and connection (cut, reset, stall, freeze, slow, close, close-CODE, alert, garbage, shutdown), or each time (skip, repeat, silent, deaf, unanswered, refuse, refuse-STATUS, refuse-STATUS-RETRYSECONDS, flood, hang, hang-accept, hang-tls, alert-handshake).",
            valueName: "cut=0.01/s,skip=0.001"))
    var fault: String?

    @Option(
        help:
            "Take commands from a Unix socket at this path, or from standard input (-): a line each, answered by one."
    )
    var control: String?

    @Option(help: "Close connections at this age (as 60s, 24h), or at one drawn from a range (50s..60s).")
    var lifetime: String?

    @Option(help: "Answer every upgrade with this HTTP status.")
    var upgradeStatus: Int?

    @Flag(help: "Never answer an upgrade.")
    var holdHandshake = false

    @Option(help: "Announce a shutdown so many seconds after the feed began.")
    var serverShutdownAfter: Double?

    @Option(help: "Seconds from the notice of a shutdown until the close.")
    var shutdownLead = 5.0

    @Option(help: "Cut a connection after so many market frames.")
    var closeAfterFrames: Int?

    @Option(
        help:
            "Send each line of this file as a text frame when the feed begins; hex:00ff and huge:SIZE make bytes."
    )
    var inject: String?

    @Option(help: "Shape of error answers: as captured or as documented.")
    var errorShape = Shape.wire

    func apply(to options: inout ServerOptions) throws(ReplayerError) {
        if let upgradeStatus {
            guard (200...599).contains(upgradeStatus) else {
                throw .usage("--upgrade-status is an HTTP status")
            }
            options.upgradeStatus = upgradeStatus
        }
        options.holdsHandshake = holdHandshake
        options.serverShutdownAfter = try nanos("--server-shutdown-after", serverShutdownAfter)
        options.shutdownLead = try nanos("--shutdown-lead", shutdownLead) ?? options.shutdownLead
        if let closeAfterFrames {
            guard closeAfterFrames > 0 else { throw .usage("--close-after-frames is a number above 0") }
            options.closeAfterFrames = closeAfterFrames
        }
        if let inject { options.injected = try InjectedFrame.read(path: inject) }
        options.errorShape = errorShape == .wire ? .wire : .documented
        if let faultScript { options.rules = try FaultRule.read(path: faultScript) }
        do throws(FaultSyntaxError) {
            if let fault { options.chances = try FaultChances(reading: fault) }
        } catch {
            throw .usage("--fault: \(error.description)")
        }
        do throws(FaultSyntaxError) {
            var words = FaultWords(lifetime ?? "")
            if lifetime != nil { options.lifetime = try words.durations("a time") }
        } catch {
            throw .usage("--lifetime: \(error.description)")
        }
        options.control = control.map { $0 == "-" ? .standardInput : .socket($0) }
        if options.control == .standardInput, options.lifeline != nil {
            throw .usage("--control - and --exit-with-stdin both want standard input: leave one of them out")
        }
    }

    private func nanos(_ option: String, _ seconds: Double?) throws(ReplayerError) -> Int64? {
        guard let seconds else { return nil }
        guard seconds >= 0, seconds < 1e9 else { throw .usage("\(option) is a number of seconds") }
        return Int64(seconds * 1e9)
    }
}
