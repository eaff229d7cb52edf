import Logging
import MarketData
import Wire

extension Collector {
    /// Writes what the stages have to tell to the log. Called again and again by the control plane.
    public func logNotices() {
        let plan = live.fleet.plan
        for (index, lane) in lanes.enumerated() {
            for notice in lane.wireMonitor.notices.drain() {
                let level: Logger.Level =
                    switch notice.level {
                    case .info: .info
                    case .warning: .warning
                    case .error: .error
                    }
                let slots = plan.lanes[index].slots
                let market = notice.slot < slots.count ? slots[notice.slot].market : 0
                logger.log(
                    level: level, "connection \(index).\(notice.slot): \(notice.text)",
                    metadata: ["exchange": "\(configuration.exchanges[market].exchange)"])
            }
            for gap in lane.gapNotices.drain(limit: 65_536) {
                let instrument = lane.instruments.instrument(at: gap.instrument)
                continuity.note(gap, of: instrument)
                let ids =
                    gap.kind == .kline
                    ? "\(Interval(rawValue: gap.variant)?.name ?? "") bars that opened from"
                        + " \(ContinuityText.time(gap.firstMissing)) to \(ContinuityText.time(gap.lastMissing))"
                        + " of \(instrument.symbol)"
                    : "\(gap.kind.name) ids \(gap.firstMissing) to \(gap.lastMissing) of \(instrument.symbol)"
                let text =
                    switch (gap.state, gap.cause) {
                    case (.repaired, _): "gap: \(ids) have come after all"
                    case (.absent, _): "gap: the exchange itself has no \(ids)"
                    case (.lost, _): "gap: \(ids) are lost"
                    case (_, .restart): "gap: the exchange began to count anew: \(ids) are missing"
                    default: "gap: \(ids) are missing"
                    }
                logger.log(
                    level: gap.state == .repaired ? .info : .warning, "\(text)",
                    metadata: [
                        "exchange": "\(instrument.exchange)", "symbol": "\(instrument.symbol)",
                        "type": "\(gap.kind.name)", "firstMissing": "\(gap.firstMissing)",
                        "lastMissing": "\(gap.lastMissing)", "cause": "\(gap.cause.name)",
                    ])
            }
        }
        for note in ledger.fetchNotes() {
            logger.log(level: note.isProblem ? .error : .info, "sink: \(note.text)")
        }
    }
}
