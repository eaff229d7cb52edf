import CKernel

// What the server sends, and when.
extension Server where Source: ~Copyable {
    /// So much is put together before it is sent: many frames share a system call, and TLS records.
    private static var batchBytes: Int { 64 * 1024 }
    /// A connection with so much unsent makes the feed wait.
    private static var backlogLimit: Int { 64 * 1024 }
    /// Steps of the source before connections are looked after again.
    private static var stepsMax: Int { 16_384 }

    /// Whether the feed may go on as far as clients are concerned.
    var canPump: Bool {
        began != nil && ended == nil && blockedConnections == 0 && (servedStreams > 0 || pacer.isTimed)
    }

    /// Lets the source make what is due. `now`: monotonic ns.
    mutating func pump(_ now: Int64) {
        if began == nil, subscribedStreams > 0, subscribedStreams >= options.startAfterStreams {
            beginFeed(now)
        }
        guard canPump else { return }
        let wall = ck_realtime_nanos()
        madeAt = now
        var frame = FeedFrame()
        isBatchFull = false
        for _ in 0..<Self.stepsMax {
            if isBatchFull { return }
            let due = pacer.due(recorded: source.nextDue())
            guard due <= now else {
                nextDue = due
                return
            }
            nextDue = now
            switch source.next(&frame, now: wall) {
            case .frame:
                deliver(frame)
                pacer.used(due: due, now: now)
                if totals.framesSent >= options.messages { return endFeed(now) }
            case .skipped:
                // Without a listener time goes on, as it does on the exchange.
                if servedStreams == 0 { pacer.used(due: due, now: due) }
            case .idle:
                pacer.used(due: due, now: due)
                return
            case .end: return endFeed(now)
            }
        }
    }

    private mutating func deliver(_ frame: FeedFrame) {
        for outbox in registry.subscribers(of: frame.stream) where outbox.pointee.framesLeft > 0 {
            let copies = outbox.pointee.isFaulty ? copies(outbox, frame) : 1
            for _ in 0..<copies { deliver(frame, outbox) }
        }
    }

    /// How often a frame goes to a connection that has a fault.
    private mutating func copies(_ outbox: UnsafeMutablePointer<Outbox>, _ frame: FeedFrame) -> Int {
        let number = outbox.pointee.connection
        guard let connection = connections[number] else { return 0 }
        if connection.faults.trickle != nil, outbox.pointee.count > Self.backlogLimit { return 0 }
        let hadSkips = !connection.faults.skips.isEmpty
        let name = source.streamNames[frame.stream]
        var copies = connection.faults.copies(of: String(decoding: name, as: UTF8.self))
        if copies == 1, random.happens(options.chances.skip) { copies = 0 }
        if copies == 1, random.happens(options.chances.repeated) { copies = 2 }
        let isSkipped = copies == 0 && (hadSkips || options.chances.skip > 0)
        if isSkipped, connection.faults.stalledUntil == 0, !connection.faults.isFrozen {
            tell(number, "skipped " + String(decoding: frame.combined, as: UTF8.self))
        } else if copies == 2 {
            tell(number, "repeated " + String(decoding: frame.combined, as: UTF8.self))
        }
        return copies
    }

    @inline(__always)
    private mutating func deliver(_ frame: FeedFrame, _ outbox: UnsafeMutablePointer<Outbox>) {
        outbox.pointee.framesLeft &-= 1
        let bytes =
            outbox.pointee.isCombined
            ? frame.combined : UnsafeRawBufferPointer(rebasing: frame.combined[frame.payload])
        if outbox.pointee.isLagging {
            hold(outbox, bytes)
        } else {
            outbox.pointee.append(opcode: .text, bytes.baseAddress, count: bytes.count)
        }
        totals.framesSent &+= 1
        totals.bytesSent &+= bytes.count
        if truth.isOn { truth.note(connection: outbox.pointee.connection, bytes) }
        if !outbox.pointee.isDirty {
            outbox.pointee.isDirty = true
            dirty.append(outbox.pointee.connection)
        }
        if outbox.pointee.count >= Self.batchBytes || outbox.pointee.framesLeft == 0 {
            isBatchFull = true
        }
    }

