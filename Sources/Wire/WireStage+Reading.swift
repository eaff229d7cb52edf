import CKernel
import Rings

/// Reading: from the socket through TLS into the frame ring, unframed in place.
extension WireStage {
    /// Bytes that one run brings at most, besides a message that is larger.
    static var runBytes: Int { 65_536 }
    /// Frames that one run holds at most.
    static var sliceLimit: Int { 4_096 }
    /// Bytes that a frame ring needs at least for messages of this size: for four of them, or for a compressed one and
    /// what it becomes, besides a full run and its table.
    public static func ringBytes(messageBytes: Int) -> Int {
        max(4 * messageBytes, 2 * messageBytes + messageBytes >> 10 + 4 * runBytes)
    }

    /// Runs that one connection may fill before others get their turn.
    static var runsPerTurn: Int { 8 }

    /// Reads as long as there is something, a bounded amount of it. Returns the number of runs.
    mutating func read(_ slot: Int) -> Int {
        var runs = 0
        while runs < WireStage.runsPerTurn {
            let phase = connections[slot].phase
            guard phase == .open || phase == .closing else { break }
            if connections[slot].conclusion != nil {
                conclude(slot)
                break
            }
            guard connections[slot].carryNeed > WireStage.runBytes ? gather(slot) : fillRun(slot) else {
                break
            }
            runs += 1
            // The socket is level-triggered: more bytes, and its end, are announced.
            if connections[slot].transport?.isDrained ?? false, !connections[slot].hasWholeFrames { break }
        }
        return runs
    }

    /// A message larger than a run is unframed and joined in the carry and put into the ring once it is whole, so
    /// that it is not copied again with every read. False where nothing (more) is there, the ring is full, or the
    /// connection has ended.
    private mutating func gather(_ slot: Int) -> Bool {
        let connection = connections + slot
        if connection.pointee.carryCount < connection.pointee.carryNeed {
            let missing = connection.pointee.carryNeed - connection.pointee.carryCount
            let room = max(missing, WireStage.runBytes)
            connection.pointee.ensureCarry(connection.pointee.carryCount + room)
            let at = connection.pointee.carry + connection.pointee.carryCount
            guard case .bytes(let count) = receive(slot, into: at, count: room) else { return false }
            connection.pointee.carryCount += count
        }
        let filled = connection.pointee.carryCount
        guard let record = room(slot, for: filled) else { return false }
        connection.pointee.hasWholeFrames = false
        var run = Run(record: record, isApart: true)
        _ = unframe(slot, connection.pointee.carry, filled, &run)
        guard isReadable(slot) else { return false }
        emit(slot, run)
        let carry = connection.pointee.carry
        connection.pointee.carryCount = connection.pointee.unframer.leftover(end: filled)
        connection.pointee.unframer.carry(
            from: carry.assumingMemoryBound(to: UInt8.self), end: filled, to: carry)
        return true
    }

    /// hot: one run. False where nothing (more) is there, the ring is full, or the connection has ended.
    private mutating func fillRun(_ slot: Int) -> Bool {
        let connection = connections + slot
        let carried = connection.pointee.carryCount
        let dataRoom = carried &+ WireStage.runBytes
        guard let record = room(slot, for: dataRoom) else { return false }
        let data = record + FrameRunHeader.size
        data.copyMemory(from: connection.pointee.carry, byteCount: carried)
        var filled = carried
        var run = Run(record: record)
        var goOn = true
        var runTime: Int64 = 0
        // Inflated messages are put where further bytes would be read to.
        let inflates = connection.pointee.unframer.inflates
        // Whole frames may wait in the carry: look at these before reading.
        if connection.pointee.hasWholeFrames {
            connection.pointee.hasWholeFrames = false
            goOn = unframe(slot, data, filled, &run) && !(inflates && run.count > 0)
        }
        while goOn, filled < dataRoom {
            guard
                let outcome = connection.pointee.transport?.read(
                    into: data + filled, count: dataRoom &- filled)
            else { break }
            guard case .bytes(let count) = outcome else {
                finish(slot, run, data, filled, time: runTime)
                stopReading(slot, outcome)
                return false
            }
            filled &+= count
            let time = connection.pointee.transport?.receivedTime ?? 0
            let isFirst = runTime == 0
            if isFirst { runTime = time }
            goOn = unframe(slot, data, filled, &run)
            // A later receive call belongs to the next run, with its own time.
            guard !inflates, connection.pointee.transport?.hasPending ?? false, time == runTime else { break }
        }
        if runTime != 0 { connection.pointee.lastBytesTime = ck_monotonic_nanos() }
        guard isReadable(slot) else { return false }
        finish(slot, run, data, filled, time: runTime)
        // Nothing was taken where the ring has no room for what a message might be inflated to.
        return run.count > 0 || !connection.pointee.hasWholeFrames
    }

