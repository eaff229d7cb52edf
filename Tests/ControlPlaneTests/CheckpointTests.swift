import ExchangeAdapter
import Foundation
import MarketData
import Testing

@testable import ControlPlane

@Suite struct CheckpointTests {
    private func name(_ symbol: String, _ kind: EventKind, _ variant: UInt8 = 0) -> Checkpoint.Name {
        .init(Instrument(exchange: "binance", symbol: symbol), kind, variant: variant)
    }

    private func sample() -> Checkpoint {
        var checkpoint = Checkpoint()
        checkpoint.time = 1_764_000_000_000_000_000
        for number: Int64 in 1...50 {
            let kind: EventKind = number % 2 == 0 ? .trade : .kline
            checkpoint.sequences.append(
                Checkpoint.Sequence(
                    name: name(number == 7 ? "币安人生USDT" : "S\(number)USDT", kind, UInt8(number % 16)),
                    expected: number * 1_000_003, newest: 1_764_000_000_000_000_000 + number))
        }
        checkpoint.holes = [
            .init(name: name("BTCUSDT", .trade), ids: 5...9, cause: .sequence),
            .init(name: name("ETHUSDT", .kline, 3), ids: 7...7, cause: .outage),
        ]
        return checkpoint
    }

    @Test func whatIsWrittenIsRead() throws {
        #expect(try Checkpoint(text: sample().text) == sample())
        #expect(try Checkpoint(text: Checkpoint().text) == Checkpoint())
    }

    @Test func whatWasCutOffOrChangedIsRefused() {
        let text = sample().text
        for end in stride(from: 0, to: text.count, by: 7) {
            #expect(throws: Checkpoint.Unusable.self) { try Checkpoint(text: Array(text[..<end])) }
        }
        for place in stride(from: 0, to: text.count - 1, by: 5) {
            var changed = text
            changed[place] ^= 0x01
            #expect(throws: Checkpoint.Unusable.self) { try Checkpoint(text: changed) }
        }
    }

    @Test func aFileIsReplacedAsAWhole() throws {
        let directory = NSTemporaryDirectory() + "checkpoint-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/checkpoint"
        #expect(try Checkpoint.read(from: path) == nil)
        try sample().write(to: path)
        try Checkpoint().write(to: path)
        try sample().write(to: path)
        #expect(try Checkpoint.read(from: path) == sample())
        #expect(throws: Checkpoint.Unusable.self) { try sample().write(to: directory + "/none/checkpoint") }
    }

    @Test func aSymbolWithBlanksDoesNotCostTheFile() throws {
        var checkpoint = sample()
        checkpoint.sequences.append(.init(name: name("A B", .trade), expected: 5, newest: 1))
        #expect(try Checkpoint(text: checkpoint.text) == sample())
    }
}
