import Benchmark
import StageGate
import Wire

private let framesPerRun = 1_000
/// A trade of a combined stream is about as long.
private let frameBytes = 195
/// What waits in the socket at once: no more than its buffers hold from the start.
private let framesAtOnce = 250

/// A server's text frames, each of ``frameBytes`` bytes with its header of four.
private func frames(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<count {
        let length = frameBytes - 4
        bytes += [0x81, 126, UInt8(length >> 8), UInt8(length & 255)]
        let head = Array(
            #"{"stream":"s\#(index % 50)usdt@trade","data":{"e":"trade","t":\#(index),"p":""#.utf8)
        bytes +=
            head + Array(repeating: UInt8(ascii: "1"), count: length - head.count - 3) + Array(#""}}"#.utf8)
    }
    return bytes
}

/// Messages that are found in the bytes, which are all of them.
private func unframe(_ bytes: UnsafeMutableBufferPointer<UInt8>) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    var unframer = Unframer(messageLimit: 1 << 20)
    var count = 0
    while true {
        switch unframer.next(in: base, end: bytes.count) {
        case .message: count += 1
        case .incomplete: return count
        default: return -1
        }
    }
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        // An iteration is 1,000 frames: µs an iteration are ns a frame.
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], timeUnits: .microseconds, scalingFactor: .kilo,
            maxDuration: .seconds(3), maxIterations: 300)

        let unframing = "Unframe messages of 191 bytes, checking their UTF-8"
        Benchmark(unframing) { benchmark in
            var bytes = frames(framesPerRun)
            bytes.withUnsafeMutableBufferPointer { bytes in
                let found = unframe(bytes)
                precondition(found == framesPerRun, "\(found) messages were found")
                StageGate.check(unframing, items: framesPerRun) { blackHole(unframe(bytes)) }
                for _ in benchmark.scaledIterations { blackHole(unframe(bytes)) }
            }
        }

        for (name, framesPerRecord) in [("one frame a record", 1), ("50 frames a record", 50)] {
            for reader in Receiver.Reader.allCases {
                let stage = "Receive over TLS 1.3, \(name), \(reader.rawValue)"
                // An iteration is 250 frames: four times as many µs are ns a frame.
                Benchmark(
                    stage,
                    configuration: .init(
                        metrics: [.wallClock, .throughput], timeUnits: .microseconds, scalingFactor: .one,
                        maxDuration: .seconds(3), maxIterations: 5_000)
                ) { benchmark in
                    let receiver = try Receiver(reader, frames: frames(framesPerRecord))
                    let records = framesAtOnce / framesPerRecord
                    for _ in 0..<4 { receiver.check(records: records) }
                    receiver.send(records: records)
                    StageGate.check(stage, items: framesAtOnce) {
                        blackHole(receiver.receive(records: records))
                    }
                    for _ in benchmark.scaledIterations {
                        receiver.send(records: records)
                        benchmark.startMeasurement()
                        let got = receiver.receive(records: records)
                        benchmark.stopMeasurement()
                        precondition(got == framesAtOnce * frameBytes, receiver.problem)
                    }
                }
            }
        }
    }
}
