import MarketData
import Testing

@testable import Rings

struct AlreadyTaken: Error {}

func take(_ box: RingProducerBox) throws -> RingProducer {
    guard let end = box.take() else { throw AlreadyTaken() }
    return end
}

func take(_ box: RingConsumerBox) throws -> RingConsumer {
    guard let end = box.take() else { throw AlreadyTaken() }
    return end
}

@Suite struct RingModelTests {
    /// Random operations on the ring and on a plain queue: both must tell the same, at every step. Fails where a
    /// record is lost, repeated, torn at the wrap, visible before it was published, or freed before its release.
    @Test(arguments: 1...20) func agreesWithAQueue(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let (producerBox, consumerBox, storage) = try Ring.make(name: "model", minimumCapacity: 4_096)
        var producer = try take(producerBox)
        var consumer = try take(consumerBox)
        var unpublished: [[UInt8]] = []
        var published: [[UInt8]] = []
        var taken = 0
        var used = 0
        var usedByTaken = 0
        var takenRecords: [[UInt8]] = []
        for _ in 0..<20_000 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let size = Int.random(in: 0...700, using: &random)
                let room = producer.reserve(size)
                #expect((room != nil) == (storage.capacity - used >= Ring.recordSize(size)))
                guard let room else { continue }
                // A reservation may be larger than what is committed.
                let kept = Int.random(in: 0...size, using: &random)
                let bytes = (0..<kept).map { _ in UInt8.random(in: 0...255, using: &random) }
                for (index, byte) in bytes.enumerated() {
                    room.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
                }
                producer.commit(kept)
                unpublished.append(bytes)
                used += Ring.recordSize(kept)
            case 2:
                producer.publish()
                published += unpublished
                unpublished = []
            case 3 where usedByTaken > 0 && Int.random(in: 0..<8, using: &random) == 0:
                consumer.takeBack()
                published.insert(contentsOf: takenRecords, at: 0)
                taken -= takenRecords.count
                takenRecords = []
                usedByTaken = 0
            case 3, 4:
                let hasInput = consumer.hasInput()
                #expect(hasInput == !published.isEmpty)
                let record = consumer.next()
                #expect((record != nil) == !published.isEmpty)
                guard let record else { continue }
                #expect(Array(record) == published.removeFirst())
                taken += 1
                takenRecords.append(Array(record))
                usedByTaken += Ring.recordSize(record.count)
            default:
                consumer.release()
                used -= usedByTaken
                usedByTaken = 0
                takenRecords = []
                #expect(storage.bytesUsed == used - unpublished.reduce(0) { $0 + Ring.recordSize($1.count) })
                #expect(storage.recordCount == published.count)
            }
        }
        #expect(taken > 1_000)
    }

    @Test func refusesWhatNeverFits() throws {
        let (producerBox, _, storage) = try Ring.make(name: "small", minimumCapacity: 1)
        var producer = try take(producerBox)
        #expect(storage.capacity >= 4_096)
        let largest = producer.reserve(producer.payloadMax)
        #expect(largest != nil)
        let tooLarge = producer.reserve(storage.capacity)
        #expect(tooLarge == nil)
        #expect(throws: AlreadyTaken.self) { _ = try take(producerBox) }
    }

    @Test func anImpossibleSizeIsAnErrorThatNamesTheRing() {
        #expect(throws: RingError.self) { _ = try Ring.make(name: "huge", minimumCapacity: 1 << 50) }
    }

    /// Every record is contiguous although it crosses the end of the memory.
    @Test func recordsCrossTheEnd() throws {
        let (producerBox, consumerBox, storage) = try Ring.make(name: "wrap", minimumCapacity: 4_096)
        var producer = try take(producerBox)
        var consumer = try take(consumerBox)
        let size = 1_000
        for round in 0..<100 {
            let reserved = producer.reserve(size)
            let room = try #require(reserved)
            for index in 0..<size {
                room.storeBytes(
                    of: UInt8(truncatingIfNeeded: round &+ index), toByteOffset: index, as: UInt8.self)
            }
            producer.commit(size)
            producer.publish()
            let next = consumer.next()
            let record = try #require(next)
            for index in 0..<size { #expect(record[index] == UInt8(truncatingIfNeeded: round &+ index)) }
            consumer.release()
        }
        #expect(storage.bytesUsed == 0)
    }

    /// A consumer that keeps up leaves all but the first pages untouched; one that does not gets every record from where
    /// it was written. Fails where the producer never begins again, or does so under records that are still to be read.
    @Test func aCalmRingUsesItsFirstPages() throws {
        let capacity = 1 << 20
        let (producerBox, consumerBox, storage) = try Ring.make(name: "calm", minimumCapacity: capacity)
        var producer = try take(producerBox)
        var consumer = try take(consumerBox)
        var farthest = 0
        var number: UInt64 = 0
        var expected: UInt64 = 0
        for backlog in [1, 1, 500, 1] {
            for round in 0..<2_000 / backlog {
                for _ in 0..<backlog {
                    let reserved = producer.reserve(1_000)
                    let room = try #require(reserved)
                    room.storeBytes(of: number, as: UInt64.self)
                    number += 1
                    producer.commit(1_000)
                    producer.publish()
                }
                while let record = consumer.next() {
                    #expect(record.load(as: UInt64.self) == expected)
                    expected += 1
                    // The first rounds may still lie behind the backlog.
                    if backlog == 1, round > 100, let place = record.baseAddress {
                        farthest = max(farthest, UnsafeRawPointer(storage.data).distance(to: place))
                    }
                }
                consumer.release()
            }
        }
        #expect(expected == number && number == 8_000)
        #expect(farthest < 2 * Int(Ring.lookBytes))
        #expect(storage.bytesUsed == 0)
        #expect(producer.position == 8_000 * UInt64(Ring.recordSize(1_000)))
    }
}
