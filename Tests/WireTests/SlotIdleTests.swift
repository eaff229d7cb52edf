import Testing

@testable import Wire

/// A slot without streams needs no connection.
@Suite struct SlotIdleTests {
    private let fresh = SlotStream(id: 9, name: "new")

    @Test func theLastStreamTakesTheConnectionWithIt() throws {
        var slot = try SlotHarness(streams: 2)
        slot.goLive()
        slot.machine.change(add: [], remove: [0], slot.now)
        slot.acceptAll(0)
        #expect(slot.machine.state == .live)
        _ = slot.news()
        slot.machine.change(add: [], remove: [1], slot.now)
        slot.take()
        #expect(slot.actions.contains(.close(side: 0)))
        #expect(slot.reports == [.emptied])
        #expect(slot.machine.state == .idle)
        #expect(slot.machine.socketCount == 1, "its close is under way")
        slot.ended(0, .stopped)
        slot.actions = []
        slot.pass(.hour, isAlive: false)
        #expect(slot.actions.isEmpty)
        #expect(slot.machine.socketCount == 0)
        #expect(slot.machine.deadline == .max)
    }

    @Test func newStreamsOpenItAgainEvenWhileItCloses() throws {
        for isClosed in [false, true] {
            var slot = try SlotHarness(streams: 1)
            slot.goLive()
            slot.machine.change(add: [], remove: [0], slot.now)
            slot.take()
            if isClosed { slot.ended(0, .stopped) }
            _ = slot.news()
            slot.machine.change(add: [fresh], remove: [], slot.now)
            slot.take()
            let side = isClosed ? 0 : 1
            #expect(slot.opens(side), "closed: \(isClosed)")
            slot.opened(side)
            #expect(slot.sent(side).first?.streams == [fresh])
            slot.acceptAll(side)
            if !isClosed { slot.ended(0, .stopped) }
            #expect(slot.machine.state == .live)
            #expect(slot.machine.socketCount == 1)
        }
    }

    @Test func aHandoverEndsWithTheLastStream() throws {
        let permits = HandoverPermits(limit: 1)
        var slot = try SlotHarness(streams: 1, permits: permits) { $0.rolloverAfterNanos = 60 * .second }
        slot.goLive()
        slot.pass(60 * .second)
        #expect(slot.opens(1))
        for isOpen in [true, false] {
            var copy = slot
            if isOpen { copy.opened(1) }
            _ = copy.news()
            copy.machine.change(add: [], remove: [0], copy.now)
            copy.take()
            #expect(copy.actions.contains(.close(side: 0)))
            #expect(copy.actions.contains(isOpen ? .close(side: 1) : .drop(side: 1, cause: .stopped)))
            #expect(!copy.machine.isHandingOver)
            #expect(permits.take(0), "its permit is free")
            permits.release(0)
        }
    }

    @Test func aSlotThatBeginsWithoutStreamsWaitsForThem() throws {
        var slot = try SlotHarness(streams: 0)
        slot.pass(.hour)
        #expect(slot.actions.isEmpty)
        slot.machine.change(add: [fresh], remove: [], slot.now)
        slot.take()
        #expect(slot.opens(0))
        slot.machine.change(add: [], remove: [9], slot.now)
        slot.take()
        #expect(slot.actions.contains(.drop(side: 0, cause: .stopped)))
        slot.machine.stop(slot.now)
        #expect(slot.machine.isStopped)
    }
}
