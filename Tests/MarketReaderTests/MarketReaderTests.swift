import CZstd
import MarketData
import Testing

@testable import MarketReader

private func trade(_ sequence: UInt64, id: Int64? = nil, time: Int64? = nil) -> String {
    let id = id ?? Int64(sequence)
    return #"{"type":"trade","exchange":"binance","symbol":"BTCUSDT","sequence":\#(sequence),"#
        + #""receivedTime":1,"#
        + #""tradeId":\#(id),"price":"0.00100000","quantity":"1","tradeTime":\#(time ?? id),"aggressor":"buy"}"#
}

private func compressed(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    guard let compressor = cz_compressor_new(1, 0) else { return [] }
    defer { cz_compressor_free(compressor) }
    var room = [UInt8](repeating: 0, count: cz_bound(bytes.count))
    let size = cz_compress(compressor, nil, &room, room.count, bytes, bytes.count)
    return Array(room[..<Int(max(0, size))])
}

private func message(
    _ lines: [String], first: UInt64, run: String = "00000000000000aa", changes: [String: String] = [:]
) -> ReceivedMessage {
    var attributes = [
        "collector": "a", "batch_id": "\(run)-1", "content_encoding": "zstd", "count": "\(lines.count)",
        "first_sequence": "\(first)",
    ]
    attributes.merge(changes) { $1 }
    return ReceivedMessage(
        data: compressed(lines.map { $0 + "\n" }.joined()), attributes: attributes, orderingKey: "k")
}

private func trades(_ sequences: [UInt64], run: String = "00000000000000aa") -> ReceivedMessage {
    message(sequences.map { trade($0) }, first: sequences.first ?? 0, run: run)
}

@Suite struct MarketReaderTests {
    @Test(arguments: 0..<100)
    func eachEventOnceInOrderAndTheLostOnesAreMissing(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        // A coarse topic: batches of several keys share one sequence.
        var open = [[UInt64]](repeating: [], count: Int.random(in: 1...4, using: &random))
        var batches: [[UInt64]] = []
        for sequence in 1...UInt64.random(in: 1...120, using: &random) {
            open[Int.random(in: open.indices, using: &random)].append(sequence)
            for index in open.indices where !open[index].isEmpty && Int.random(in: 0..<5, using: &random) < 2
            {
                batches.append(open[index])
                open[index] = []
            }
        }
        batches += open.filter { !$0.isEmpty }
        let lost = Set(batches.indices.filter { _ in Int.random(in: 0..<10, using: &random) == 0 })
        var arrivals: [(at: Double, batch: Int)] = []
        for index in batches.indices where !lost.contains(index) {
            for _ in 0..<(Int.random(in: 0..<4, using: &random) == 0 ? 2 : 1) {
                arrivals.append((Double(index) + Double.random(in: 0...8, using: &random), index))
            }
        }
        arrivals.sort { $0.at < $1.at }

        let reader = try MarketReader<Int>(maxWait: 1000)
        // The subscription was there before the collector: an earlier run is known.
        let earlier = message([trade(1, id: 10_000_000)], first: 1, run: "0000000000000001")
        _ = try reader.read(earlier, source: "s", token: -1, now: 0)
        var sequences: [UInt64] = []
        var missing: [UInt64] = []
        var done: [Int] = []
        func take(_ reading: MarketReading<Int>) {
            sequences += reading.events.map(\.sequence)
            missing += reading.missing.flatMap { Array($0.sequences) }
            done += reading.done
        }
        for (number, arrival) in arrivals.enumerated() {
            take(
                try reader.read(
                    trades(batches[arrival.batch]), source: "s", token: number, now: Double(number)))
        }
        take(reader.expire(now: 1_000_000))
        #expect(reader.held == 0)
        let wanted = batches.indices.filter { !lost.contains($0) }.flatMap { batches[$0] }.sorted()
        #expect(sequences == wanted)
        #expect(done.sorted() == Array(arrivals.indices))
        let highest = wanted.last ?? 0
        #expect(missing.sorted() == (1...max(1, highest)).filter { highest > 0 && !wanted.contains($0) })
    }

