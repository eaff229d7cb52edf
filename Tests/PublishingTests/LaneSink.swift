import Batching
import Glibc
import Rings
import Synchronization

@testable import Publishing

/// A sink with lanes that are full or stand still as it is told, and remembers what was delivered. It encodes a batch as
/// its run, its number and its data.
final class LaneSink: Sink {
    struct Name: Hashable, Comparable {
        var topic: String
        var orderingKey: String
        static func < (a: Name, b: Name) -> Bool { (a.topic, a.orderingKey) < (b.topic, b.orderingKey) }
    }

    struct Identity: Hashable, Comparable {
        var run: UInt64
        var number: UInt64
        static func < (a: Identity, b: Identity) -> Bool { (a.run, a.number) < (b.run, b.number) }
    }

    struct Held {
        var receipt: BatchReceipt
        var bytes: [UInt8]
        var identity: Identity
        var data: [UInt8] { Array(bytes[16...]) }
    }

    let ledger: PublishLedger
    let runID: UInt64
    var capacity = Int.max
    var laneCapacity = Int.max
    private(set) var lanes: [Name: [Held]] = [:]
    private(set) var held = 0
    /// Called for each acknowledged batch.
    var delivered: (Name, Held) -> Void = { _, _ in }

    init(ledger: PublishLedger, runID: UInt64) {
        self.ledger = ledger
        self.runID = runID
    }

    func take(_ batch: BatchView) -> SinkAnswer {
        guard held < capacity else { return .full }
        let name = Name(topic: batch.route.topic, orderingKey: batch.route.orderingKey)
        guard lanes[name, default: []].count < laneCapacity else { return .laneFull }
        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        var bytes: [UInt8]
        var identity = Identity(run: batch.route.origin?.runID ?? runID, number: batch.header.number)
        if batch.isEncoded {
            bytes = Array(batch.messages)
            // The spool's padding must not become part of the messages.
            identity.run = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            identity.number = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self) }
        } else {
            bytes = []
            for word in [identity.run, identity.number] {
                withUnsafeBytes(of: word) { bytes += Array($0) }
            }
            bytes += Array(batch.data)
        }
        lanes[name, default: []].append(Held(receipt: receipt, bytes: bytes, identity: identity))
        held += 1
        return .accepted
    }

    /// The oldest batch of a lane is safe.
    func acknowledge(_ name: Name) {
        guard let first = lanes[name]?.first else { return }
        lanes[name]?.removeFirst()
        held -= 1
        delivered(name, first)
        ledger.acknowledge(first.receipt, now: 0)
    }

    func secure(_ selection: HeldSelection, _ store: (HeldBatch) -> SpoolPlace?) -> Bool {
        for name in lanes.keys.sorted() {
            switch selection {
            case .lane(let topic, let key):
                guard name == Name(topic: topic, orderingKey: key) else { continue }
            case .closedBefore(let time):
                guard let batches = lanes[name],
                    batches.contains(where: { !$0.receipt.place.isSomewhere && $0.receipt.closedTime < time })
                else { continue }
            }
            for index in lanes[name, default: []].indices {
                guard let batch = lanes[name]?[index], !batch.receipt.place.isSomewhere else { continue }
                let place = batch.bytes.withUnsafeBytes { bytes in
                    store(
                        HeldBatch(
                            topic: name.topic, orderingKey: name.orderingKey, receipt: batch.receipt,
                            messages: bytes))
                }
                guard let place else { return false }
                lanes[name]?[index].receipt.place = place
                lanes[name]?[index].receipt.isSecured = true
            }
        }
        return true
    }

    func doWork(now: Int64) -> Int { 0 }
    func hasInput() -> Bool { false }
    func parkLimit(now: Int64) -> Int64 { 1_000_000_000 }
    func park(nanos: Int64, waker: Waker) {}
    func close() {}
}

/// The disk as told: writes, syncs or reads fail, or a write ends in the middle.
final class FailingFiles: SpoolFiles, @unchecked Sendable {
    /// Errno of calls; 0: they work.
    var writeError: Int32 = 0
    var readError: Int32 = 0
    var createError: Int32 = 0
    /// Syncs may come from another thread.
    var syncError: Int32 {
        get { syncCode.load(ordering: .relaxed) }
        set { syncCode.store(newValue, ordering: .relaxed) }
    }
    private let syncCode = Atomic<Int32>(0)
    /// Syncs wait for the disk.
    let holdsSyncs = Atomic<Bool>(false)
    /// Syncs of data that began.
    let syncs = Atomic<Int>(0)
    /// Bytes after which a write is cut short; nil: whole.
    var shortWrite: Int?
    /// Batches until one is written that the disk changes.
    var damagedWrite: Int?
    /// A byte of the files that reads as another than was written.
    var damagedOffset: Int?

    override func create(_ path: String) -> Int32 { createError != 0 ? -createError : super.create(path) }
    override func write(
        _ file: Int32, _ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer,
        _ tail: UnsafeRawBufferPointer
    ) -> Int64 {
        if let count = shortWrite {
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            return super.write(
                file, UnsafeRawBufferPointer(rebasing: head[..<min(count, head.count)]),
                UnsafeRawBufferPointer(rebasing: body[..<min(max(count - head.count, 0), body.count)]), none)
        }
        if writeError != 0 { return Int64(-writeError) }
        guard body.count > 0, let count = damagedWrite else { return super.write(file, head, body, tail) }
        damagedWrite = count > 1 ? count - 1 : nil
        guard count == 1 else { return super.write(file, head, body, tail) }
        var damaged = Array(body)
        damaged[damaged.count / 2] ^= 1
        return damaged.withUnsafeBytes { super.write(file, head, $0, tail) }
    }
    override func sync(_ file: Int32) -> Int32 {
        syncs.add(1, ordering: .sequentiallyConsistent)
        while holdsSyncs.load(ordering: .sequentiallyConsistent) { usleep(1_000) }
        return syncError != 0 ? -syncError : super.sync(file)
    }
    override func read(_ file: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, at offset: Int) -> Int64
    {
        guard readError == 0 else { return Int64(-readError) }
        let got = super.read(file, bytes, count, at: offset)
        if let damaged = damagedOffset, damaged >= offset, damaged < offset + Int(got) {
            let byte = bytes.load(fromByteOffset: damaged - offset, as: UInt8.self)
            bytes.storeBytes(of: byte ^ 1, toByteOffset: damaged - offset, as: UInt8.self)
        }
        return got
    }
}
