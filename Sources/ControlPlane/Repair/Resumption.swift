import CKernel
import ExchangeAdapter
import MarketData

/// What a lane takes over from the checkpoint of the last run.
struct Resumption: Sendable {
    private var sequences: [(market: Int, sequence: Checkpoint.Sequence)] = []
    private var holes: [(market: Int, hole: Checkpoint.Hole)] = []

    /// Nothing.
    init() {}

    /// What a checkpoint says of the streams of a lane whose markets are repaired.
    init(_ checkpoint: Checkpoint, lane: FleetPlan.Lane, exchanges: [Configuration.Exchange]) {
        for (market, exchange) in exchanges.enumerated() where exchange.repair.isEnabled {
            var names: Set<Checkpoint.Name> = []
            for stream in lane.streams[market] {
                guard let symbol = stream.symbol else { continue }
                names.insert(
                    Checkpoint.Name(
                        Instrument(exchange: exchange.exchange, symbol: symbol), stream.kind,
                        variant: stream.kind == .kline ? stream.variant : 0))
            }
            sequences += checkpoint.sequences.filter { names.contains($0.name) }.map { (market, $0) }
            holes += checkpoint.holes.filter { names.contains($0.name) }.map { (market, $0) }
        }
    }

    /// Before the parser's first frame.
    func apply(to events: inout EventWriter, instruments: InstrumentTable) {
        let now = ck_monotonic_nanos()
        for (market, one) in sequences {
            guard let instrument = instruments.intern(one.name.symbol, market: market) else { continue }
            events.resume(
                one.name.kind, variant: one.name.variant, instrument: instrument, expected: one.expected,
                newest: one.newest)
        }
        for (market, one) in holes {
            guard let instrument = instruments.intern(one.name.symbol, market: market) else { continue }
            events.resume(
                MissingRange(
                    kind: one.name.kind, variant: one.name.variant, instrument: instrument, market: market,
                    first: one.ids.lowerBound, last: one.ids.upperBound, cause: one.cause, epoch: 0, seen: now
                ))
        }
    }
}