    @Test func aHoleIsCalledMissingInTimeAndFilledLate() throws {
        let reader = try MarketReader<String>(maxWait: 5)
        #expect(try reader.read(trades([1]), source: "s", token: "a", now: 0).events.count == 1)
        #expect(try reader.read(trades([4, 5]), source: "s", token: "b", now: 1).done.isEmpty)
        // Delivered again while it waits: neither may be acknowledged yet.
        let again = try reader.read(trades([4, 5]), source: "s", token: "c", now: 2)
        #expect(again.repeats == 2 && again.done.isEmpty)
        let reading = reader.expire(now: 6.5)
        #expect(reading.events.map(\.sequence) == [4, 5] && reading.done.sorted() == ["b", "c"])
        #expect(reading.missing.map(\.sequences) == [2...3])
        let late = try reader.read(trades([3]), source: "s", token: "d", now: 9)
        #expect(late.events.map(\.sequence) == [3] && late.done == ["d"])
    }

    @Test func aSubscriptionInTheMiddleMissesNothing() throws {
        let reader = try MarketReader<Int>(maxWait: 5)
        #expect(try reader.read(trades([70]), source: "s", token: 1, now: 0).events.count == 1)
        #expect(try reader.read(trades([69]), source: "s", token: 2, now: 0).events.count == 1)
        #expect(reader.expire(now: 100).missing.isEmpty)
    }

    @Test func memoryIsBounded() throws {
        let reader = try MarketReader<Int>(maxWait: 1000, maxHeld: 10)
        _ = try reader.read(trades([1]), source: "s", token: 0, now: 0)
        var missing: [ClosedRange<UInt64>] = []
        for sequence in stride(from: UInt64(3), to: 63, by: 2) {
            missing += try reader.read(trades([sequence]), source: "s", token: 1, now: 1).missing.map(
                \.sequences)
            #expect(reader.held <= 10)
        }
        #expect(missing == stride(from: UInt64(2), through: 40, by: 2).map { $0...$0 })
    }

    @Test func tradesThatArePublishedAgainComeOnce() throws {
        let reader = try MarketReader<Int>()
        _ = try reader.read(trades([1, 2, 3]), source: "s", token: 1, now: 0)
        let again = message([trade(1, id: 3), trade(2, id: 4)], first: 1, run: "00000000000000bb")
        let reading = try reader.read(again, source: "s", token: 2, now: 1)
        #expect(reading.repeats == 1)
        #expect(try reading.events.map { try $0.decode(TradeContents.self).tradeId } == [4])
        // The exchange counts anew.
        let anew = message([trade(3, id: 1, time: 5_000_000_000)], first: 3, run: "00000000000000bb")
        #expect(try reader.read(anew, source: "s", token: 3, now: 2).events.count == 1)
    }

    @Test func badMessagesAreNamedAndTakeNothing() throws {
        let good = trades([1, 2])
        let plain = ["content_encoding": "identity", "count": "1"]
        func text(_ line: String) -> ReceivedMessage {
            ReceivedMessage(data: Array(line.utf8), attributes: good.attributes.merging(plain) { $1 })
        }
        let cases: [(String, ReceivedMessage)] = [
            ("\"count\"", message([trade(1)], first: 1, changes: ["count": "x"])),
            ("data are cut", message([trade(1)], first: 1, changes: ["count": "3"])),
            ("corrupt", ReceivedMessage(data: [40] + good.data, attributes: good.attributes)),
            ("is cut", ReceivedMessage(data: good.data.dropLast(), attributes: good.attributes)),
            ("unknown", message([trade(1)], first: 1, changes: ["content_encoding": "br"])),
            ("an event that is no", text("{]\n")), ("an event that is no", text("{\"type\":\"trade\"}\n")),
            ("does not follow", message([trade(2), trade(1)], first: 1)),
            ("batch_id", ReceivedMessage(data: good.data, attributes: ["collector": "a"])),
        ]
        let reader = try MarketReader<Int>()
        for (words, bad) in cases {
            let error = #expect(throws: UnreadableMessage.self) {
                try reader.read(bad, source: "s", token: 1, now: 0)
            }
            #expect(error?.description.contains(words) == true, "\(words): \(error?.description ?? "")")
        }
        #expect(try reader.read(good, source: "s", token: 1, now: 0).events.count == 2)
    }
}
