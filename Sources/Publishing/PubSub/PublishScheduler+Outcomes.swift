import CKernel

/// Outcomes back.
extension PublishScheduler {
    /// Takes the outcome of a request. Called exactly once for each.
    func finish(_ request: Request, _ outcome: RequestOutcome, now: Int64) {
        release(request)
        ledger.count(outcome.code)
        if outcome.lacksStatus { ledger.add(to: .answersWithoutStatus) }
        let isLinkFault = updateLink(request, outcome, now: now)
        switch request.work {
        case .publish(let lane): finish(lane, outcome, isLinkFault: isLinkFault, now: now)
        case .create(let topic): finish(topic, outcome, isLinkFault: isLinkFault, now: now)
        }
        if let block = request.block { pool.give(block) }
        ledger.set(pool.inUse, at: .bytesHeld)
        guard outcome.code == .ok else { return }
        window.note(time: now - request.startedAt, now: now)
        if problems == 0, !linkHasProblem, !ledger.isHealthy {
            ledger.reportRecovery(
                "pubsub sink: \(settings.endpoint.authority) takes messages again, nothing was lost")
        }
    }

    /// Whether the connection is to blame. One request that got no answer in time says nothing about a connection on
    /// which others have had theirs meanwhile.
    private func updateLink(_ request: Request, _ outcome: RequestOutcome, now: Int64) -> Bool {
        var link = links[request.link]
        let isTimeout = outcome.code == .deadlineExceeded
        let isFault = outcome.isLinkFault && !(isTimeout && link.lastAnswer > request.startedAt)
        if isFault {
            if link.state == .up { ledger.add(to: .reconnects) }
            if link.state != .draining {
                linkFailures += 1
                // Servers end connections now and then: the first time nothing is wrong yet.
                let wait = linkFailures == 1 ? 0 : linkBackoff.wait(attempt: linkFailures, random: &random)
                link.retryAt = now + wait
                // While none is open they are tried one for all.
                if !links.contains(where: { $0.state == .up }) {
                    for index in links.indices {
                        links[index].retryAt = max(links[index].retryAt, now + wait)
                    }
                }
            }
            if linkFailures > 1 {
                linkHasProblem = true
                ledger.report(
                    problem:
                        "pubsub sink: \(settings.endpoint.authority): \(outcome.text); check the network and"
                        + " sink.endpoint or PUBSUB_EMULATOR_HOST; the batches are kept and tried again")
            }
            link.state = .draining
        } else {
            if !outcome.isLinkFault { link.lastAnswer = now }
            if link.state == .probing {
                link.state = .up
                linkFailures = 0
                linkHasProblem = false
            }
        }
        if link.state == .draining, link.requests == 0 { link.state = .down }
        links[request.link] = link
        ledger.set(links.reduce(0) { $0 + ($1.state == .up ? 1 : 0) }, at: .connectionsOpen)
        return isFault
    }

    private func finish(_ lane: Lane, _ outcome: RequestOutcome, isLinkFault: Bool, now: Int64) {
        switch outcome.code {
        case .ok:
            acknowledge(lane, now: now)
            return
        case .notFound where settings.createTopics:
            let topic = lane.topic
            let isNew = topic.createdAt.map { now - $0 < PublishScheduler.spreading } ?? false
            // One that is still not known after some tries is gone again.
            if topic.state != .usable || !isNew || Int(lane.failures) > PublishScheduler.patience {
                lane.state = .blocked
                topic.blocked.append(lane)
                desk.request(topic)
                return
            }
        case .invalidArgument where !lane.isDeadLetter:
            divide(lane, reason: outcome.text, now: now)
            return
        default: break
        }
        lane.failures += 1
        ledger.add(to: .retries)
        let isTransient = outcome.code.isTransient || (outcome.code == .notFound && settings.createTopics)
        if !isTransient || (lane.failures >= PublishScheduler.patience && !isLinkFault) {
            if !lane.hasProblem { problems += 1 }
            lane.hasProblem = true
            report("publish to \(lane.topic.name)", outcome)
        }
        let text = outcome.text.isEmpty ? outcome.code.name : "\(outcome.code.name): \(outcome.text)"
        trouble(lane, text, now: now)
        lane.state = .waiting
        let failures = Int(lane.failures)
        let isFree = outcome.isStaleToken || (isLinkFault && failures == 1)
        let pause =
            isFree
            ? 0 : wait(outcome, isTransient: isTransient, isLinkFault: isLinkFault, failures: failures)
        sleepers.add(.lane(lane), at: now + pause)
    }

