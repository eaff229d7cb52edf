import Benchmark
import CKernel
import Rings
import StageGate

/// Records a run, each as large as a trade in the event ring.
private let records = 1_000_000
private let recordBytes = 88
private let expectedSum = records * (records - 1) / 2

/// Writes the numbers 0 ..< records, spinning where the ring is full.
private func produce(_ producer: inout RingProducer) {
    var next = 0
    while next < records {
        guard let room = producer.reserve(recordBytes) else {
            producer.publish()
            ck_pause()
            continue
        }
        room.storeBytes(of: next, as: Int.self)
        producer.commit(recordBytes)
        next += 1
        if next & 15 == 0 { producer.publish() }
    }
    producer.publish()
}

/// Reads so many records and returns the sum of their numbers.
private func consume(_ consumer: inout RingConsumer, count: Int) -> Int {
    var sum = 0
    var seen = 0
    while seen < count {
        guard let payload = consumer.next() else {
            consumer.release()
            ck_pause()
            continue
        }
        sum &+= payload.load(as: Int.self)
        seen += 1
        if seen & 63 == 0 { consumer.release() }
    }
    consumer.release()
    return sum
}

/// The reading thread of the two-thread benchmark.
private struct Reader: Stage, ~Copyable {
    var consumer: RingConsumer
    let control: StageControl

    mutating func doWork() -> Int {
        let sum = consume(&consumer, count: records)
        precondition(sum == expectedSum, "the ring delivered \(sum) instead of \(expectedSum)")
        control.stop()
        return records
    }
    mutating func hasInput() -> Bool { consumer.hasInput() }
    mutating func parkLimit() -> Int64 { 0 }
    mutating func park(nanos: Int64) {}
}

/// Sends back what it gets, until it has seen `trips` records.
private struct Echo: Stage, ~Copyable {
    var consumer: RingConsumer
    var producer: RingProducer
    let control: StageControl
    private var seen = 0

    init(consumer: consuming RingConsumer, producer: consuming RingProducer, control: StageControl) {
        self.consumer = consumer
        self.producer = producer
        self.control = control
    }

    mutating func doWork() -> Int {
        guard let payload = consumer.next(), let room = producer.reserve(recordBytes) else { return 0 }
        room.storeBytes(of: payload.load(as: Int.self), as: Int.self)
        producer.commit(recordBytes)
        producer.publish()
        consumer.release()
        seen += 1
        if seen == trips { control.stop() }
        return 1
    }
    mutating func hasInput() -> Bool { consumer.hasInput() }
    mutating func parkLimit() -> Int64 { 0 }
    mutating func park(nanos: Int64) {}
}

/// Records that go there and back, each after the one before it is back.
private let trips = 100_000

/// All records through the ring on one thread; the sum of their numbers.
private func pass(_ producer: inout RingProducer, _ consumer: inout RingConsumer) -> Int {
    var sum = 0
    var next = 0
    while next < records {
        for _ in 0..<16 {
            guard let room = producer.reserve(recordBytes) else {
                preconditionFailure("the ring is full")
            }
            room.storeBytes(of: next, as: Int.self)
            producer.commit(recordBytes)
            next += 1
        }
        producer.publish()
        while let payload = consumer.next() { sum &+= payload.load(as: Int.self) }
        consumer.release()
    }
    return sum
}

@main
enum Stages: BenchmarkRunnerHooks {
    static func registerBenchmarks() {
        StageGate.begin()
        Benchmark.defaultConfiguration = .init(
            metrics: [.wallClock, .throughput], scalingFactor: .mega, maxDuration: .seconds(5),
            maxIterations: 30)

        Benchmark("One thread, 88-byte records: reserve, commit, publish by 16, next, release") { benchmark in
            let (producerBox, consumerBox, _) = try Ring.make(name: "benchmark", minimumCapacity: 1 << 20)
            guard var producer = producerBox.take(), var consumer = consumerBox.take() else {
                preconditionFailure("a fresh ring has both ends")
            }
            StageGate.check("Ring, one thread", items: records) { blackHole(pass(&producer, &consumer)) }
            benchmark.startMeasurement()
            let sum = pass(&producer, &consumer)
            benchmark.stopMeasurement()
            precondition(sum == expectedSum, "the ring delivered \(sum) instead of \(expectedSum)")
        }

        Benchmark("Two threads, 88-byte records, both spinning") { benchmark in
            let (producerBox, consumerBox, _) = try Ring.make(name: "benchmark", minimumCapacity: 1 << 20)
            guard var producer = producerBox.take() else { preconditionFailure("a fresh ring has both ends") }
            let control = try StageControl(name: "reader")
            let thread = try StageThread(control: control, idle: .spin) {
                guard let consumer = consumerBox.take() else {
                    preconditionFailure("a fresh ring has both ends")
                }
                return Reader(consumer: consumer, control: control)
            }
            benchmark.startMeasurement()
            produce(&producer)
            thread.join()
            benchmark.stopMeasurement()
        }

        // An iteration is 100,000 trips: divide the time by that.
        Benchmark(
            "Two threads, both spinning: one record there and back",
            configuration: .init(
                metrics: [.wallClock, .throughput], maxDuration: .seconds(5), maxIterations: 30)
        ) { benchmark in
            let (outBox, echoInBox, _) = try Ring.make(name: "out", minimumCapacity: 1 << 16)
            let (echoOutBox, backBox, _) = try Ring.make(name: "back", minimumCapacity: 1 << 16)
            guard var producer = outBox.take(), var consumer = backBox.take() else {
                preconditionFailure("a fresh ring has both ends")
            }
            let control = try StageControl(name: "echo")
            let thread = try StageThread(control: control, idle: .spin) {
                guard let consumer = echoInBox.take(), let producer = echoOutBox.take() else {
                    preconditionFailure("a fresh ring has both ends")
                }
                return Echo(consumer: consumer, producer: producer, control: control)
            }
            benchmark.startMeasurement()
            var sum = 0
            for number in 0..<trips {
                guard let room = producer.reserve(recordBytes) else {
                    preconditionFailure("the ring is full")
                }
                room.storeBytes(of: number, as: Int.self)
                producer.commit(recordBytes)
                producer.publish()
                while true {
                    if let payload = consumer.next() {
                        sum &+= payload.load(as: Int.self)
                        consumer.release()
                        break
                    }
                    ck_pause()
                }
            }
            benchmark.stopMeasurement()
            thread.join()
            precondition(sum == trips * (trips - 1) / 2, "the rings delivered \(sum)")
        }
    }
}
