import CKernel
import Rings

/// Reading: from the socket through TLS into the frame ring, unframed in place.
extension WireStage {
    /// Bytes that one run brings at most, besides a message that is larger.
    static var runBytes: Int { 65_536 }
    /// Frames that one run holds at most.
    static var sliceLimit: Int { 4_096 }
    /// Runs that one connection may fill before others get their turn.
    static var runsPerTurn: Int { 8 }

    /// Reads as long as there is something, a bounded amount of it. Returns the number of runs.
    mutating func read(_ slot: Int) -> Int {
        var runs = 0
        while runs < WireStage.runsPerTurn {
            let phase = connections[slot].phase
            guard phase == .open || phase == .closing else { break }
            guard gatherLargeMessage(slot) else { break }
            guard fillRun(slot) else { break }
            runs += 1
        }
        return runs
    }

    /// A message larger than a run is gathered in the carry, so that it is not copied again with every read. False
    /// where its end has not come yet.
    private mutating func gatherLargeMessage(_ slot: Int) -> Bool {
        let connection = connections + slot
        guard connection.pointee.carryNeed > WireStage.runBytes else { return true }
        while connection.pointee.carryCount < connection.pointee.carryNeed {
            connection.pointee.ensureCarry(connection.pointee.carryNeed)
            let at = connection.pointee.carry + connection.pointee.carryCount
            let room = connection.pointee.carryNeed - connection.pointee.carryCount
            switch connection.pointee.transport?.read(into: at, count: room) ?? .failed {
            case .bytes(let count):
                connection.pointee.carryCount += count
                connection.pointee.lastBytesTime = ck_monotonic_nanos()
            case .wantRead: return false
            case .wantWrite:
                watch(slot, CK_READ | CK_WRITE)
                return false
            case .ended, .failed:
                ended(slot)
                return false
            }
        }
        return true
    }

    /// hot: one run. False where nothing (more) is there, the ring is full, or the connection has ended.
    private mutating func fillRun(_ slot: Int) -> Bool {
        let connection = connections + slot
        let carried = connection.pointee.carryCount
        let dataRoom = carried &+ WireStage.runBytes
        let tableRoom = WireStage.sliceLimit &* MemoryLayout<FrameSlice>.size
        guard let record = frames.reserve(FrameRunHeader.size &+ dataRoom &+ tableRoom &+ 8) else {
            isBlocked = true
            connection.pointee.hasWholeFrames = true
            return false
        }
        let data = record + FrameRunHeader.size
        data.copyMemory(from: connection.pointee.carry, byteCount: carried)
        var filled = carried
        var run = Run(begin: FrameRunHeader.size)
        var goOn = true
        var runTime: Int64 = 0
        // Whole frames may wait in the carry: look at these before reading.
        if connection.pointee.hasWholeFrames {
            connection.pointee.hasWholeFrames = false
            goOn = unframe(slot, data, filled, &run)
        }
        while goOn, filled < dataRoom {
            guard
                let outcome = connection.pointee.transport?.read(
                    into: data + filled, count: dataRoom &- filled)
            else { break }
            guard case .bytes(let count) = outcome else {
                finish(slot, run, record, data, filled, time: runTime)
                if case .wantRead = outcome { return false }
                if case .wantWrite = outcome {
                    watch(slot, CK_READ | CK_WRITE)
                    return false
                }
                ended(slot)
                return false
            }
            filled &+= count
            let time = connection.pointee.transport?.receivedTime ?? 0
            let isFirst = runTime == 0
            if isFirst { runTime = time }
            goOn = unframe(slot, data, filled, &run)
            // A later receive call belongs to the next run, with its own time.
            guard connection.pointee.transport?.hasPending ?? false, time == runTime else { break }
        }
        if runTime != 0 { connection.pointee.lastBytesTime = ck_monotonic_nanos() }
        let isOpen = connection.pointee.phase == .open || connection.pointee.phase == .closing
        if isOpen { finish(slot, run, record, data, filled, time: runTime) }
        return isOpen
    }

    /// The run's table as it grows.
    struct Run {
        /// Offset of the data in the record.
        let begin: Int
        var count = 0
        /// End of the bytes that the frames so far take.
        var end = 0
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
            switch connection.pointee.unframer.next(in: bytes, end: filled) {
            case .message(let offset, let length, let isBinary):
                slices[run.count] = FrameSlice(
                    offset: run.begin &+ offset, length: length, isBinary: isBinary)
                run.count &+= 1
                run.end = offset &+ length
            case .incomplete(let total):
                connection.pointee.carryNeed = total
                return true
            case .ping(let offset, let length):
                connection.pointee.pong = Array(UnsafeBufferPointer(start: bytes + offset, count: length))
                wakeTimers()
            case .pong: break
            case .close(let offset, let length):
                // Copied first: the run's table is written behind its last frame, where this payload lies.
                let payload = Array(UnsafeBufferPointer(start: bytes + offset, count: length))
                emit(slot, run, data - FrameRunHeader.size)
                peerClosed(slot, payload)
                return false
            case .failure(let code, let reason):
                emit(slot, run, data - FrameRunHeader.size)
                sayClose(slot, code: code)
                end(
                    slot, code == 1009 ? .tooLarge : .protocolError,
                    "\(reason)\(code == 1009 ? "; raise maxMessageBytes if it is genuine" : "") (close code \(code))",
                    level: .error)
                return false
            }
        }
    }

    /// Puts the run into the ring and carries the rest over.
    private mutating func finish(
        _ slot: Int, _ run: Run, _ record: UnsafeMutableRawPointer, _ data: UnsafeMutableRawPointer,
        _ filled: Int,
        time: Int64
    ) {
        let connection = connections + slot
        let left = connection.pointee.unframer.leftover(end: filled)
        connection.pointee.carryCount = 0
        connection.pointee.ensureCarry(left)
        connection.pointee.unframer.carry(
            from: data.assumingMemoryBound(to: UInt8.self), end: filled, to: connection.pointee.carry)
        connection.pointee.carryCount = left
        emit(slot, run, record, time: time)
    }

    private mutating func emit(_ slot: Int, _ run: Run, _ record: UnsafeMutableRawPointer, time: Int64 = 0) {
        guard run.count > 0 else { return }
        let connection = connections + slot
        let table = (run.begin &+ run.end &+ 7) & ~7
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
        monitor.countRun(slot: slot, frames: run.count, bytes: run.end)
    }

    private mutating func peerClosed(_ slot: Int, _ payload: [UInt8]) {
        let code = payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        let reason = String(decoding: payload.dropFirst(2), as: UTF8.self)
        sayClose(slot, code: code.map { $0 == 1005 || $0 == 1006 ? 1000 : $0 })
        let why =
            "the server closed: \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " \(reason)")"
        end(slot, .closed, why, level: code == 1008 ? .error : .warning)
    }

    private mutating func ended(_ slot: Int) {
        let isClosing = connections[slot].phase == .closing
        let why = connections[slot].transport?.errorText ?? ""
        end(
            slot, isClosing ? .stopped : .ended,
            "the connection ended without a close frame\(why.isEmpty ? "" : ": \(why)")",
            level: isClosing ? .info : .warning)
    }
}
