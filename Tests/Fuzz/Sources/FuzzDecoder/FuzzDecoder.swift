import BinanceAdapter
import ExchangeAdapter
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

    /// What the frame becomes: events bytewise, of dead letters only that they are there.
    private mutating func events(of frame: UnsafeRawBufferPointer, padding: UInt8) -> [[UInt8]] {
        // Memory of exactly the promised size, for the address sanitizer to guard.
        let begin = FrameRunHeader.size
        let table = (begin + frame.count + 7) / 8 * 8
        let size = max(begin + frame.count + 64, table + MemoryLayout<FrameSlice>.size)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: padding)
        memory.storeBytes(
            of: FrameRunHeader(
                connection: 0, generation: 1, receivedTime: 1, kind: .frames, frameCount: 1,
                tableOffset: table), as: FrameRunHeader.self)
        memory.storeBytes(
            of: FrameSlice(offset: begin, length: frame.count, isBinary: false), toByteOffset: table,
            as: FrameSlice.self)
        for index in 0..<frame.count { memory[begin + index] = frame[index] }
        guard decoder.decode(FrameRun(payload: memory), from: 0, into: &writer) == 1 else {
            preconditionFailure("a frame was not dealt with")
        }
        writer.publish()
        writer.signals = []
        var events: [[UInt8]] = []
        while let record = consumer.next() {
            let header = record.load(as: EventHeader.self)
            // The same frame comes again: to be read again, not to be dropped as a repeat.
            writer.forget(header.kind, variant: header.variant, instrument: header.instrument)
            switch header.kind {
            case .gap: continue
            case .deadLetter: events.append([])
            case .trade:
                // Padding behind the last field is not written.
                events.append(Array(record.prefix(MemoryLayout<Trade>.size)))
            default: events.append(Array(record))
            }
        }
        consumer.release()
        return events
    }

    mutating func run(_ input: UnsafeRawBufferPointer) {
        let frame = UnsafeRawBufferPointer(rebasing: input.prefix(Target.frameMax))
        let padding = frame.last ?? 0
        let usual = events(of: frame, padding: padding ^ 0x0F)
        let spaced = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count + 1, alignment: 1)
        defer { spaced.deallocate() }
        spaced[0] = UInt8(ascii: " ")
        for index in 0..<frame.count { spaced[index + 1] = frame[index] }
        let general = events(of: UnsafeRawBufferPointer(spaced), padding: padding)
        // An array of crumbs is one dead letter or many, by the frame's length, which the space changes.
        let isOnTheEdge = (usual == [[]] || general == [[]]) && usual.count != general.count
        precondition(usual == general || isOnTheEdge, "the two ways of reading differ")
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
