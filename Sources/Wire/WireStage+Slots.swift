import CKernel
import Rings

/// The slots' machines: what happens is told to them, what they decide is done here.
extension WireStage {
    /// A machine has been told something: what it wants is done at the end of the cycle.
    mutating func touch(_ link: Int) {
        let slot = link / LinkIndex.sides
        if !touched.contains(slot) { touched.append(slot) }
    }

    /// Performs what the machines decided in this cycle.
    mutating func performTouched() -> Int {
        guard !touched.isEmpty else { return 0 }
        var work = 0
        // Performing one slot's actions may touch it again, or another.
        while let slot = touched.popLast() {
            perform(slot)
            work += 1
        }
        nextTimer = 0
        return work
    }

    private mutating func perform(_ slot: Int) {
        while !machines[slot].actions.isEmpty {
            let actions = machines[slot].actions
            machines[slot].actions.removeAll(keepingCapacity: true)
            for action in actions { perform(action, slot) }
        }
        monitor.set(machines[slot].standing, slot: slot, now: ck_monotonic_nanos())
    }

    private mutating func perform(_ action: SlotAction, _ slot: Int) {
        func link(_ side: Int) -> Int { LinkIndex.link(slot: slot, side: side) }
        switch action {
        case .open(let side, let generation, let endpoint):
            let connection = connections + link(side)
            connection.pointee.generation = generation
            connection.pointee.plan.endpoint = connection.pointee.plan.endpoints[endpoint]
            begin(link(side), now: ck_monotonic_nanos())
        case .send(let side, let request):
            guard let payload = encode(request, connections[link(side)].plan.language) else { return }
            send(link(side), .text, payload)
        case .pong(let side):
            guard let pong = connections[link(side)].pong else { return }
            connections[link(side)].pong = nil
            send(link(side), .pong, pong)
            monitor.countPong(link: link(side))
        case .close(let side): startClose(link(side), code: 1000)
        case .drop(let side, let cause): release(link(side), cause)
        case .report(let report):
            monitor.count(report, slot: slot)
            monitor.notice(report.level, slot: slot, report.description)
        }
    }

    private func encode(_ request: SlotRequest, _ language: (any ControlLanguage)?) -> [UInt8]? {
        let names = request.streams.map(\.name)
        return switch request.method {
        case .subscribe, .repeated: language?.subscribe(names, id: request.id)
        case .unsubscribe: language?.unsubscribe(names, id: request.id)
        case .list: language?.list(id: request.id)
        }
    }

    // MARK: Time

    mutating func runTimers(_ now: Int64) -> Int {
        var work = 0
        var next = now + 1_000_000_000
        if lag.look(position: frames.position, consumed: frames.consumed, now: now) > ConsumerLag.limitNanos {
            for slot in machines.indices { machines[slot].heldUp(now) }
        }
        for slot in machines.indices {
            if machines[slot].deadline <= now {
                tick(slot, now)
                work += 1
            }
            next = min(next, machines[slot].deadline)
            for link in slot * LinkIndex.sides..<(slot + 1) * LinkIndex.sides {
                if connections[link].nextDeadline <= now {
                    expire(link, now)
                    work += 1
                }
                next = min(next, connections[link].nextDeadline)
                delayAcknowledgements(link, now)
            }
        }
        nextTimer = next
        return work
    }

    /// Once a second for a connection that brings something: an acknowledgement for every message would be made, and on the
    /// same machine delivered, before the message is looked at.
    private func delayAcknowledgements(_ link: Int, _ now: Int64) {
        let connection = connections + link
        guard now - connection.pointee.delayedTime >= 1_000_000_000,
            connection.pointee.lastBytesTime > connection.pointee.delayedTime,
            let fd = connection.pointee.transport?.fd
        else { return }
        connection.pointee.delayedTime = now
        ck_delay_acknowledgements(fd)
    }

    private mutating func tick(_ slot: Int, _ now: Int64) {
        for side in 0..<LinkIndex.sides {
            machines[slot].heard(side, at: connections[LinkIndex.link(slot: slot, side: side)].lastBytesTime)
        }
        machines[slot].wallOffset = ck_realtime_nanos() - now
        machines[slot].tick(now)
        perform(slot)
    }

    /// Opening or closing took too long.
    private mutating func expire(_ link: Int, _ now: Int64) {
        guard connections[link].phase == .closing else { return expireOpening(link, now: now) }
        end(link, .stopped, "closed without the peer's answer", level: .info)
    }

    // MARK: Ending

    /// The connection is over, or could not be made: `text` says why.
    mutating func end(
        _ link: Int, _ cause: ConnectionEnd, _ text: String, level: WireNotice.Level, status: Int = 0,
        retryAfter: String? = nil
    ) {
        // What we have closed ourselves ends as planned, however the peer answers.
        let isExpected = connections[link].phase == .closing && connections[link].conclusion == nil
        let cause = isExpected ? .stopped : cause
        monitor.notice(isExpected ? .info : level, link: link, text)
        let generation = connections[link].generation
        release(link, cause)
        machines[link / LinkIndex.sides].ended(
            link % LinkIndex.sides, generation: generation, cause, status: status,
            retryAfterNanos: retryAfter.flatMap { RetryAfter.nanos($0, wallNanos: ck_realtime_nanos()) },
            ck_monotonic_nanos())
        touch(link)
    }

    /// Closes the socket and forgets the connection.
    private mutating func release(_ link: Int, _ cause: ConnectionEnd) {
        let connection = connections + link
        let wasOpen = connection.pointee.phase == .open || connection.pointee.phase == .closing
        if connection.pointee.phase == .resolving || connection.pointee.phase == .connecting,
            !connection.pointee.dialing.hasKnocked
        {
            budgets[connection.pointee.plan.market].giveBack(connection.pointee.dialing.begun)
        }
        if let fd = connection.pointee.transport?.fd {
            connection.pointee.transport?.shutdown()
            reactor.remove(fd)
        }
        cancelRace(link)
        connection.pointee.reset()
        if wasOpen { signal(link, .closed) }
        monitor.countEnd(cause, wasOpen: wasOpen, generation: connection.pointee.generation, link: link)
        wakeTimers()
    }

    // MARK: Telling the parser

    /// A record without frames: the parser must know where generations begin and end.
    mutating func signal(_ link: Int, _ kind: FrameRunKind) {
        let header = FrameRunHeader(
            connection: UInt32(link), generation: connections[link].generation,
            receivedTime: ck_realtime_nanos(),
            kind: kind)
        // In their order, and before any frame that comes later.
        if !waitingSignals.isEmpty || !put(header) { waitingSignals.append(header) }
    }

    private mutating func put(_ header: FrameRunHeader) -> Bool {
        guard let room = frames.reserve(FrameRunHeader.size) else { return false }
        room.storeBytes(of: header, as: FrameRunHeader.self)
        frames.commit(FrameRunHeader.size)
        return true
    }

    /// Signals that the full ring had no room for. False while it still has none: nothing is read before.
    mutating func putWaitingSignals() -> Bool {
        while let header = waitingSignals.first {
            guard put(header) else { return false }
            waitingSignals.removeFirst()
        }
        return true
    }
}
