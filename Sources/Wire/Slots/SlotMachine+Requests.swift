/// Requests: packed, paced, answered.
extension SlotMachine {
    /// Requests that wait for their answers at once.
    private static let outstandingMax = 4
    /// A refused name is asked for again after this, doubling to a day, ns.
    private static let refusedNanos: Int64 = 600_000_000_000
    private static let refusedMaxNanos: Int64 = 86_400_000_000_000

    /// All streams, those that were refused before last and in small requests.
    func streamsToAskFor() -> [UInt32] {
        let wanted = streams.filter { !$0.isRefused }
        return (wanted.filter { $0.requestLimit == Int.max } + wanted.filter { $0.requestLimit < Int.max })
            .map(\.stream.id)
    }

    /// Sends what the pace allows, a pong first.
    mutating func sendDue(_ side: Int, _ now: Int64) {
        while maySend(links[side]), now >= links[side].nextSend {
            if links[side].isPongDue {
                links[side].isPongDue = false
                actions.append(.pong(side: side))
            } else if let request = nextRequest(side) {
                links[side].outstanding.append(
                    SlotLink.Outstanding(
                        request: request,
                        due: now
                            + (request.method == .list
                                ? limits.probeAnswerNanos : limits.acknowledgementNanos)))
                actions.append(.send(side: side, request))
            } else {
                // All that was left has been refused meanwhile.
                noteLive(side, now)
                continue
            }
            links[side].nextSend = now + limits.frameSpacingNanos
        }
    }

    /// Whether something is left to send that need not wait for an answer.
    func maySend(_ link: SlotLink) -> Bool {
        if link.isPongDue { return true }
        if link.isUncertain { return false }
        // What a slow network holds back arrives together, and would be over the exchange's limit.
        guard link.outstanding.count < SlotMachine.outstandingMax else { return false }
        if link.isListWanted { return true }
        if isCautious, !link.outstanding.isEmpty { return false }
        if !link.toUnsubscribe.isEmpty || !link.toRepeat.isEmpty { return true }
        // What is to go must be gone before: one stream too many, and the exchange ends the connection with all of them.
        return link.hasToSubscribe && !link.outstanding.contains { $0.request.method == .unsubscribe }
    }

    private mutating func nextRequest(_ side: Int) -> SlotRequest? {
        let id = links[side].nextID
        var request: SlotRequest?
        if links[side].isListWanted {
            links[side].isListWanted = false
            request = SlotRequest(id: id, method: .list, streams: [])
        } else if !links[side].toUnsubscribe.isEmpty {
            request = SlotRequest(id: id, method: .unsubscribe, streams: packUnsubscribe(side))
        } else if !links[side].toRepeat.isEmpty {
            // By itself: a refusal tells then what was refused.
            request = SlotRequest(id: id, method: .repeated, streams: packRepeated(side))
        } else {
            let packed = packSubscribe(side)
            if !packed.isEmpty { request = SlotRequest(id: id, method: .subscribe, streams: packed) }
        }
        if request != nil { links[side].nextID += 1 }
        return request
    }

    private mutating func packUnsubscribe(_ side: Int) -> [SlotStream] {
        let names = links[side].toUnsubscribe.prefix(limits.namesPerRequest).map(\.name)
        let taken = Array(links[side].toUnsubscribe.prefix(fitting(names)))
        links[side].toUnsubscribe.removeFirst(taken.count)
        return taken
    }

    private mutating func packRepeated(_ side: Int) -> [SlotStream] {
        let known = links[side].toRepeat.prefix(limits.namesPerRequest).compactMap { indexOfStream[$0] }
        let taken = known.map { streams[$0].stream }.prefix(fitting(known.map { streams[$0].stream.name }))
        links[side].toRepeat.removeFirst(taken.count)
        return Array(taken)
    }

    private mutating func packSubscribe(_ side: Int) -> [SlotStream] {
        var found: [SlotStream] = []
        // Where each of them stands in the queue.
        var places: [Int] = []
        var limit = limits.namesPerRequest
        var place = links[side].firstToSubscribe
        while place < links[side].toSubscribe.count, found.count < limit {
            if let index = indexOfStream[links[side].toSubscribe[place]], !streams[index].isRefused {
                limit = min(limit, streams[index].requestLimit)
                guard found.count < limit else { break }
                found.append(streams[index].stream)
                places.append(place)
            }
            place += 1
        }
        let count = found.isEmpty ? 0 : fitting(found.map(\.name))
        links[side].firstToSubscribe = count < found.count ? places[count] : place
        if !links[side].hasToSubscribe {
            links[side].toSubscribe.removeAll(keepingCapacity: true)
            links[side].firstToSubscribe = 0
        }
        return Array(found.prefix(count))
    }

