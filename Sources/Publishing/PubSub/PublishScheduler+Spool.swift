import Batching

/// What goes to the spool and comes from it as it was encoded.
extension PublishScheduler {
    /// See ``Sink/secure(_:_:)``.
    func secure(_ selection: HeldSelection, _ store: (HeldBatch) -> SpoolPlace?) -> Bool {
        switch selection {
        case .lane(let topic, let orderingKey):
            guard let lane = lanes[LaneKey(topic: topic, orderingKey: orderingKey)] else { return true }
            return secure(lane, store)
        case .closedBefore(let time):
            for lane in lanes.values where isOld(lane, time) {
                guard secure(lane, store) else { return false }
            }
            return true
        }
    }

    private func isOld(_ lane: Lane, _ time: Int64) -> Bool {
        lane.parcels.contains { parcel in
            parcel.entries.contains { !$0.receipt.place.isSomewhere && $0.receipt.closedTime < time }
        }
    }

    private func secure(_ lane: Lane, _ store: (HeldBatch) -> SpoolPlace?) -> Bool {
        guard !lane.parcels.isEmpty else { return true }
        let (topic, orderingKey) = (lane.topic.id, lane.orderingKey)
        for parcel in lane.parcels where parcel.entries.contains(where: { !$0.receipt.place.isSomewhere }) {
            let ranges = parcel.messageRanges()
            guard ranges.count == parcel.messages else { return false }
            var first = 0
            for index in parcel.entries.indices {
                let entry = parcel.entries[index]
                let messages = ranges[first..<first + entry.messages]
                first += entry.messages
                guard !entry.receipt.place.isSomewhere, let from = messages.first, let to = messages.last
                else { continue }
                let bytes = UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(start: parcel.block.base, count: parcel.end)[
                        from.lowerBound..<to.upperBound])
                let held = HeldBatch(
                    topic: topic, orderingKey: orderingKey, receipt: entry.receipt, messages: bytes)
                guard let place = store(held) else { return false }
                parcel.entries[index].receipt.place = place
                parcel.entries[index].receipt.isSecured = true
            }
        }
        return true
    }

    /// Takes a batch that was encoded by this function's like in an earlier run: its messages go out as they are.
    func takeEncoded(_ batch: BatchView) -> SinkAnswer {
        let lane = template(batch.route).lane
        let messages = batch.messages
        var reader = ProtobufReader(messages)
        var count = 0
        while let (number, _) = reader.next(), number == 2 { count += 1 }
        let size = BufferPool.size(Parcel.prefix + lane.topic.field.count + messages.count)
        guard pool.inUse == 0 || pool.inUse + size <= settings.byteBudget else { return .full }
        let receipt = BatchReceipt(batch)
        ledger.take(receipt)
        var parcel = open(lane, bound: messages.count)
        if parcel.messages + count > PubSubSettings.messageLimit {
            parcel = self.parcel(for: lane, bytes: messages.count)
            lane.parcels.append(parcel)
        }
        (parcel.block.base + parcel.end).copyMemory(
            from: messages.baseAddress ?? UnsafeRawPointer(parcel.block.base), byteCount: messages.count)
        parcel.end += messages.count
        parcel.messages += count
        parcel.entries.append(Parcel.Entry(receipt: receipt, messages: count))
        if lane.state == .idle { enqueue(lane) }
        ledger.set(pool.inUse, at: .bytesHeld)
        return .accepted
    }
}
