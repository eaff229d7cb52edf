import Benchmark
import ByteScanning
import MarketData
import StageGate

private let texts = 1_000

/// Texts that lie one behind the other, each followed by a comma, and behind the last of them what a scanner may read.
private func lay(_ texts: [String]) -> UnsafeMutableRawBufferPointer {
    let bytes = texts.flatMap { Array(($0 + ",").utf8) }
    let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: bytes.count + JSONCursor.slack, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    memory.copyBytes(from: bytes)
    return memory
}

/// Reads all texts by `read`, whose results are added up.
private func sum(
    _ memory: UnsafeMutableRawBufferPointer, _ read: (inout JSONCursor) throws(ScanError) -> Int64
) throws(ScanError) -> Int64 {
    guard let start = memory.baseAddress else { return 0 }
    var cursor = JSONCursor(
        start: start, at: start, end: start + (memory.count - JSONCursor.slack))
    var sum: Int64 = 0
    for _ in 0..<texts {
        sum &+= try read(&cursor)
        cursor.at += 1
    }
    return sum
}

private func register(
    _ name: String, text: (Int) -> String, expected: Int64,
    read: @escaping @Sendable (inout JSONCursor) throws(ScanError) -> Int64
) {
    let all = (0..<texts).map(text)
    Benchmark(name) { benchmark in
        let memory = lay(all)
        defer { memory.deallocate() }
        let found = try sum(memory, read)
        precondition(found == expected, "\(name): \(found) instead of \(expected)")
        StageGate.check(name, items: texts) { blackHole(try? sum(memory, read)) }
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { blackHole(try sum(memory, read)) }
        benchmark.stopMeasurement()
    }
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        // An iteration is 1,000 texts: µs an iteration are ns a text.
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], timeUnits: .microseconds, scalingFactor: .kilo,
            maxDuration: .seconds(2), maxIterations: 30)
        let indices = Int64(texts * (texts - 1) / 2)
        register(
            "Scan an integer of 13 digits", text: { "\(1_790_960_630_000 + $0)" },
            expected: 1_790_960_630_000 * Int64(texts) + indices
        ) { cursor throws(ScanError) in try cursor.readInteger() }
        register(
            "Scan a decimal with 8 places", text: { #""\#(84_000 + $0).04000000""# },
            expected: 8_400_004_000_000 * Int64(texts) + indices * 100_000_000
        ) { cursor throws(ScanError) in Int64(truncatingIfNeeded: try cursor.readDecimal().magnitude) }
        register("Scan a string of 7 bytes", text: { _ in #""BTCUSDT""# }, expected: 7 * Int64(texts)) {
            cursor throws(ScanError) in Int64(try cursor.readString().count)
        }
        let frame: (Int) -> String = {
            #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":\#(6_732_650_448 + $0),"#
                + #""p":"\#(84_000 + $0).04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#
        }
        register(
            "Skip a trade's frame, checking its form", text: frame,
            expected: Int64((0..<texts).reduce(0) { $0 + frame($1).utf8.count })
        ) { cursor throws(ScanError) in
            let begin = cursor.at
            try cursor.skipValue()
            return Int64(cursor.at - begin)
        }
        register(
            "Read the keys of a trade's frame, skipping values", text: frame, expected: 11 * Int64(texts)
        ) {
            cursor throws(ScanError) in try members(&cursor)
        }
    }
}

/// How many members an object has, those of objects in it included and they themselves too.
private func members(_ cursor: inout JSONCursor) throws(ScanError) -> Int64 {
    var count: Int64 = 0
    var more = try cursor.enterObject()
    while more {
        let key = try cursor.readKey()
        if key == JSONKey("data") { count += try members(&cursor) } else { try cursor.skipValue() }
        count += 1
        more = try cursor.nextMember()
    }
    return count
}