    private func fitting(_ names: [String]) -> Int {
        guard let language else { return names.count }
        return RequestPacking.fitting(names[...], language: language, limits: limits)
    }

    mutating func takeOutstanding(_ side: Int, _ id: Int64) -> SlotRequest? {
        guard let index = links[side].outstanding.firstIndex(where: { $0.request.id == id }) else {
            return nil
        }
        return links[side].outstanding.remove(at: index).request
    }

    mutating func accept(_ request: SlotRequest, _ side: Int, _ now: Int64) {
        if request.method == .subscribe {
            for stream in request.streams {
                guard let index = indexOfStream[stream.id] else { continue }
                streams[index].acknowledged[side] = now
                streams[index].refusals = 0
            }
            if side == primary { nextWatch = min(nextWatch, now) }
        }
        noteLive(side, now)
    }

    mutating func noteLive(_ side: Int, _ now: Int64) {
        guard links[side].isSubscribed, !links[side].wasLive else { return }
        links[side].wasLive = true
        isCautious = false
        if side == primary { report(.live(streams: streamCount)) }
    }

    /// Which of the requests not answered was refused. Where its id is not told, it is known only if there is no other.
    func refused(_ id: Int64?, of requests: [SlotRequest]) -> SlotRequest? {
        requests.first { $0.id == id } ?? (id == nil && requests.count == 1 ? requests[0] : nil)
    }

    mutating func noteRefusal(_ id: Int64?, of requests: [SlotRequest], _ now: Int64) {
        if let request = refused(id, of: requests) {
            noteRefusal(request, now)
        } else if requests.count > 1 {
            isCautious = true
        }
    }

    /// One of the request's names is wrong, which one is not told: they are asked for in ever smaller requests, until
    /// the wrong one stands alone.
    private mutating func noteRefusal(_ request: SlotRequest, _ now: Int64) {
        if request.method == .repeated, takesRepeats {
            takesRepeats = false
            report(.refusesRepeats)
        }
        guard request.method == .subscribe else { return }
        for stream in request.streams {
            guard let index = indexOfStream[stream.id] else { continue }
            if request.streams.count == 1 {
                streams[index].isRefused = true
                streams[index].requestLimit = 1
                let wait = SlotMachine.refusedNanos << Int64(min(streams[index].refusals, 10))
                streams[index].refusals += 1
                streams[index].retryAt = refusalsEnd ? .max : now + min(wait, SlotMachine.refusedMaxNanos)
                nextWatch = min(nextWatch, streams[index].retryAt)
                report(.refusesStream(stream: stream.name))
            } else {
                streams[index].requestLimit = max(1, request.streams.count / 4)
            }
        }
    }

    /// A request on a connection that delivers was refused. What it asked for is asked for again in smaller requests, where
    /// the exchange may count the refused names without ending the connection for it; else on another connection.
    mutating func goOnAfterRefusal(of request: SlotRequest?, _ side: Int) {
        guard let request else { return doubt(side) }
        _ = takeOutstanding(side, request.id)
        switch request.method {
        case .subscribe: break
        // It still brings what it was asked for before.
        case .repeated, .list: return isMoveWanted = true
        case .unsubscribe: return doubt(side)
        }
        let again = request.streams.filter { stream in
            indexOfStream[stream.id].map { !streams[$0].isRefused } ?? false
        }
        guard !again.isEmpty else { return }
        guard takesRepeats, streams.count + links[side].repeats + again.count <= limits.streamsHeld else {
            return doubt(side)
        }
        links[side].repeats += again.count
        links[side].toSubscribe.append(contentsOf: again.map(\.id))
    }

    /// A refused name's time has come: it may have been the exchange's fault, and not the name's.
    mutating func askRefusedAgain(_ index: Int) {
        streams[index].isRefused = false
        for side in 0..<2 where links[side].phase == .open {
            links[side].toSubscribe.append(streams[index].stream.id)
        }
    }

    /// A request was not answered in time. A connection that brings data is not given up for it before another one does.
    mutating func unanswered(_ request: SlotRequest, _ side: Int, silent: Int64, _ now: Int64) {
        let isProbe = request.method == .list
        let isSilent =
            isProbe
            && (silent >= max(limits.probeAfterNanos, limits.probeAnswerNanos) || !bringsWhatItDid(side, now))
        report(isSilent ? .silent(nanos: silent) : .unanswered(id: request.id))
        guard side == primary, links[side].wasLive, !isSilent else {
            return lose(side, isProbe ? .silence : .request, now)
        }
        _ = takeOutstanding(side, request.id)
        switch request.method {
        case .list:
            links[side].answersNoList = true
            suspectWithoutList(side, now)
        case .repeated: isMoveWanted = true
        case .subscribe, .unsubscribe: doubt(side)
        }
    }
}
