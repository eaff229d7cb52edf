import Batching
import CKernel
import Glibc
import MarketData

/// Memory that grows, for the bytes of one batch's messages; kept for the next batch.
struct NATSBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int
    var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(byteCount: capacity, alignment: 16)
    }

    func deallocate() { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    mutating func reserve(_ more: Int) {
        guard count + more > capacity else { return }
        let larger = max(count + more, capacity * 2)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        (base, capacity) = (moved, larger)
    }

    mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        (base + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    mutating func append(_ number: UInt64) {
        reserve(24)
        count += DigitWriter.write(number, to: (base + count).assumingMemoryBound(to: UInt8.self))
    }

    mutating func append(_ number: Int64) {
        reserve(24)
        count += DigitWriter.write(number, to: (base + count).assumingMemoryBound(to: UInt8.self))
    }
}

/// What is the same for all messages of a route: Pub/Sub's attributes as headers.
struct NATSRouteHeaders {
    let subject: [UInt8]
    /// The first half of the batch ids.
    let run: [UInt8]
    let event: [UInt8]
    let plain: [UInt8]
    let compressed: [UInt8]

    /// `runID`, `collector`: of this run; those of a spooled batch stand in its route.
    init(_ route: Route, runID: UInt64, collector: String) {
        let digits = String(route.origin?.runID ?? runID, radix: 16)
        run = Array((String(repeating: "0", count: 16 - digits.count) + digits + "-").utf8)
        let collector = route.origin?.collector ?? collector
        // Neither may a header be ended nor a subject be split by what an exchange calls its instruments.
        func plainText(_ text: String) -> String {
            String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "_" : $0 }))
        }
        subject = Array(plainText(route.topic).replacing(" ", with: "_").utf8)
        func headers(_ type: String, _ encoding: String) -> [UInt8] {
            var text = "schema: market.\(route.kind.name)/1\r\ntype: \(route.kind.name)\r\n"
            text += "exchange: \(plainText(route.exchange))\r\n"
            if let symbol = route.symbol { text += "symbol: \(plainText(symbol))\r\n" }
            if !route.orderingKey.isEmpty { text += "ordering_key: \(plainText(route.orderingKey))\r\n" }
            text += "content_type: \(type)\r\ncontent_encoding: \(encoding)\r\ncollector: \(collector)\r\n"
            return Array(text.utf8)
        }
        event = headers("application/json", "identity")
        plain = headers("application/x-ndjson", "identity")
        compressed = headers("application/x-ndjson", "zstd")
    }
}

/// Writes HPUB operations: a batch as one message, or its events as one each.
struct NATSEncoder {
    private let inbox: [UInt8]
    private var header = NATSBuffer(capacity: 1024)

    /// `inbox`: the subject under which answers are wanted.
    init(inbox: String) { self.inbox = Array(inbox.utf8) }

    func deallocate() { header.deallocate() }

    /// What the messages of a batch take at most beside their data and fixed headers.
    static let overhead = 640

    /// Writes all messages of a batch; answers will come to `inbox.slot.generation.index`. Returns how many there are
    /// and the bytes of the largest, as the server counts them.
    mutating func write(
        _ batch: BatchView, _ route: NATSRouteHeaders, slot: Int, generation: UInt64, to out: inout NATSBuffer
    ) -> (messages: Int, largest: Int) {
        let whole = batch.header
        guard batch.isEventMode else {
            beginHeader(route, batch: whole.number, index: nil)
            header.append(whole.isCompressed ? route.compressed : route.plain)
            if whole.dictionary != 0 {
                header.append("dictionary: ")
                header.append(UInt64(whole.dictionary))
                header.append("\r\n")
            }
            extent(
                count: UInt64(whole.count), sequences: (whole.firstSequence, whole.lastSequence),
                times: (whole.firstEventTime, whole.lastEventTime))
            return (1, message(batch.data, route, slot, generation, 0, to: &out))
        }
        var largest = 0
        for index in 0..<Int(whole.count) {
            let slice = batch.slice(index)
            beginHeader(route, batch: whole.number, index: index)
            header.append(route.event)
            extent(
                count: 1, sequences: (slice.sequence, slice.sequence),
                times: (slice.eventTime, slice.eventTime))
            largest = max(largest, message(batch.event(index), route, slot, generation, index, to: &out))
        }
        return (Int(whole.count), largest)
    }

    private mutating func identity(_ run: [UInt8], batch: UInt64, index: Int?) {
        header.append(run)
        header.append(batch)
        if let index {
            header.append("-")
            header.append(UInt64(index))
        }
        header.append("\r\n")
    }

    private mutating func beginHeader(_ route: NATSRouteHeaders, batch: UInt64, index: Int?) {
        header.count = 0
        header.append("NATS/1.0\r\nNats-Msg-Id: ")
        identity(route.run, batch: batch, index: index)
        header.append("batch_id: ")
        identity(route.run, batch: batch, index: index)
    }

    private mutating func extent(count: UInt64, sequences: (UInt64, UInt64), times: (Int64, Int64)) {
        header.append("count: ")
        header.append(count)
        header.append("\r\nfirst_sequence: ")
        header.append(sequences.0)
        header.append("\r\nlast_sequence: ")
        header.append(sequences.1)
        header.append("\r\nfirst_event_time: ")
        header.append(times.0)
        header.append("\r\nlast_event_time: ")
        header.append(times.1)
        header.append("\r\n\r\n")
    }

    private func message(
        _ data: UnsafeRawBufferPointer, _ route: NATSRouteHeaders, _ slot: Int, _ generation: UInt64,
        _ index: Int,
        to out: inout NATSBuffer
    ) -> Int {
        out.append("HPUB ")
        out.append(route.subject)
        out.append(" ")
        out.append(inbox)
        out.append(".")
        out.append(UInt64(slot))
        out.append(".")
        out.append(generation)
        out.append(".")
        out.append(UInt64(index))
        out.append(" ")
        out.append(UInt64(header.count))
        out.append(" ")
        out.append(UInt64(header.count + data.count))
        out.append("\r\n")
        out.append(header.bytes)
        out.append(data)
        out.append("\r\n")
        return header.count + data.count
    }
}
