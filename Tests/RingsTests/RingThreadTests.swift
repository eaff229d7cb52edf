import CKernel
import Synchronization
import Testing

@testable import Rings

/// What the consumer thread of a test has seen.
private final class Findings: Sendable {
    let count = Atomic<Int>(0)
    let wrong = Atomic<Int>(0)
}

/// Takes records that count up from 0, each filled with its own number.
private struct Checker: ~Copyable, Stage {
    var consumer: RingConsumer
    let findings: Findings
    let waker: Waker
    var expected: UInt64 = 0

    mutating func doWork() -> Int {
        var taken = 0
        while taken < 100, let record = consumer.next() {
            let isRight =
                record.count >= 8 && record.load(as: UInt64.self) == expected
                && record[8...].allSatisfy { $0 == UInt8(truncatingIfNeeded: expected) }
            if !isRight { findings.wrong.add(1, ordering: .relaxed) }
            expected += 1
            taken += 1
        }
        consumer.release()
        findings.count.add(taken, ordering: .releasing)
        return taken
    }

    mutating func hasInput() -> Bool { consumer.hasInput() }
    mutating func parkLimit() -> Int64 { 50_000_000 }
    mutating func park(nanos: Int64) { waker.wait(nanos: nanos) }
}

@Suite struct RingThreadTests {
    /// Two threads, every idle strategy. Under the thread sanitizer this also fails for a missing acquire or release.
    @Test(arguments: IdleStrategy.allCases) func crossesThreads(idle: IdleStrategy) throws {
        let control = try StageControl(name: "check")
        let (producerBox, consumerBox, storage) = try Ring.make(
            name: "threads", minimumCapacity: 16_384, waker: control.waker)
        let findings = Findings()
        let thread = try StageThread(control: control, idle: idle) {
            guard let consumer = consumerBox.take() else { preconditionFailure("taken twice") }
            return Checker(consumer: consumer, findings: findings, waker: control.waker)
        }
        var producer = try take(producerBox)
        let total = 100_000
        var number: UInt64 = 0
        let deadline = ck_monotonic_nanos() + 60_000_000_000
        while number < total, ck_monotonic_nanos() < deadline {
            let size = 8 + Int(number &* 2_654_435_761 % 120)
            guard let room = producer.reserve(size) else {
                producer.publish()
                ck_yield()
                continue
            }
            room.storeBytes(of: number, as: UInt64.self)
            for index in 8..<size {
                room.storeBytes(of: UInt8(truncatingIfNeeded: number), toByteOffset: index, as: UInt8.self)
            }
            producer.commit(size)
            // Uneven groups; now and then a pause in which the consumer parks.
            if number % 7 == 0 { producer.publish() }
            if number % 20_000 == 0 { ck_sleep_nanos(3_000_000) }
            number += 1
        }
        producer.publish()
        while findings.count.load(ordering: .acquiring) < total, ck_monotonic_nanos() < deadline {
            ck_yield()
        }
        control.stop()
        thread.join()
        #expect(findings.count.load(ordering: .acquiring) == total)
        #expect(findings.wrong.load(ordering: .acquiring) == 0)
        #expect(storage.bytesUsed == 0)
        #expect(control.hasFinished)
    }

    /// A parked thread is woken by the very next record: no poll interval ends the wait earlier than the limit would.
    @Test func wakesAParkedThread() throws {
        let control = try StageControl(name: "parked")
        let (producerBox, consumerBox, _) = try Ring.make(
            name: "wake", minimumCapacity: 4_096, waker: control.waker)
        let findings = Findings()
        let thread = try StageThread(control: control, idle: .park) {
            guard let consumer = consumerBox.take() else { preconditionFailure("taken twice") }
            return Checker(consumer: consumer, findings: findings, waker: control.waker)
        }
        var producer = try take(producerBox)
        for number in UInt64(0)..<50 {
            ck_sleep_nanos(1_000_000)
            let reserved = producer.reserve(8)
            let room = try #require(reserved)
            room.storeBytes(of: number, as: UInt64.self)
            producer.commit(8)
            producer.publish()
        }
        let deadline = ck_monotonic_nanos() + 10_000_000_000
        while findings.count.load(ordering: .acquiring) < 50, ck_monotonic_nanos() < deadline {
            ck_sleep_nanos(1_000_000)
        }
        control.stop()
        thread.join()
        #expect(findings.count.load(ordering: .acquiring) == 50)
    }
}