    /// The request has been in flight for longer than it should.
    func noteStall(_ request: Request, now: Int64) {
        guard case .publish(let lane) = request.work, lane.trouble == nil else { return }
        trouble(lane, "no answer yet", now: now)
    }

    private func trouble(_ lane: Lane, _ reason: String, now: Int64) {
        if lane.trouble == nil {
            lane.trouble = Trouble(since: ck_realtime_nanos(), reason: reason)
            troubled[ObjectIdentifier(lane)] = lane
        } else {
            lane.trouble?.reason = reason
        }
        tellTroubles(now: now, atOnce: troubled.count == 1)
    }

    private func acknowledge(_ lane: Lane, now: Int64) {
        let parcel = lane.parcels.removeFirst()
        let time = ck_realtime_nanos()
        let start = Parcel.prefix + lane.topic.field.count
        let content = MessageContent.billedBytes(
            ofLikeMessages: UnsafeRawBufferPointer(
                start: parcel.block.base + start, count: parcel.end - start), count: parcel.messages)
        ledger.add(
            PublishPrice.billed(messages: parcel.messages, contentBytes: content), to: .billedBytes)
        for entry in parcel.entries {
            var receipt = entry.receipt
            if !letters.isEmpty { letters.settle(&receipt, isLetter: lane.isDeadLetter) }
            ledger.acknowledge(receipt, now: time, asDeadLetter: lane.isDeadLetter)
        }
        recycle(parcel, of: lane)
        resume(lane, now: now)
    }

    /// The first request of the lane is out of the way.
    func resume(_ lane: Lane, now: Int64) {
        lane.failures = 0
        if lane.hasProblem { problems -= 1 }
        lane.hasProblem = false
        if lane.trouble != nil {
            lane.trouble = nil
            troubled[ObjectIdentifier(lane)] = nil
            tellTroubles(now: now, atOnce: troubled.isEmpty)
        }
        if lane.parcels.isEmpty { lane.state = .idle } else { enqueue(lane) }
    }

    private func finish(_ topic: Topic, _ outcome: RequestOutcome, isLinkFault: Bool, now: Int64) {
        if desk.end(topic, outcome.code, now: now) {
            if topic.hasProblem { problems -= 1 }
            topic.hasProblem = false
            for lane in topic.blocked { enqueue(lane) }
            topic.blocked.removeAll()
            return
        }
        ledger.add(to: .retries)
        if !outcome.code.isTransient || (topic.failures >= PublishScheduler.patience && !isLinkFault) {
            if !topic.hasProblem { problems += 1 }
            topic.hasProblem = true
            report("creating \(topic.name)", outcome)
        }
        let pause = wait(
            outcome, isTransient: outcome.code.isTransient, isLinkFault: isLinkFault, failures: topic.failures
        )
        sleepers.add(.topic(topic), at: now + pause)
    }

    private func wait(_ outcome: RequestOutcome, isTransient: Bool, isLinkFault: Bool, failures: Int) -> Int64
    {
        guard isTransient else {
            return settings.slowRetry / 2 + Int64(random.next() % UInt64(max(settings.slowRetry / 2, 1)))
        }
        let backoff = isLinkFault ? linkBackoff : backoff
        return max(backoff.wait(attempt: failures, random: &random), outcome.retryDelay)
    }

    private func report(_ action: String, _ outcome: RequestOutcome) {
        let words = outcome.text.isEmpty ? "" : " (\(outcome.text))"
        ledger.report(
            problem:
                "pubsub sink: \(action): \(outcome.code.name)\(words); \(remedy(outcome.code)); the batches are"
                + " kept and tried again")
    }

    private func remedy(_ code: PublishCode) -> String {
        switch code {
        case .notFound: "create the topic or set sink.createTopics: true"
        case .permissionDenied:
            "give the collector's service account roles/pubsub.publisher (roles/pubsub.editor to create topics) in"
                + " project \(settings.project)"
        case .unauthenticated: "check GOOGLE_APPLICATION_CREDENTIALS or the workload identity, and the clock"
        case .resourceExhausted: "raise the project's Pub/Sub quota or publish less"
        case .invalidArgument:
            "the service refuses the request as it is: check the topic's name, schema and sink.topics"
        case .failedPrecondition: "check the topic's storage policy, schema and encryption key"
        case .unimplemented: "check that sink.endpoint is a Pub/Sub service"
        default: "check the state of the Pub/Sub service"
        }
    }
}