    private func isReadable(_ slot: Int) -> Bool {
        connections[slot].phase == .open || connections[slot].phase == .closing
    }

    /// Room in the ring for a record with so many bytes of data; nil where it is too full. Nothing is taken yet.
    private mutating func room(_ slot: Int, for bytes: Int) -> UnsafeMutableRawPointer? {
        let tableRoom = WireStage.sliceLimit &* MemoryLayout<FrameSlice>.size
        if let record = frames.reserve(FrameRunHeader.size &+ bytes &+ tableRoom &+ 8) { return record }
        isBlocked = true
        connections[slot].hasWholeFrames = true
        return nil
    }

    /// Reads, or says why there is nothing to read.
    mutating func receive(_ slot: Int, into bytes: UnsafeMutableRawPointer, count: Int) -> Transport.Outcome {
        let outcome = connections[slot].transport?.read(into: bytes, count: count) ?? .failed
        if case .bytes = outcome {
            connections[slot].lastBytesTime = ck_monotonic_nanos()
        } else {
            stopReading(slot, outcome)
        }
        return outcome
    }

    private mutating func stopReading(_ slot: Int, _ outcome: Transport.Outcome) {
        switch outcome {
        case .bytes, .wantRead: break
        case .wantWrite: watch(slot, CK_READ | CK_WRITE)
        case .ended, .failed: ended(slot)
        }
    }

    /// A record of the ring as it grows.
    struct Run {
        /// Where the record is.
        let record: UnsafeMutableRawPointer
        /// The data that are being unframed lie elsewhere and have yet to be copied into the record.
        var isApart = false
        var count = 0
        /// End of the bytes that the messages so far take, inflated ones included; from the data's beginning.
        var end = 0
        /// End of those that lie where they were read to.
        var endInPlace = 0
        /// Bytes of the messages as they came, without headers.
        var received = 0
    }

    /// hot: finds the messages in what has come. False where the run is full or the connection must end.
    private mutating func unframe(
        _ slot: Int, _ data: UnsafeMutableRawPointer, _ filled: Int, _ run: inout Run
    ) -> Bool {
        let connection = connections + slot
        let bytes = data.assumingMemoryBound(to: UInt8.self)
        while true {
            guard run.count < WireStage.sliceLimit else {
                connection.pointee.hasWholeFrames = true
                return false
            }
            if connection.pointee.unframer.inflates {
                let worst = max(run.end, filled) &+ connection.pointee.unframer.messageLimit
                guard room(slot, for: worst) != nil else { return false }
            }
            switch connection.pointee.unframer.next(in: bytes, end: filled) {
            case .message(let offset, let length, let isBinary):
                slices[run.count] = FrameSlice(
                    offset: FrameRunHeader.size &+ offset, length: length, isBinary: isBinary)
                run.count &+= 1
                run.endInPlace = offset &+ length
                run.end = max(run.end, run.endInPlace)
                run.received &+= length
            case .incomplete(let total):
                connection.pointee.carryNeed = total
                return true
            case .compressed(let offset, let length, let isBinary):
                if let failure = inflate(slot, bytes + offset, length, isBinary, filled, &run) {
                    fail(slot, code: failure.code, failure.reason, run)
                    return false
                }
            case .ping(let offset, let length):
                pinged(slot, Array(UnsafeBufferPointer(start: bytes + offset, count: length)))
            case .pong: break
            case .close(let offset, let length):
                // Copied first: the run's table is written behind its last frame, where this payload lies.
                let payload = Array(UnsafeBufferPointer(start: bytes + offset, count: length))
                emit(slot, run)
                peerClosed(slot, payload)
                return false
            case .failure(let code, let reason):
                fail(slot, code: code, reason, run)
                return false
            }
        }
    }

    /// A compressed message, inflated behind what has come; at most as large as any other.
    private mutating func inflate(
        _ slot: Int, _ bytes: UnsafePointer<UInt8>, _ length: Int, _ isBinary: Bool, _ filled: Int,
        _ run: inout Run
    ) -> (code: UInt16, reason: String)? {
        let connection = connections + slot
        let begin = max(run.end, filled)
        let target = run.record + FrameRunHeader.size + begin
        let limit = connection.pointee.unframer.messageLimit
        switch connection.pointee.deflate?.inflate(bytes, length, into: target, room: limit) ?? .corrupt {
        case .corrupt: return (CloseCode.invalidPayload, "a compressed message that cannot be inflated")
        case .tooLarge: return (CloseCode.tooLarge, "a message that is inflated is larger than the limit")
        case .bytes(let count):
            if !isBinary, !UTF8Check.isValid(target.assumingMemoryBound(to: UInt8.self), count) {
                return (CloseCode.invalidPayload, "a text message is not UTF-8")
            }
            slices[run.count] = FrameSlice(
                offset: FrameRunHeader.size &+ begin, length: count, isBinary: isBinary)
            run.count &+= 1
            run.end = begin &+ count
            run.received &+= length
            return nil
        }
    }

