import BinanceAdapter
import ExchangeAdapter
import Glibc
import MarketData
import Rings
import Wire

/// Any bytes as a frame of one of Binance's markets: nothing may crash, nothing may be read beyond the slack, and both
/// ways of reading must come to the same events. A space in front keeps the layouts from matching, so that the general
/// reading is asked.
private struct Target: ~Copyable {
    private static let spot = [
        Subscription(kind: .trade, symbols: .some(["BTCUSDT", "币安人生USDT"])),
        Subscription(kind: .aggTrade, symbols: .some(["BNBBTC"])),
        Subscription(kind: .kline, symbols: .some(["BNBBTC"]), interval: .minute1),
        Subscription(kind: .ticker, symbols: .some(["BNBBTC"])),
        Subscription(kind: .ticker, symbols: .some(["BNBBTC"]), window: .hour1),
        Subscription(kind: .ticker, symbols: .all, window: .day1),
        Subscription(kind: .miniTicker, symbols: .some(["BNBBTC"])),
        Subscription(kind: .miniTicker, symbols: .all),
        Subscription(kind: .bookTicker, symbols: .some(["BNBUSDT"])),
        Subscription(kind: .averagePrice, symbols: .some(["BTCUSDT"])),
    ]

    private static func futures(_ symbol: String) -> [Subscription] {
        let one = Subscription.Symbols.some([symbol])
        return [EventKind.trade, .aggTrade, .ticker, .miniTicker, .bookTicker, .markPrice].map {
            Subscription(kind: $0, symbols: one)
        }
            + [EventKind.ticker, .miniTicker, .bookTicker, .markPrice].map {
                Subscription(kind: $0, symbols: .all)
            } + [
                Subscription(kind: .kline, symbols: one, interval: .minute1),
                Subscription(kind: .markPrice, symbols: one, updateSpeed: 3_000_000_000),
            ]
    }

    /// Frames are cut to this, so that all that one can become fits in the ring.
    private static let frameMax = 1 << 14
    private static let instrumentCapacity = 60_000

    private let decoder: any FrameDecoder
    private var writer: EventWriter
    private var consumer: RingConsumer
    private let page = GuardedRun(frameMax: Target.frameMax)
    private let first = Events()
    private let second = Events()

    init?(market: String) {
        let instruments = InstrumentTable(
            exchanges: ["binance"], capacity: Target.instrumentCapacity)
        let subscriptions =
            switch market {
            case "usdm": Target.futures("BTCUSDT")
            case "coinm": Target.futures("BTCUSD_PERP")
            default: Target.spot
            }
        var warnings: [String] = []
        guard let adapter = BinanceAdapter(market: market),
            let streams = try? adapter.streams(for: subscriptions, warnings: &warnings),
            let (producing, consuming, _) = try? Ring.make(name: "fuzz", minimumCapacity: 1 << 20),
            let producer = producing.take(), let consumer = consuming.take()
        else { return nil }
        decoder = adapter.makeDecoder(market: 0, instruments: instruments, streams: streams)
        writer = EventWriter(
            producer: producer, counters: ParserCounters(marketCount: 1),
            instrumentCapacity: Target.instrumentCapacity, gapNotices: CommandQueue(capacity: 1))
        self.consumer = consumer
    }

    /// What the frame becomes, into `events`. `isSpaced`: with a space in front.
    private mutating func decode(
        _ frame: UnsafeRawBufferPointer, isSpaced: Bool, padding: UInt8, into events: borrowing Events
    ) -> Outcome {
        let run = page.run(of: frame, isSpaced: isSpaced, padding: padding)
        guard decoder.decode(FrameRun(payload: run), from: 0, into: &writer) == 1 else {
            preconditionFailure("a frame was not dealt with")
        }
        writer.publish()
        if !writer.signals.isEmpty { writer.signals = [] }
        var outcome = Outcome()
        while let record = consumer.next() {
            let header = record.load(as: EventHeader.self)
            // The same frame comes again: to be read again, not to be dropped as a repeat.
            writer.forget(header.kind, variant: header.variant, instrument: header.instrument)
            switch header.kind {
            case .gap: continue
            // Of these only that they are there.
            case .deadLetter: events.append(UnsafeRawBufferPointer(rebasing: record[0..<0]), to: &outcome)
            // Padding behind the last field is not written.
            case .trade:
                events.append(
                    UnsafeRawBufferPointer(rebasing: record.prefix(MemoryLayout<Trade>.size)), to: &outcome)
            default: events.append(UnsafeRawBufferPointer(record), to: &outcome)
            }
        }
        consumer.release()
        return outcome
    }

    mutating func run(_ input: UnsafeRawBufferPointer) {
        let frame = UnsafeRawBufferPointer(rebasing: input.prefix(Target.frameMax))
        let padding = frame.last ?? 0
        let usual = decode(frame, isSpaced: false, padding: padding ^ 0x0F, into: first)
        let general = decode(frame, isSpaced: true, padding: padding, into: second)
        // An array of crumbs is one dead letter or many, by the frame's length, which the space changes.
        let isOnTheEdge =
            (usual.isOneDeadLetter || general.isOneDeadLetter) && usual.count != general.count
        let areSame =
            usual.count == general.count && usual.bytes == general.bytes
            && memcmp(first.memory, second.memory, usual.bytes) == 0
        precondition(areSame || isOnTheEdge, "the two ways of reading differ")
    }
}

// libFuzzer calls from one thread.
nonisolated(unsafe) private var spot = Target(market: "spot")
nonisolated(unsafe) private var usdm = Target(market: "usdm")
nonisolated(unsafe) private var coinm = Target(market: "coinm")

/// What libFuzzer calls for each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: data, count: count)
    precondition(spot != nil && usdm != nil && coinm != nil, "a market cannot be set up")
    spot?.run(input)
    usdm?.run(input)
    coinm?.run(input)
    return 0
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The package manager lets `main` mean this symbol, so that libFuzzer's own is not reached.
@_cdecl("FuzzDecoder_main")
public func main(
    _ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CInt {
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, fuzzOneInput)
}
