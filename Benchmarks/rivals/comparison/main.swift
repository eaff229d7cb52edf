import Glibc

// Frame → typed event: the collector's decoder and what it is compared with. Started by rivals/run.
//
//     rival-comparison memory rivals.so FRAMES SYMBOLS ROUNDS
//     rival-comparison socket ENDPOINT AUTHORITY|- SYMBOLS WARM-SECONDS SECONDS CPU

/// A file's lines.
func lines(of path: String) throws -> [String] {
    guard let file = fopen(path, "r") else { throw ComparisonFailure(description: "cannot read \(path)") }
    defer { fclose(file) }
    var result: [String] = []
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        if !text.isEmpty { result.append(String(decoding: text, as: UTF8.self)) }
    }
    return result
}

/// A line of JSON for each kind of frames, ns a frame.
func compareInMemory(_ words: [String]) throws {
    guard words.count == 4, let rounds = Int(words[3]), rounds % 2 == 1 else {
        throw ComparisonFailure(
            description: "memory takes rivals.so FRAMES SYMBOLS ROUNDS, an odd number of rounds")
    }
    let symbols = try lines(of: words[2])
    let library = try Rival.load(words[0])
    let rivals = try ["rv_plain", "rv_simdjson", "rv_speculating"].map {
        try Rival(library, prefix: $0, symbols: symbols)
    }
    let comparison = MemoryComparison(symbols: symbols, rivals: rivals, library: library, rounds: rounds)
    let kinds = [
        ("mix", nil), ("trade", "@trade\""), ("kline", "@kline_1m\""), ("ticker", "@ticker\""),
    ]
    for (name, text) in kinds {
        let frames = try Frames(file: words[1], containing: text)
        let times = try comparison.measure(frames)
        let names = ["copying its bytes"] + rivals.map(\.name) + ["the collector"]
        let fields = zip(names, times).map { "\"\($0)\":\(($1 * 10).rounded() / 10)" }
        let bytes = Double(frames.bytes * 10 / frames.count) / 10
        print(
            "{\"frames\":\"\(name)\",\"count\":\(frames.count),\"bytes\":\(bytes),\"nanos\":{"
                + fields.joined(separator: ",") + "}}")
    }
}

do {
    let words = Array(CommandLine.arguments.dropFirst())
    switch words.first {
    case "memory": try compareInMemory(Array(words.dropFirst()))
    case "socket": try LaneClient.run(Array(words.dropFirst()))
    default: throw ComparisonFailure(description: "expected memory or socket")
    }
} catch {
    let text = Array("rival-comparison: \(error)\n".utf8)
    _ = write(2, text, text.count)
    exit(1)
}