    /// Puts the run into the ring and carries the rest over.
    private mutating func finish(
        _ slot: Int, _ run: Run, _ data: UnsafeMutableRawPointer, _ filled: Int, time: Int64
    ) {
        let connection = connections + slot
        let left = connection.pointee.unframer.leftover(end: filled)
        connection.pointee.carryCount = 0
        connection.pointee.ensureCarry(left)
        connection.pointee.unframer.carry(
            from: data.assumingMemoryBound(to: UInt8.self), end: filled, to: connection.pointee.carry)
        connection.pointee.carryCount = left
        emit(slot, run, time: time)
    }

    private mutating func emit(_ slot: Int, _ run: Run, time: Int64 = 0) {
        guard run.count > 0 else { return }
        let connection = connections + slot
        let record = run.record
        if run.isApart {
            (record + FrameRunHeader.size).copyMemory(
                from: connection.pointee.carry, byteCount: run.endInPlace)
        }
        let table = (FrameRunHeader.size &+ run.end &+ 7) & ~7
        (record + table).copyMemory(from: slices, byteCount: run.count &* MemoryLayout<FrameSlice>.size)
        var received = time
        if received == 0 { received = connection.pointee.transport?.receivedTime ?? 0 }
        if received == 0 { received = ck_realtime_nanos() }
        // The kernel's first stamps may be missing and the fallback be later than the next real one. Within a second
        // receive times of a connection never go back; a clock that is set back further is believed.
        let last = connection.pointee.lastReceivedTime
        if received < last, last &- received < 1_000_000_000 { received = last }
        connection.pointee.lastReceivedTime = received
        record.storeBytes(
            of: FrameRunHeader(
                connection: UInt32(slot), generation: connection.pointee.generation, receivedTime: received,
                kind: .frames, frameCount: run.count, tableOffset: table), as: FrameRunHeader.self)
        frames.commit(table &+ run.count &* MemoryLayout<FrameSlice>.size)
        frames.publish()
        monitor.countRun(link: slot, frames: run.count, bytes: run.received)
        readLatency.record(ck_realtime_nanos() &- received, count: run.count)
    }

    private mutating func pinged(_ slot: Int, _ payload: [UInt8]) {
        let connection = connections + slot
        guard connection.pointee.plan.pongs == .each else {
            connection.pointee.pong = payload
            machines[slot / LinkIndex.sides].pinged(
                slot % LinkIndex.sides, generation: connection.pointee.generation, ck_monotonic_nanos())
            touch(slot)
            return
        }
        // A peer that pings and does not read: the latest ping's answer is all that it is owed (RFC 6455, 5.5.3).
        guard connection.pointee.phase == .open, connection.pointee.unsent.count < WireStage.unsentLimit
        else {
            return
        }
        send(slot, .pong, payload)
        monitor.countPong(link: slot)
    }

    /// The peer broke the protocol; what it sent before still counts.
    private mutating func fail(_ slot: Int, code: UInt16, _ reason: String, _ run: Run) {
        emit(slot, run)
        let remedy = code == CloseCode.tooLarge ? "; raise maxMessageBytes if it is genuine" : ""
        settle(
            slot,
            Conclusion(
                payload: ClientFrame.closePayload(code: code),
                cause: code == CloseCode.tooLarge ? .tooLarge : .protocolError,
                text: "\(reason)\(remedy) (close code \(code))", level: .error))
    }

    private mutating func peerClosed(_ slot: Int, _ payload: [UInt8]) {
        let code = payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        let reason = String(decoding: payload.dropFirst(2), as: UTF8.self)
        let why =
            "the server closed: \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " \(reason)")"
        settle(
            slot,
            Conclusion(
                payload: code.map { ClientFrame.closePayload(code: $0) } ?? [], cause: .closed, text: why,
                level: code == 1008 ? .error : .warning))
    }

    private mutating func ended(_ slot: Int) {
        if let conclusion = connections[slot].conclusion {
            end(slot, conclusion.cause, conclusion.text, level: conclusion.level)
            return
        }
        let isClosing = connections[slot].phase == .closing
        let why = connections[slot].transport?.errorText ?? ""
        end(
            slot, isClosing ? .stopped : .ended,
            "the connection ended without a close frame\(why.isEmpty ? "" : ": \(why)")",
            level: isClosing ? .info : .warning)
    }
}