    private mutating func hold(_ outbox: UnsafeMutablePointer<Outbox>, _ bytes: UnsafeRawBufferPointer) {
        guard let held = connections[outbox.pointee.connection]?.held else { return }
        held.append(bytes, now: madeAt)
        lagging.insert(outbox.pointee.connection)
        nextHeld = min(nextHeld, held.nextDue)
    }

    /// Lets frames go whose time has come.
    mutating func releaseHeld(_ now: Int64) {
        guard now >= nextHeld else { return }
        nextHeld = .max
        for number in lagging {
            guard let connection = connections[number], let held = connection.held, connection.phase == .open
            else {
                lagging.remove(number)
                continue
            }
            held.release(now, to: connection.outbox)
            markDirty(connection)
            nextHeld = min(nextHeld, held.nextDue)
            if held.count == 0 { lagging.remove(number) }
        }
    }

    private mutating func beginFeed(_ now: Int64) {
        began = now
        nextDue = now
        pacer.begin(now: now)
        schedule.begin(now: now, &random)
        for connection in connections.values where connection.phase == .open { inject(connection) }
    }

    mutating func endFeed(_ now: Int64) {
        guard ended == nil else { return }
        ended = now
        if !options.isQuiet { report("the feed is over after \(totals.framesSent) frames") }
    }

    /// Sends the frames that the options ask for, once a connection.
    mutating func inject(_ connection: Connection) {
        guard !connection.wasInjected, !connection.streams.isEmpty else { return }
        connection.wasInjected = true
        for frame in options.injected {
            connection.send(.text, frame.bytes)
            if truth.isOn {
                frame.line.withUnsafeBytes { truth.note(connection: connection.number, $0) }
            }
        }
        markDirty(connection)
    }

    /// Has the connection's outbox flushed before the next wait.
    mutating func markDirty(_ connection: Connection) {
        guard !connection.outbox.pointee.isDirty else { return }
        connection.outbox.pointee.isDirty = true
        dirty.append(connection.number)
    }

    /// Sends what waits on all connections that have something new.
    mutating func flushDirty(_ now: Int64) {
        guard !dirty.isEmpty else { return }
        for number in dirty {
            guard let connection = connections[number] else { continue }
            connection.outbox.pointee.isDirty = false
            flush(connection, now)
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private mutating func flush(_ connection: Connection, _ now: Int64) {
        guard connection.phase != .handshake, !connection.faults.isFrozen else { return }
        let progress: Transport.Progress
        if let trickle = connection.faults.trickle {
            let before = connection.outbox.pointee.count
            progress = connection.transport.flush(connection.outbox, limit: trickle.allowance(now))
            connection.faults.trickle?.sent += before - connection.outbox.pointee.count
        } else {
            progress = connection.transport.flush(connection.outbox)
        }
        if case .failed = progress { return drop(connection) }
        setWriteInterest(connection, progress == .waiting)
        let backlog = progress == .waiting ? connection.transport.backlog(connection.outbox) : 0
        if let limit = options.backlogCut, backlog >= limit {
            tell(connection.number, "cut, too slow")
            connection.transport.breakOnClose()
            return drop(connection)
        }
        let isBlocked = backlog >= Self.backlogLimit && options.backlogCut == nil
        if isBlocked != connection.isBlocked {
            connection.isBlocked = isBlocked
            blockedConnections += isBlocked ? 1 : -1
        }
        guard progress == .done else { return }
        if connection.outbox.pointee.framesLeft == 0 { return drop(connection) }
        if case .closing = connection.phase, connection.hasPeerClosed, !connection.hasEndedSending {
            connection.hasEndedSending = true
            connection.transport.endSending()
        }
    }

    private func setWriteInterest(_ connection: Connection, _ wants: Bool) {
        guard wants != connection.waitsToWrite else { return }
        connection.waitsToWrite = wants
        let events = CK_READ | (wants ? CK_WRITE : 0)
        ck_epoll_modify(epoll.raw, connection.transport.descriptor, UInt32(events), UInt64(connection.number))
    }
}
